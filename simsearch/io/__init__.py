"""Files of all kinds, on disk and over the network: OME-Zarr, formats of instruments, tables, pictures for people."""

from simsearch.io.ome_zarr.image import describe_image as describe_image
from simsearch.io.ome_zarr.image import open_image as open_image
from simsearch.io.ome_zarr.image import read_region as read_region
from simsearch.io.ome_zarr.plates.hierarchy import find_images as find_images
from simsearch.io.ome_zarr.plates.hierarchy import open_plate as open_plate

__all__ = ["describe_image", "find_images", "open_image", "open_plate", "read_region"]
