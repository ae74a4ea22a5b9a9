"""From what instruments write to OME-Zarr."""
