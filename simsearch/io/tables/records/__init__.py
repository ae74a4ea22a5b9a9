"""Files that are written while work is done: they grow or are replaced whole, and have one writer."""
