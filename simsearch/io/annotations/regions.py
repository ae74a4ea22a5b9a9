"""What readers of annotations give, whatever the file: regions; and what becomes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.boxes import Box
from simsearch.errors import AnnotationError
from simsearch.io.tables.curation import BACKGROUND, Annotation, LeftOut, make_annotation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DECIMALS = 3  # of centres and sides, as a curation has them


@dataclass(frozen=True, slots=True)
class Bounds:
    """What surrounds a region, in level-0 pixels whose edges are at whole numbers: the first reaches from 0 to 1."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, slots=True)
class Region:
    """What somebody has drawn, and what the file says about it."""

    bounds: Bounds | None
    """Where it is, if the file says it."""
    class_name: str | None = None
    """None where the file names none."""
    color: str | None = None
    """Of the class, ``#`` and 6 lower-case hex digits, where known."""
    role: str | None = None
    """What simsearch itself has written into it."""
    image: str | None = None
    """Name of the image, where the file says it."""
    left_out: str | None = None
    """Why it is none that a person drew around objects of a class."""


Found = list[tuple[str, Region | AnnotationError]]
"""What was found in a file, in its order: the place of each (``feature 3``), and it or why it cannot be understood."""


def bounds_of(points: Iterable[tuple[float, float]]) -> Bounds:
    """Surround points given as y and x.

    Raises
    ------
    AnnotationError
        If there is none, or one is nowhere.
    """
    ys, xs = zip(*points, strict=True) if (points := list(points)) else ((), ())
    if not points or not all(map(math.isfinite, (*ys, *xs))):
        got = "corners that are nowhere (NaN or infinity)" if points else "none"
        raise AnnotationError(f"expected corners of a region, got {got}: export it again")
    return Bounds(min(ys), min(xs), max(ys), max(xs))


def as_annotation(region: Region, image: str, class_name: str | None) -> Annotation | LeftOut:
    """Turn a region into an annotation: its class is that of the file, and its box surrounds it.

    Parameters
    ----------
    region : Region
        What was read. A class called ``background`` makes it background, and any other a prototype, unless simsearch
        has written its role.
    image : str
        Name of its image.
    class_name : str, optional
        Class of those that have none; without it they are left out.

    Raises
    ------
    AnnotationError
        If a name has characters that cannot be printed, or it is nowhere.
    """
    name = (region.class_name or "").strip() or class_name or ""
    for each in (image, name):
        if not each.isprintable():
            raise AnnotationError(f"expected a name of printable characters, got {each!r}: rename it")
    if region.bounds is None:
        return LeftOut(region.left_out or "without a place")
    y, height = _centre(region.bounds.top, region.bounds.bottom)
    x, width = _centre(region.bounds.left, region.bounds.right)
    if region.left_out or not name:
        return LeftOut(region.left_out or "without a class (--class NAME gives them one)", y, x)
    role = region.role or (BACKGROUND if name.casefold() == BACKGROUND else "prototype")
    return make_annotation(Box(image, name, y, x, height, width), role, region.color)


def number(value: object) -> float:
    """Read a number of a file, as text or as it is.

    Raises
    ------
    AnnotationError
        If it is none, or none that has a place on an axis.
    """
    try:
        found = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise AnnotationError(f"expected a number, got {shortened(value)}: export it again")
    return found


def attribute(attributes: Mapping[str, str], name: str) -> float:
    """Read a number from the attributes of an element.

    Raises
    ------
    AnnotationError
        If it is not there, or no number.
    """
    if name not in attributes:
        raise AnnotationError(f"expected a number in {name}, got nothing: export it again")
    return number(attributes[name])


def shortened(value: object) -> str:
    """Write something of a file on a line of an error, however long or deep it is.

    Examples
    --------
    >>> shortened("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
    """
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # the latter of whole numbers of thousands of digits
        text = f"a {type(value).__name__} that is too deep or too large"
    return text if len(text) <= 60 else f"{text[:56]}..."


def _centre(low: float, high: float) -> tuple[float, float]:
    return round((low + high) / 2 - 0.5, _DECIMALS), round(high - low, _DECIMALS)
