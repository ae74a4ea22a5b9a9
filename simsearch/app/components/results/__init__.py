"""What runs over all images gave: which run, its counts and tables, its objects, and a sample that is judged."""
