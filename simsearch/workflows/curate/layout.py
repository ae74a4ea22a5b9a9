"""Where the images of a study are: on which plate, in which well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simsearch.io.ome_zarr.plates.hierarchy import read_plate_map
from simsearch.io.ome_zarr.plates.wells import Well, make_well, parse_well, plate_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.workflows.curate.study import StudyImage

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


def treatments(plate: PlateLayout) -> dict[str, str]:
    """Read what is in each well, in words.

    Returns
    -------
    dict
        By well (such as B03); empty if the plate has no plate map.

    Raises
    ------
    SourceError
        If the plate cannot be read.
    """
    words = {}
    for row in read_plate_map(plate.path):
        well = parse_well(str(row.get("well", "")))
        if well is not None:
            words[well.name] = treatment_words(row)
    return words


def treatment_words(row: dict[str, Any]) -> str:
    """Write a row of a plate map in words: drug, dose and unit first, then whatever else there is.

    Examples
    --------
    >>> treatment_words({"well": "A01", "role": "sample", "drug": "wortmannin", "dose": 16.0, "unit": "nM"})
    'wortmannin 16 nM, role sample'
    """
    values = {
        key.lower(): f"{v:g}" if isinstance(v, float) else str(v) for key, v in row.items() if v not in (None, "")
    }
    first = " ".join(values.pop(key) for key in ("drug", "compound", "treatment", "dose", "unit") if key in values)
    rest = [f"{key} {value}" for key, value in values.items() if key != "well"]
    return ", ".join([*([first] if first else []), *rest])
