"""Find what you point at in very large microscopy images: on slides, on plates, on a Dask cluster."""
