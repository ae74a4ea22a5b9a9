"""Tables, logs and annotations that people and programs keep beside images."""
