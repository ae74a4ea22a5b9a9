"""OME-NGFF metadata of groups, parsed once into values; all versions look the same from here on.

What other tools write is read as far as it makes sense; what has the wrong type is refused with its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import default_colors, parse_color

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import zarr

LAYOUT = "bioformats2raw.layout"
"""Marks a group whose children are images."""
_KINDS = ("multiscales", "plate", "well")
_VERSION = re.compile(r"(0\.[1-6])(?!\d)")
_WITHOUT_AXES = ("0.1", "0.2")  # tczyx, always
_LETTERS = {"time": "t", "channel": "c"}
_T = TypeVar("_T", bound=BaseModel)


def _inner_path(path: str) -> str:
    parts = path.strip("/").split("/")
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise ValueError(f"{path[:100]!r} does not lie in the group")
    return "/".join(parts)


_Path = Annotated[str, AfterValidator(_inner_path)]


class _Model(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)  # "path": 0 is what some write


class _Axis(_Model):
    name: str
    type: object = None
    unit: object = None


class _Transform(_Model):
    type: str
    scale: list[float] | None = None
    translation: list[float] | None = None
    transformations: list[_Transform] = []
    output: object = None


class _Dataset(_Model):
    path: _Path
    coordinateTransformations: list[_Transform] | None = None


class _System(_Model):
    name: str
    axes: list[_Axis]


class _Multiscale(_Model):
    axes: list[_Axis | str] | None = None
    coordinateSystems: list[_System] | None = None
    datasets: list[_Dataset] = Field(min_length=1, max_length=64)
    coordinateTransformations: list[_Transform] | None = None


class _Multiscales(_Model):
    multiscales: list[_Multiscale] = Field(min_length=1)


class _Place(_Model):
    path: _Path


class _Plate(_Model):
    wells: list[_Place]


class _PlateOf(_Model):
    plate: _Plate


class _Well(_Model):
    images: list[_Place]


class _WellOf(_Model):
    well: _Well


class _Series(_Model):
    series: list[_Path] = []


@dataclass(frozen=True, slots=True)
class Dataset:
    """One level as its metadata has it."""

    path: str
    scale: tuple[float, ...] | None
    """Size of a pixel along each axis, in the units of the axes, where the metadata say; any number, NaN included."""
    translation: tuple[float, ...]
    """Position of the centre of the first pixel along each axis, in the same units."""
    is_placed: bool
    """Whether the metadata say where it is; many tools leave it out."""


@dataclass(frozen=True, slots=True)
class Multiscale:
    """The first multiscale image of a group."""

    version: str
    axes: str
    """One letter an axis, out of ``tczyx``."""
    units: tuple[object, object]
    """Units of y and x as they are written; None without one."""
    datasets: tuple[Dataset, ...]


def ome_attributes(group: zarr.Group, path: str) -> tuple[Mapping[str, Any], str]:
    """OME attributes of a group and their version, 0.1 to 0.6.

    Raises
    ------
    SourceError
        If the group has none, or of a version that cannot be read.
    """
    attributes: dict[str, Any] = group.attrs.asdict()
    found: Any = attributes.get("ome", attributes)
    ome: dict[str, Any] = found if isinstance(found, dict) else {}
    stated = _version(ome, zarr_format=group.metadata.zarr_format)
    version = _VERSION.match(stated)
    if version is None:
        raise SourceError(
            f"{path}: expected OME-Zarr 0.1 to 0.6, got {stated[:20]!r}: write it as 0.5 with the tool that made it"
        )
    if "scene" in ome and "multiscales" not in ome:
        raise SourceError(f"{path}: expected an OME-Zarr image or plate, got a scene: point to one of its images")
    if not any(ome.get(kind) for kind in (*_KINDS, LAYOUT)):
        raise SourceError(
            f"{path}: expected an OME-Zarr image or plate, got a Zarr group without OME metadata: "
            "point to an image or a plate, or finish its conversion"
        )
    return ome, version[1]


def _version(ome: Mapping[str, Any], *, zarr_format: int) -> str:
    kind: Any = next((ome[kind] for kind in _KINDS if ome.get(kind)), {})
    first = kind[0] if isinstance(kind, list) else kind
    first = first if isinstance(first, dict) else {}
    # 0.1 has no version, and later ones let writers leave it out.
    implied = "0.5" if zarr_format == 3 else "0.4" if "axes" in first or "datasets" not in first else "0.1"
    return str(ome.get("version") or first.get("version") or implied)


def parse_multiscale(ome: Mapping[str, Any], version: str, path: str) -> Multiscale:
    """Parse the first multiscale image of OME attributes.

    Raises
    ------
    SourceError
        If there is none, or it cannot be understood.
    """
    if not ome.get("multiscales"):
        raise SourceError(f"{path}: expected an OME-Zarr image, got a plate or a well: point to one of its images")
    parsed = _parse(_Multiscales, ome, "image", version, path).multiscales[0]
    axes = _axes(parsed, version, path)
    names = "".join(_letter(axis, at, axes) for at, axis in enumerate(axes))
    if not names.endswith("yx") or set(names) - set("tczyx") or len(set(names)) < len(names):
        got = ", ".join(repr(axis.name[:20]) for axis in axes)
        raise SourceError(f"{path}: expected axes out of t, c, z, y, x that end with y, x, got {got}: reorder them")
    common = parsed.coordinateTransformations or [] if version < "0.6" else []  # in 0.6 they lead to other systems
    datasets = tuple(_dataset(each, common, len(names), version, path) for each in parsed.datasets)
    return Multiscale(version, names, (axes[-2].unit, axes[-1].unit), datasets)


def _axes(parsed: _Multiscale, version: str, path: str) -> list[_Axis]:
    found = parsed.axes
    if found is None and parsed.coordinateSystems is not None:
        transforms = parsed.datasets[0].coordinateTransformations
        output = transforms[0].output if transforms else None
        name = output.get("name") if isinstance(output, dict) else output
        systems = [each for each in parsed.coordinateSystems if each.name == name]
        if len(systems) != 1:
            known = ", ".join(repr(each.name[:20]) for each in parsed.coordinateSystems)
            raise SourceError(
                f"{path}: expected a coordinate system that its levels lie in, got {str(name)[:40]!r} out of {known}: "
                "write it again with the tool that made it"
            )
        return systems[0].axes
    if found is None and version in _WITHOUT_AXES:
        found = list("tczyx")
    if found is None:
        raise SourceError(f"{path}: expected axes of OME-Zarr {version}, got none: write it again")
    return [_Axis(name=axis) if isinstance(axis, str) else axis for axis in found]


def _letter(axis: _Axis, at: int, axes: Sequence[_Axis]) -> str:
    """Name an axis by one letter: its name, or what its type and place make of it."""
    name = axis.name.lower()
    if name in "tczyx":
        return name
    if axis.type == "space" and all(each.type == "space" for each in axes[at:]) and len(axes) - at <= 3:
        return "xyz"[len(axes) - at - 1]
    return _LETTERS.get(str(axis.type), _LETTERS.get(name, name))


def _dataset(dataset: _Dataset, common: Sequence[_Transform], n_axes: int, version: str, path: str) -> Dataset:
    own = dataset.coordinateTransformations
    if own is None and version >= "0.4":
        raise SourceError(
            f"{path}: expected image metadata of OME-Zarr {version}, got no coordinateTransformations at "
            f"{dataset.path!r}: write it again with the tool that made it"
        )
    scale, translation = [1.0] * n_axes, [0.0] * n_axes
    steps = [step for each in (*(own or ()), *common) for step in (each.transformations or [each])]
    for step in steps:
        values = _values(step, n_axes, dataset.path, path)
        if step.type == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            translation = [a * b for a, b in zip(translation, values, strict=True)]
        elif step.type == "translation":
            translation = [a + b for a, b in zip(translation, values, strict=True)]
    is_placed = any(step.type == "translation" for step in steps)
    return Dataset(dataset.path, tuple(scale) if steps else None, tuple(translation), is_placed)


def _values(step: _Transform, n_axes: int, dataset: str, path: str) -> list[float]:
    if step.type not in ("scale", "translation", "identity"):
        raise SourceError(
            f"{path}: expected levels that are scaled and translated, got {step.type[:20]!r} at {dataset!r}: "
            "resample it with the tool that made it"
        )
    # What is kept in an array of its own instead is not read, and a size of NaN is none.
    values = (step.scale if step.type == "scale" else step.translation) or [float("nan")] * n_axes
    if len(values) != n_axes and step.type != "identity":
        raise SourceError(f"{path}: expected a {step.type} of {n_axes} numbers at {dataset!r}, got {len(values)}")
    return values


def parse_channels(ome: Mapping[str, Any], n_channels: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and colours of channels; what is missing or makes no sense gets a default, since ``omero`` is optional.

    Returns
    -------
    (tuple of str, tuple of str)
        A name, no two alike, and 6 hex digits, for each channel.
    """
    omero = ome.get("omero")
    found = omero.get("channels") if isinstance(omero, dict) else None
    known = found if isinstance(found, list) else []
    channels = [each if isinstance(each, dict) else {} for each in known][:n_channels]
    channels += [{}] * (n_channels - len(channels))
    names: list[str] = []
    for i, each in enumerate(channels, start=1):
        label = each.get("label")
        name = str(label).strip() if isinstance(label, str | int | float) else ""
        names.append(_free(name or f"Channel {i}", names))
    defaults = default_colors(names)
    colors = tuple(parse_color(each.get("color")) or color for each, color in zip(channels, defaults, strict=True))
    return tuple(names), colors


def _free(name: str, taken: Sequence[str]) -> str:
    n, free = 1, name
    while free in taken:
        n += 1
        free = f"{name} ({n})"
    return free


def parse_plate(ome: Mapping[str, Any], version: str, path: str) -> tuple[str, ...]:
    """Paths of the wells of a plate, from its OME attributes.

    Raises
    ------
    SourceError
        If it is not a plate, or cannot be understood.
    """
    if "plate" not in ome:
        raise SourceError(f"{path}: expected a plate, got an image or a well: open it as an image")
    wells = _parse(_PlateOf, ome, "plate", version, path).plate.wells
    return tuple(dict.fromkeys(well.path for well in wells))


def parse_well_images(ome: Mapping[str, Any], version: str, path: str) -> tuple[str, ...]:
    """Paths of the images of a well, from its OME attributes.

    Raises
    ------
    SourceError
        If it is not a well, or cannot be understood.
    """
    images = _parse(_WellOf, ome, "well", version, path).well.images
    return tuple(dict.fromkeys(image.path for image in images))


def parse_series(ome: Mapping[str, Any], version: str, path: str) -> tuple[str, ...]:
    """Paths of the images of a collection, from the attributes of its group ``OME``; none if they are not listed.

    Raises
    ------
    SourceError
        If they cannot be understood.
    """
    return tuple(dict.fromkeys(_parse(_Series, ome, "series", version, path).series))


def _parse(model: type[_T], ome: Mapping[str, Any], kind: str, version: str, path: str) -> _T:
    try:
        return model.model_validate(ome)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where, message = ".".join(str(part) for part in first["loc"]), first["msg"]
    except RecursionError:
        where, message = "", "too deep a nesting"
    raise SourceError(
        f"{path}: expected {kind} metadata of OME-Zarr {version}, got {message[:200]} at {where or 'its top'}: "
        "`ome-zarr-models validate` tells more"
    )
