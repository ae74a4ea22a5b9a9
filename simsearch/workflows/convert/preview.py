"""What a conversion would make, told before a byte is written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import in_store
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.convert.checks import Work, check_sources
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.convert.products import PlannedImage, Product, source_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.runtime import Client


@dataclass(frozen=True, slots=True)
class ImagePreview:
    """An image that would be made."""

    path: str
    """In its OME-Zarr, such as A/01/0; empty if it is that."""
    sources: tuple[str, ...]
    """Names of its files."""
    shape: tuple[int, int]
    """Height and width in pixels."""
    dtype: str
    channel_names: tuple[str, ...]
    pixel_size_um: tuple[float, float] | None

    @property
    def n_bytes(self) -> int:
        """Size at full resolution, not compressed."""
        return len(self.channel_names) * self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class ProductPreview:
    """An OME-Zarr that would be made."""

    destination: str
    is_plate: bool
    wells: tuple[str, ...]
    """Names of the wells with images, in order; empty if it is no plate."""
    images: tuple[ImagePreview, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a conversion would make."""

    products: tuple[ProductPreview, ...]
    failures: tuple[tuple[str, str], ...]
    """Names of images that would be left out, and why."""
    notes: tuple[str, ...]
    """What else a user should know."""


def preview_conversion(
    client: Client,
    sources: Sequence[str | Path],
    destination: str | Path,
    options: ConvertOptions | None = None,
    observe: Observer = ignore,
) -> Preview:
    """Tell what a conversion would make of its sources, which are opened and checked; nothing is written.

    Parameters
    ----------
    client, sources, destination, options, observe
        As of `convert`.

    Returns
    -------
    Preview
        What would become what.

    Raises
    ------
    ConfigError, SourceError, AnnotationError, StoreError
        Where `convert` would, before it writes.
    """
    work = check_sources(client, sources, destination, options or ConvertOptions(), observe)
    for product in work.products:
        _check_writable(product.destination)
    return Preview(
        products=tuple(_product(product, work) for product in work.products),
        failures=tuple((name, str(error)) for name, error in work.failures.items()),
        notes=tuple(dict.fromkeys(work.notes)),
    )


def _check_writable(destination: Path) -> None:
    with store_errors(str(destination)):
        if in_store(destination):  # which tells whether it can be reached, and no more
            destination.exists()
            return
        folder = next(parent for parent in destination.parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise PermissionError(f"no permission to write in {folder}")


def _product(product: Product, work: Work) -> ProductPreview:
    wells = sorted({image.well for image in product.images if image.well})
    return ProductPreview(
        destination=str(product.destination),
        is_plate=product.is_plate,
        wells=tuple(well.name for well in wells),
        images=tuple(_image(image, work) for image in product.images),
    )


def _image(image: PlannedImage, work: Work) -> ImagePreview:
    template = work.templates[image]
    return ImagePreview(
        path=image.path,
        sources=tuple(source_names(image.spec)),
        shape=template.shape,
        dtype=template.dtype,
        channel_names=template.channel_names,
        pixel_size_um=template.pixel_size_um,
    )
