"""From a curated study to a model, from images to a trunk, and how well things are found."""
