"""Segmentations as OME-Zarr labels: a class a pixel, with the names and colours of the classes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import zarr
from ome_zarr.writer import add_metadata, get_metadata

from simsearch.io.ome_zarr.ngff import ome_attributes
from simsearch.io.ome_zarr.pyramid import nearest_halved, region_below
from simsearch.io.ome_zarr.stores import is_archived, is_remote, open_group, zarr_store
from simsearch.io.ome_zarr.writing import (
    FORMATS,
    ImageTemplate,
    OmeVersion,
    Window,
    create_image,
    finish_image,
    read_level,
    store_errors,
    write_region,
)
from simsearch.io.places import in_store, remove

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simsearch.core.tiles import Region
    from simsearch.io.ome_zarr.image import ImageMeta

_OPAQUE = 255
_KEY = "simsearch"  # attribute, in which `finish_image` keeps provenance


def labels_template(image: ImageMeta, shard: int) -> ImageTemplate:
    """Describe labels that lie on an image, in the version of OME-Zarr that the image has."""
    units = (1.0, 1.0) if image.pixel_size_um else image.spacing  # what a pixel measures where nobody named the unit
    y, x = (start / spacing * unit for start, spacing, unit in zip(image.origin, image.spacing, units, strict=True))
    return ImageTemplate(
        n_channels=1,
        shape=image.shape,
        dtype="uint8",
        channel_names=("class",),
        channel_colors=("FFFFFF",),
        pixel_size_um=image.pixel_size_um,
        windows=(Window(0.0, 255.0, 0.0, 255.0),),
        scale=units,
        translation=(y, x),
        chunk=min(256, shard),
        shard=shard,
        ome_version=_version(image.path),
        pyramid="nearest",
    )


def can_hold_labels(image: ImageMeta) -> bool:
    """Tell whether labels can be written beside the pixels of an image."""
    if is_remote(image.path) or is_archived(image.path) or not os.access(image.path, os.W_OK):
        return False
    return ome_attributes(open_group(image.path), image.path)[1] in FORMATS  # of one version, as the image


def create_labels(path: Path, template: ImageTemplate, run: str) -> None:
    """Create labels without pixels and metadata, that remember which run they are of; in a store, or go on with them.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    with store_errors(str(path)):  # labels without a run would be somebody else's
        if in_store(path):
            version = FORMATS[template.ome_version].zarr_format
            zarr.open_group(**zarr_store(str(path)), mode="a", zarr_format=version, attributes={_KEY: {"run": run}})
            create_image(path, template)
            return
        partial = path.with_name(f".{path.name}.partial")
        remove(partial)
        create_image(partial, template)
        zarr.open_group(partial, mode="r+").attrs[_KEY] = {"run": run}
        partial.rename(path)


def run_of_labels(path: Path) -> str | None:
    """Tell which run labels are of; None if they are not of simsearch."""
    try:
        kept = zarr.open_group(**zarr_store(str(path)), mode="r").attrs.get(_KEY)
    except (OSError, ValueError):
        return None
    return kept.get("run") if isinstance(kept, dict) else None


def write_level_from_below(path: str | Path, template: ImageTemplate, level: int, region: Region) -> None:
    """Write a region of a level of labels: every other pixel of the level below.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    below = region_below(region, template.level_shapes[level - 1])
    write_region(path, level, region, nearest_halved(read_level(path, level - 1, below, slice(None))))


def finish_labels(
    path: Path, template: ImageTemplate, classes: Sequence[str], colors: Sequence[str], provenance: Mapping[str, Any]
) -> None:
    """Write the metadata of labels, and list them in the group ``labels`` if they are in one.

    Parameters
    ----------
    path : Path
        The labels, with all their pixels.
    template : ImageTemplate
        What they are.
    classes : sequence of str
        Names of the values from 1 on.
    colors : sequence of str
        ``#`` and 6 hex digits for each of them.
    provenance : mapping
        What made them, the run included.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    fmt = FORMATS[template.ome_version]
    finish_image(path, template, provenance)
    label: dict[str, Any] = {
        "version": template.ome_version,
        "colors": [
            {"label-value": value, "rgba": [*bytes.fromhex(color.removeprefix("#")), _OPAQUE]}
            for value, color in enumerate(colors, start=1)
        ],
        "properties": [{"label-value": value, "class": name} for value, name in enumerate(classes, start=1)],
    }
    with store_errors(str(path)):
        is_beside_image = path.parent.name == "labels"
        if is_beside_image:
            label["source"] = {"image": "../../"}
            parent = zarr.open_group(**zarr_store(str(path.parent)), mode="a", zarr_format=fmt.zarr_format)
            listed = get_metadata(parent).get("labels", [])
            if path.name not in listed:
                more = {} if template.ome_version == "0.4" else {"version": template.ome_version}
                add_metadata(parent, {"labels": [*listed, path.name], **more}, fmt=fmt)
        add_metadata(zarr.open_group(**zarr_store(str(path)), mode="r+"), {"image-label": label}, fmt=fmt)


def _version(path: str) -> OmeVersion:
    return "0.4" if open_group(path).metadata.zarr_format == 2 else "0.5"
