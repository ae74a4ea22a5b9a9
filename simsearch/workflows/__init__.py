"""One callable for each thing that a person wants done."""
