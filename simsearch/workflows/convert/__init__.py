"""From what instruments write to OME-Zarr: planned from names, then written shard by shard."""
