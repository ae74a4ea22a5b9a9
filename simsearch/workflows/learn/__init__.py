"""From a curated study to a model, and how well it does."""
