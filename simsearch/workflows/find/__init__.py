"""What looks like a prototype: intensity ranges, features, queries, peaks."""
