"""Images, plates, labels and features as OME-Zarr: described, read and written."""
