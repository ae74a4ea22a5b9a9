"""What looks like a prototype: intensity ranges, features, queries, peaks; and which images are worth a look."""
