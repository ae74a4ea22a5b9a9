"""OME-NGFF metadata of groups, parsed once into values; 0.4 and 0.5 look the same from here on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ome_zarr_models.v04.multiscales as v04
import ome_zarr_models.v05.multiscales as v05
from ome_zarr_models.common.coordinate_transformations import VectorScale, VectorTranslation
from ome_zarr_models.common.well_types import WellMeta
from ome_zarr_models.v04.plate import Plate
from pydantic import ValidationError

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import default_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import zarr

VERSIONS = ("0.4", "0.5")
LAYOUT = "bioformats2raw.layout"
"""Marks a group whose children are images."""
_KINDS = ("multiscales", "plate", "well")
_MICROMETERS = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """One level as its metadata has it."""

    path: str
    scale: tuple[float, ...]
    """Size of a pixel along each axis, in micrometres where the axis has a known unit."""
    translation: tuple[float, ...]
    """Position of the centre of the first pixel along each axis, in the same units."""


@dataclass(frozen=True, slots=True)
class Multiscale:
    """The first multiscale image of a group."""

    version: str
    axes: str
    """One letter an axis, out of ``tczyx``."""
    in_micrometers: bool
    """Whether y and x have a unit of length."""
    datasets: tuple[Dataset, ...]


def ome_attributes(group: zarr.Group, path: str) -> tuple[Mapping[str, Any], str]:
    """OME attributes of a group and their version.

    Raises
    ------
    SourceError
        If the group has none, or of a version that cannot be read.
    """
    attributes: dict[str, Any] = group.attrs.asdict()
    ome: Any = attributes.get("ome", attributes)
    ome = ome if isinstance(ome, dict) else {}
    version = _version(ome, zarr_format=group.metadata.zarr_format)
    if version not in VERSIONS:
        raise SourceError(
            f"{path}: expected OME-Zarr 0.4 or 0.5, got {version}: write it as 0.5 with the tool that made it"
        )
    if not any(ome.get(kind) for kind in (*_KINDS, LAYOUT)):
        raise SourceError(
            f"{path}: expected an OME-Zarr image or plate, got a Zarr group without OME metadata: "
            "point to an image or a plate, or finish its conversion"
        )
    return ome, version


def _version(ome: Mapping[str, Any], *, zarr_format: int) -> str:
    kind: Any = next((ome[kind] for kind in _KINDS if ome.get(kind)), {})
    first = kind[0] if isinstance(kind, list) else kind
    inner = first.get("version") if isinstance(first, dict) else None
    # 0.4 lets writers leave the version out.
    return str(ome.get("version") or inner or ("0.4" if zarr_format == 2 else "0.5"))


def parse_multiscale(ome: Mapping[str, Any], version: str, path: str) -> Multiscale:
    """Parse the first multiscale image of OME attributes.

    Raises
    ------
    SourceError
        If there is none, or it breaks the specification.
    """
    if not ome.get("multiscales"):
        raise SourceError(f"{path}: expected an OME-Zarr image, got a plate or a well: point to one of its images")
    model = v04.Multiscale if version == "0.4" else v05.Multiscale
    try:
        parsed = model.model_validate(ome["multiscales"][0])
    except ValidationError as error:
        raise _broken(path, "image", version, error) from error
    names = "".join(str(axis.name) for axis in parsed.axes)
    if not names.endswith("yx") or set(names) - set("tczyx"):
        raise SourceError(f"{path}: expected axes out of t, c, z, y, x that end with y, x, got {names!r}: reorder them")
    units = [_MICROMETERS.get(str(axis.unit)) if str(axis.name) in "zyx" else None for axis in parsed.axes]
    known = units[-1] is not None and units[-2] is not None
    factors = [unit or 1.0 for unit in units]
    common = parsed.coordinateTransformations
    datasets = tuple(_dataset(each, common, factors) for each in parsed.datasets)
    return Multiscale(version, names, known, datasets)


def _dataset(
    dataset: v04.Dataset | v05.Dataset,
    common: Sequence[Any] | None,
    factors: Sequence[float],
) -> Dataset:
    scale, translation = [1.0] * len(factors), [0.0] * len(factors)
    for transform in (*dataset.coordinateTransformations, *(common or ())):
        if isinstance(transform, VectorScale):
            scale = [a * b for a, b in zip(scale, transform.scale, strict=True)]
            translation = [a * b for a, b in zip(translation, transform.scale, strict=True)]
        elif isinstance(transform, VectorTranslation):
            translation = [a + b for a, b in zip(translation, transform.translation, strict=True)]
    return Dataset(
        dataset.path,
        tuple(a * b for a, b in zip(scale, factors, strict=True)),
        tuple(a * b for a, b in zip(translation, factors, strict=True)),
    )


def parse_channels(ome: Mapping[str, Any], n_channels: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and colours of channels; what is missing gets a default, since ``omero`` is optional.

    Returns
    -------
    (tuple of str, tuple of str)
        A name, and 6 hex digits, for each channel.
    """
    omero = ome.get("omero")
    found = omero.get("channels") if isinstance(omero, dict) else None
    channels = [each if isinstance(each, dict) else {} for each in found or []][:n_channels]
    channels += [{}] * (n_channels - len(channels))
    names = tuple(str(each.get("label") or f"Channel {i}") for i, each in enumerate(channels, start=1))
    defaults = default_colors(names)
    colors = tuple(str(each.get("color") or color) for each, color in zip(channels, defaults, strict=True))
    return names, colors


def parse_plate(ome: Mapping[str, Any], version: str, path: str) -> Plate:
    """Parse the plate of OME attributes.

    Raises
    ------
    SourceError
        If it is not a plate, or breaks the specification.
    """
    if "plate" not in ome:
        raise SourceError(f"{path}: expected a plate, got an image or a well: open it as an image")
    try:
        return Plate.model_validate(ome["plate"])
    except ValidationError as error:
        raise _broken(path, "plate", version, error) from error


def parse_well_images(ome: Mapping[str, Any], version: str, path: str) -> tuple[str, ...]:
    """Paths of the images of a well, from its OME attributes.

    Raises
    ------
    SourceError
        If it is not a well, or breaks the specification.
    """
    try:
        return tuple(image.path for image in WellMeta.model_validate(ome.get("well")).images)
    except ValidationError as error:
        raise _broken(path, "well", version, error) from error


def _broken(path: str, kind: str, version: str, error: ValidationError) -> SourceError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return SourceError(
        f"{path}: expected {kind} metadata of OME-Zarr {version}, got {first['msg']} at {where or 'its top'}: "
        "`ome-zarr-models validate` tells more"
    )
