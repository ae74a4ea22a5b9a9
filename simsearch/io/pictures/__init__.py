"""Pictures for people: images on the screen, overlays, heat maps, curves."""
