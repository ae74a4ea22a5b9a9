"""Images of the wells that a column of the plate map tells apart, such as controls and samples."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.checks.names import natural_key
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.plates.wells import parse_well
from simsearch.io.tables.plate_maps.control_words import EMPTY, NEGATIVE, POSITIVE, role_of_word
from simsearch.io.tables.plate_maps.treatments import ROLE
from simsearch.workflows.curate.layout import cell_text, find_layout, plate_maps, telling_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.workflows.curate.layout import PlateMap
    from simsearch.workflows.curate.study import StudyImage

_CONTROLS = (NEGATIVE, POSITIVE)


def choose_by_column(
    images: Sequence[StudyImage], column: str, n: int, seed: int, tell: Callable[[str], object] = lambda note: None
) -> tuple[str, ...]:
    """Choose images so that each value of a column of the plate map has some, as far as they go round.

    Parameters
    ----------
    images : sequence of StudyImage
        All images of a study.
    column : str
        Of the plate map, in capital or small letters.
    n : int
        How many images. Of more values than that, numbers are taken from the lowest to the highest, evenly.
    seed : int
        Of the random choice among the wells of a value.
    tell : callable
        Gets a note where the column has one value only.

    Returns
    -------
    tuple of str
        Their names, in the order of the study.

    Raises
    ------
    ConfigError
        If there is no plate map, or no such column in it.
    SourceError
        If a plate cannot be read.
    """
    by_value = _told(images, column, tell)
    return tuple(images[index].name for index in choose_of_each(by_value, n, np.random.default_rng(seed)))


def groups_by_column(
    images: Sequence[StudyImage], column: str, n: int, tell: Callable[[str], object] = lambda note: None
) -> list[list[str]]:
    """Group images by the values of a column of the plate map, to choose `n` from the groups in turn.

    Parameters
    ----------
    images, column, n, tell
        As `choose_by_column` takes them.

    Returns
    -------
    list of list of str
        Names of the images of each value, at most `n` values.

    Raises
    ------
    ConfigError
        If there is no plate map, or no such column in it.
    SourceError
        If a plate cannot be read.
    """
    by_value = _told(images, column, tell)
    return [[images[index].name for index in by_value[value]] for value in _spread(list(by_value), max(0, n))]


def _told(images: Sequence[StudyImage], column: str, tell: Callable[[str], object]) -> dict[str, list[int]]:
    """Tell which images lie in wells of each value of a column, which there must be."""
    maps = plate_maps(find_layout(images))
    by_value = images_by_value(maps, column)
    if not by_value:
        known = ", ".join(telling_columns([row for each in maps for row in each.rows]))
        if not known:
            raise ConfigError(
                f"expected images with a plate map whose columns tell wells apart, to display by {column}, got none: "
                "convert them with --plate-map, or leave --display-by out"
            )
        raise ConfigError(
            f"expected a column of the plate map that tells wells apart ({known}), got {column!r}: name one"
        )
    if len(by_value) == 1:
        tell(f"all wells are alike in {column}, {next(iter(by_value))}: each may be displayed")
    return by_value


def images_by_value(maps: Sequence[PlateMap], column: str) -> dict[str, list[int]]:
    """Tell which images of a study lie in wells of each value of a column; wells that are called empty are left out.

    Returns
    -------
    dict
        Places of images in the study by value: controls first, then numbers by size, then names.
    """
    found: dict[str, list[int]] = {}
    for each in maps:
        values = {name: value for row in each.rows if (value := _value(row, column)) and (name := _well(row))}
        empty = {_well(row) for row in each.rows if role_of_word(_value(row, ROLE)) == EMPTY}
        for field in each.plate.fields:
            if field.well.name in values and field.well.name not in empty:
                found.setdefault(values[field.well.name], []).append(field.image)
    return {value: found[value] for value in sorted(found, key=_rank)}


def choose_of_each(by_value: Mapping[str, Sequence[int]], n: int, rng: np.random.Generator) -> list[int]:
    """Choose images in turn from each value, at random within it.

    Examples
    --------
    >>> by_value = {"0": [0, 1], "5": [2], "10": [3, 4]}
    >>> [len(choose_of_each(by_value, n, np.random.default_rng(0))) for n in (1, 3, 4, 9)]
    [1, 3, 4, 5]
    >>> choose_of_each({str(dose): [dose] for dose in range(9)}, 3, np.random.default_rng(0))
    [0, 4, 8]
    """
    shuffled: list[NDArray[np.intp]] = [rng.permutation(by_value[value]) for value in _spread(list(by_value), n)]
    turns = (
        int(own[turn]) for turn in range(max(map(len, shuffled), default=0)) for own in shuffled if turn < len(own)
    )
    return sorted(islice(turns, n))


def _spread(values: list[str], n: int) -> list[str]:
    """Return at most `n` values: of numbers from the lowest to the highest, of others the first."""
    if len(values) <= n:
        return values
    chosen = np.linspace(0, len(values) - 1, n).round().astype(int) if all(map(_number_of, values)) else range(n)
    return [values[at] for at in chosen]


def has_controls(maps: Sequence[PlateMap]) -> bool:
    """Tell whether the plate map says which wells are controls."""
    return any(role_of_word(_value(row, ROLE)) in _CONTROLS for each in maps for row in each.rows)


def _value(row: Mapping[str, Any], column: str) -> str:
    return next((cell_text(value) for name, value in row.items() if name.casefold() == column.casefold()), "")


def _well(row: Mapping[str, Any]) -> str:
    well = parse_well(str(row.get("well", "")))
    return well.name if well else ""


def _number_of(value: str) -> tuple[float] | None:
    try:
        return (float(value),)
    except ValueError:
        return None


def _rank(value: str) -> tuple[Any, ...]:
    role = role_of_word(value)
    if role in _CONTROLS:
        return (0, _CONTROLS.index(role))
    number = _number_of(value)
    return (1, *number) if number else (2, natural_key(value))
