"""What options may be: refused where they are made, before anything is read or computed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simsearch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

LEAST_TILE = 8
"""Positions of the feature grid along a side of a tile: of smaller ones, most would be read for their halo."""


def check_among(name: str, value: object, known: Collection[object]) -> None:
    """Refuse what is none of a few words.

    Raises
    ------
    ConfigError
        If it is another.

    Examples
    --------
    >>> check_among("kind", "sparse", ("dense", "patchwise"))
    Traceback (most recent call last):
    simsearch.errors.ConfigError: kind: expected dense or patchwise, got 'sparse': choose one of these
    """
    if value not in known:
        raise ConfigError(f"{name}: expected {' or '.join(map(str, known))}, got {value!r}: choose one of these")


def check_range(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    """Refuse a number that is too low or too high; none at all is right.

    Raises
    ------
    ConfigError
        If it is out of range.

    Examples
    --------
    >>> check_range("tile", 4, LEAST_TILE)
    Traceback (most recent call last):
    simsearch.errors.ConfigError: tile: expected at least 8, got 4: choose another number
    >>> check_range("floor", 2, 0, 1)
    Traceback (most recent call last):
    simsearch.errors.ConfigError: floor: expected 0 to 1, got 2: choose another number
    """
    if value is not None and not low <= value <= high:
        wanted = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
        raise ConfigError(f"{name}: expected {wanted}, got {value:g}: choose another number")
