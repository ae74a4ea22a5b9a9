"""Tables, annotations and logs that people and programs keep beside images: CSV, Parquet, GeoJSON, lines of JSON."""
