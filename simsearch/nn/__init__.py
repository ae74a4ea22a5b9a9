"""Networks: the trunk, its features and their similarity."""
