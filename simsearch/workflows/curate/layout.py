"""Where the images of a study are: on which plate, in which well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simsearch.io.ome_zarr.plates.hierarchy import read_plate_map
from simsearch.io.ome_zarr.plates.wells import Well, make_well, parse_well, plate_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simsearch.workflows.curate.study import StudyImage

_FIRST = ("drug", "compound", "treatment", "dose", "concentration", "unit")
_PLACES = ("well", "row", "column", "col", "index", "field", "plate")
_LEVELS = 3  # of names below a plate: row, column, field


@dataclass(frozen=True, slots=True)
class PlateField:
    """A field of a plate that belongs to a study."""

    image: int
    """Its place among the images of the study."""
    well: Well
    name: str
    """Of the field in its well."""


@dataclass(frozen=True, slots=True)
class PlateLayout:
    """A plate of a study."""

    name: str
    path: str
    """Path or URL of its group."""
    n_rows: int
    n_columns: int
    fields: tuple[PlateField, ...]
    """In the order of the study."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the images of a study are."""

    plates: tuple[PlateLayout, ...]
    others: tuple[int, ...]
    """Places in the study of the images that are on no plate."""


def find_layout(images: Sequence[StudyImage]) -> Layout:
    """Tell by their names and paths which images are fields of which plate; nothing is read.

    Examples
    --------
    >>> from simsearch.workflows.curate.study import StudyImage
    >>> layout = find_layout([StudyImage("p/B/03/0", "/x/p.ome.zarr/B/03/0", (9, 9)), StudyImage("a", "/x/a", (9, 9))])
    >>> [(plate.name, plate.n_rows, plate.n_columns) for plate in layout.plates], layout.others
    ([('p', 2, 3)], (1,))
    """
    by_path: dict[str, tuple[str, list[PlateField]]] = {}
    others = []
    for index, image in enumerate(images):
        plate, *below = image.name.rsplit("/", _LEVELS)
        well = make_well(below[0], below[1]) if len(below) == _LEVELS else None
        if well is None:
            others.append(index)
            continue
        path = image.path.rsplit("/", _LEVELS)[0]
        by_path.setdefault(path, (plate, []))[1].append(PlateField(index, well, below[2]))
    plates = (
        PlateLayout(name, path, *plate_size([field.well for field in fields]), tuple(fields))
        for path, (name, fields) in by_path.items()
    )
    return Layout(tuple(plates), tuple(others))


@dataclass(frozen=True, slots=True)
class PlateMap:
    """What the plate map says of the wells of a plate."""

    plate: PlateLayout
    rows: tuple[Mapping[str, Any], ...]
    """A row a well; none of a plate without a map."""


def plate_maps(layout: Layout) -> list[PlateMap]:
    """Read the plate map of each plate.

    Raises
    ------
    SourceError
        If a plate cannot be read.
    """
    return [PlateMap(plate, tuple(read_plate_map(plate.path))) for plate in layout.plates]


def treatments(plate_map: PlateMap) -> dict[str, str]:
    """Say what is in each well, in words: what tells wells apart, and neither numbers of rows nor names of files.

    Returns
    -------
    dict
        By well (such as B03); empty if the plate has no plate map.
    """
    columns = telling_columns(plate_map.rows)
    return {
        well.name: treatment_words({name: row[name] for name in columns if name in row})
        for row in plate_map.rows
        if (well := parse_well(str(row.get("well", "")))) is not None
    }


def telling_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the columns of a plate map that say what is in wells: treatments, and what many wells have alike.

    Examples
    --------
    >>> rows = [
    ...     {"well": f"A0{i}", "row": "A", "index": i, "role": ["dmso", "drug"][i % 2], "dose": i, "file": f"{i}.tif"}
    ...     for i in range(1, 7)
    ... ]
    >>> telling_columns(rows)
    ['role', 'dose']
    """
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: {text for row in rows if (text := cell_text(row.get(name)))} for name in names}
    return [
        name
        for name in names
        if name.casefold() not in _PLACES
        and values[name]
        and (name.casefold() in (*_FIRST, "role") or 1 < len(values[name]) <= len(rows) / 2)
    ]


def treatment_words(row: Mapping[str, Any]) -> str:
    """Write a row of a plate map in words: drug, dose and unit first, then its role, then whatever else there is.

    Examples
    --------
    >>> row = {"well": "A01", "batch": 2, "role": "negative_control", "drug": "wortmannin", "dose": 16.0, "unit": "nM"}
    >>> treatment_words(row)
    'wortmannin 16 nM, negative control, batch 2'
    """
    values = {key.casefold(): text for key, value in row.items() if (text := cell_text(value))}
    first = " ".join(values.pop(key) for key in _FIRST if key in values)
    role = values.pop("role", "").replace("_", " ")
    rest = [f"{key} {value}" for key, value in values.items() if key != "well"]
    return ", ".join([each for each in (first, role, *rest) if each])


def cell_text(value: object) -> str:
    """Write a cell of a plate map; empty where there is nothing.

    Examples
    --------
    >>> cell_text(16.0), cell_text(" DMSO "), cell_text(None)
    ('16', 'DMSO', '')
    """
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
