"""HCS plates in OME-Zarr: rows, columns, wells and their fields."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
import zarr
from ome_zarr.writer import write_plate_metadata, write_well_metadata

from simsearch.core.checks.names import natural_key
from simsearch.errors import SourceError
from simsearch.io.ome_zarr.image import ImageMeta, Selection, open_image
from simsearch.io.ome_zarr.many import READERS, describe_images
from simsearch.io.ome_zarr.ngff import LAYOUT, ome_attributes, parse_plate, parse_series, parse_well_images
from simsearch.io.ome_zarr.plates.wells import Well, column_name, parse_well, plate_size, row_name
from simsearch.io.ome_zarr.stores import (
    MissingError,
    as_location,
    is_group_folder,
    is_remote,
    join,
    open_group,
    stem,
    zarr_errors,
    zarr_store,
)
from simsearch.io.ome_zarr.writing import FORMATS, OmeVersion, plain_json, store_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MOST_NAMED = 8  # wells in a note


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a plate."""

    well: str
    """Path of the well in the plate."""
    path: str
    """Path or URL of the image group."""


def find_images(paths: Sequence[str | Path], *, z: Selection = None, t: Selection = None) -> list[ImageMeta]:
    """Describe images, plates as all of their fields.

    Parameters
    ----------
    paths : sequence of str or Path
        OME-Zarr images, plates, or collections of images by bioformats2raw; paths or URLs. Folders of these.
    z, t : int, "max" or None
        Plane and time point, or the maximum over them. An axis of length 1 needs no choice.

    Returns
    -------
    list of ImageMeta
        In the order of `paths`; fields in the order of the plate's metadata.

    Raises
    ------
    SourceError
        If one is not there, or is no OME-Zarr.
    ConfigError
        If a z or t axis needs a choice.

    Examples
    --------
    >>> [image.name for image in find_images(["cells.ome.zarr"])]  # doctest: +SKIP
    ['cells']
    """
    return describe_images([image for path in paths for image in image_locations(as_location(path))], z=z, t=t)


@dataclass(frozen=True, slots=True)
class PlateFields:
    """Fields of a plate."""

    fields: tuple[Field, ...]
    notes: tuple[str, ...]
    """What a user should know: which wells are not there."""


@dataclass(frozen=True, slots=True)
class Locations:
    """Images at a path."""

    images: tuple[str, ...]
    """Paths or URLs of their groups."""
    notes: tuple[str, ...] = ()
    """What a user should know, with the names of what was left out."""


def image_locations(path: str) -> list[str]:
    """Paths of the images at a path: itself, the fields of a plate, the images of a collection."""
    return list(find_locations(path).images)


def find_locations(path: str) -> Locations:
    """Find the images at a path: itself, the fields of a plate, the images of a collection or in a folder.

    Raises
    ------
    SourceError
        If there is none, or its metadata make no sense.
    """
    if inside := _in_folder(path):
        places = [find_locations(each) for each in inside]
        return Locations(
            tuple(image for place in places for image in place.images),
            tuple(note for place in places for note in place.notes),
        )
    group = open_group(path)
    ome, version = ome_attributes(group, path)
    if "plate" in ome:
        plate = read_plate(path)
        return Locations(tuple(field.path for field in plate.fields), plate.notes)
    if "well" in ome:
        return Locations(tuple(join(path, image) for image in parse_well_images(ome, version, path)))
    if LAYOUT in ome and "multiscales" not in ome:
        return Locations(tuple(join(path, image) for image in _series(group, version, path)))
    return Locations((path,))


def _in_folder(path: str) -> list[str]:
    """List the OME-Zarrs in a folder that is none itself, as `simsearch convert` leaves it, in natural order."""
    folder = Path(path)
    if is_remote(path) or folder.suffix == ".zarr" or not folder.is_dir() or is_group_folder(folder):
        return []
    inside = [each for each in folder.iterdir() if each.name.lower().endswith((".zarr", ".ozx"))]
    if not inside:
        raise MissingError(
            f"{path}: expected an OME-Zarr, got a folder without any: name one in which some lie side by side, or "
            "`simsearch convert` its images first"
        )
    return [str(each) for each in sorted(inside, key=lambda each: natural_key(stem(each.name)))]


def is_plate(path: str) -> bool:
    """Tell whether a group is a plate."""
    return "plate" in ome_attributes(open_group(path), path)[0]


def plate_fields(path: str) -> list[Field]:
    """Fields of a plate, as `read_plate` finds them."""
    return list(read_plate(path).fields)


def read_plate(path: str) -> PlateFields:
    """Find the fields of a plate, from the metadata of the plate and its wells.

    A well that is listed but not there has no fields.

    Raises
    ------
    SourceError
        If it is not a plate, its metadata make no sense, or no well is there.
    """
    ome, version = ome_attributes(open_group(path), path)
    wells = parse_plate(ome, version, path)
    with ThreadPoolExecutor(READERS) as pool:
        images = list(pool.map(lambda well: _images_of_well(join(path, well)), wells))
    found = [(well, names) for well, names in zip(wells, images, strict=True) if names is not None]
    missing = [well for well, names in zip(wells, images, strict=True) if names is None]
    if not any(names for _, names in found):
        raise SourceError(f"{path}: expected a plate with images, got {len(wells)} wells without any: check the path")
    return PlateFields(
        tuple(Field(well, join(path, well, image)) for well, names in found for image in names or ()),
        (_left_out(path, missing),) if missing else (),
    )


def open_plate(path: str | Path, *, z: Selection = None, t: Selection = None) -> xr.DataTree:
    """Open a plate lazily.

    Returns
    -------
    xarray.DataTree
        A node per row, column and field (``tree["B/03/0"]``), whose variable ``image`` is what `open_image` gives.
        The root's attributes have the plate's ``name`` and ``plate_map``, those of a well its row of the plate map.

    Raises
    ------
    SourceError
        If it is not a plate, or breaks the specification.
    ConfigError
        If a z or t axis needs a choice.

    Examples
    --------
    >>> plate = open_plate("plate.ome.zarr")  # doctest: +SKIP
    >>> plate["A/01/0"]["image"].dims  # doctest: +SKIP
    ('c', 'y', 'x')
    """
    location = as_location(path)
    fields = plate_fields(location)
    images = find_images([field.path for field in fields], z=z, t=t)
    plate_map = read_plate_map(location)
    rows = {well.path: row for row in plate_map if (well := parse_well(row["well"]))}
    nodes = {field.well: xr.Dataset(attrs=rows.get(field.well, {})) for field in fields}
    nodes |= {
        field.path.removeprefix(f"{location}/"): open_image(image).to_dataset(name="image")
        for field, image in zip(fields, images, strict=True)
    }
    root = xr.Dataset(attrs={"name": stem(location.rsplit("/", 1)[-1]), "plate_map": plate_map})
    return xr.DataTree.from_dict({"/": root, **nodes}, name=root.attrs["name"])


def read_plate_map(path: str | Path) -> list[dict[str, Any]]:
    """Return the plate map that was stored with a plate: a dictionary a well; empty if there is none.

    Raises
    ------
    SourceError
        If there is no such plate, or what was stored is no plate map.
    """
    location = as_location(path)
    stored = open_group(location).attrs.get("simsearch")
    plate_map = stored.get("plate_map") if isinstance(stored, dict) else None
    rows = plate_map if isinstance(plate_map, list) else []
    wrong = [row for row in rows if not isinstance(row, dict) or not isinstance(row.get("well"), str)]
    if wrong or not isinstance(plate_map, list | None):
        got = repr(wrong[0] if wrong else plate_map)[:60]
        raise SourceError(
            f"{location}: expected a plate map with a well in each row, got {got}: "
            "convert the plate again with --plate-map"
        )
    return [dict(row) for row in rows]


def write_plate(
    path: str,
    fields: Mapping[Well, Sequence[str]],
    *,
    others: Iterable[Well] = (),
    name: str,
    version: OmeVersion,
    provenance: Mapping[str, Any],
) -> None:
    """Write the metadata of a plate and its wells, when all images are complete.

    Parameters
    ----------
    path : str
        The plate's group.
    fields : mapping of Well to sequence of str
        Paths of the images in each well that has some.
    others : iterable of Well
        Wells without images that the plate must have room for.
    name : str
        Name of the plate.
    version : {"0.4", "0.5"}
        Of OME-Zarr.
    provenance : mapping
        What made the plate; kept as group attribute ``simsearch``.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    fmt = FORMATS[version]
    rows, columns = plate_size([*fields, *others])
    with store_errors(path):
        for well in sorted(fields):
            group = zarr.open_group(**zarr_store(join(path, well.path)), mode="a", zarr_format=fmt.zarr_format)
            write_well_metadata(group, list(fields[well]), fmt=fmt)
        for well in fields:
            zarr.open_group(**zarr_store(join(path, row_name(well.row))), mode="a", zarr_format=fmt.zarr_format)
        group = zarr.open_group(**zarr_store(path), mode="a", zarr_format=fmt.zarr_format)
        group.attrs["simsearch"] = plain_json(provenance)
        write_plate_metadata(
            group,
            rows=[row_name(row) for row in range(rows)],
            columns=[column_name(column) for column in range(columns)],
            wells=[well.path for well in sorted(fields)],
            fmt=fmt,
            field_count=max(map(len, fields.values())),
            name=name,
        )


def _images_of_well(path: str) -> tuple[str, ...] | None:
    """Return the names of the images of a well; None if there is no such well."""
    try:
        group = open_group(path)
    except MissingError:
        return None
    ome, version = ome_attributes(group, path)
    return parse_well_images(ome, version, path)


def _left_out(path: str, wells: Sequence[str]) -> str:
    name, named = stem(path.rsplit("/", 1)[-1]), ", ".join(wells[:_MOST_NAMED])
    more = f" and {len(wells) - _MOST_NAMED} more" if len(wells) > _MOST_NAMED else ""
    return f"{name}: left out as empty, since the plate lists wells that are not there: {named}{more}"


def _series(group: zarr.Group, version: str, path: str) -> Sequence[str]:
    with zarr_errors(path, "a collection of images"):
        listed = group.get("OME")
        attributes = listed.attrs.asdict() if isinstance(listed, zarr.Group) else {}
        series: Any = attributes.get("ome", attributes)
        if isinstance(series, dict) and series.get("series"):
            return parse_series(series, version, join(path, "OME"))
        names: list[str] = []
        while str(len(names)) in group:  # a server cannot list, but tells what is there
            names.append(str(len(names)))
        return names
