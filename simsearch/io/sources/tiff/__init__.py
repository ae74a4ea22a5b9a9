"""TIFF of all kinds: how files are opened, what they tell of themselves, and what their values mean."""
