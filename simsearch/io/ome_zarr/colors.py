"""Colours that channels are drawn in when nobody has said which."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PIL import ImageColor

if TYPE_CHECKING:
    from collections.abc import Sequence

RGB_NAMES = ("Red", "Green", "Blue")
RGB_COLORS = ("FF0000", "00FF00", "0000FF")

_HEX = re.compile("[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8}")
_LONGEST = 40  # of a colour that is worth a look
_DYES = {
    "0000FF": ("dapi", "dna", "hoechst", "draq", "blue"),
    "00FF00": ("gfp", "fitc", "488", "green"),
    "FF0000": ("rfp", "tritc", "mcherry", "cy3", "texas", "568", "594", "red"),
    "FF00FF": ("cy5", "647", "magenta", "farred"),
}
_CYCLE = ("00FF00", "FF00FF", "0000FF", "FF0000", "00FFFF", "FFFF00")


def parse_color(value: object) -> str | None:
    """Understand a colour as people and tools write it; None for what is none.

    Returns
    -------
    str or None
        6 upper-case hex digits. Of 8 digits the last two are the opacity, which is left out.

    Examples
    --------
    >>> [parse_color(value) for value in ("#ff8000", "FF800080", "f80", "orange", 0xFF8000, [255, 128, 0])]
    ['FF8000', 'FF8000', 'FF8800', 'FFA500', 'FF8000', 'FF8000']
    >>> [parse_color(value) for value in ("#GG0000", "", None, -1, True, {"red": 1}, [1, "a", 3])]
    [None, None, None, None, None, None, None]
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**24:
        return f"{value:06X}"
    if isinstance(value, list) and len(value) in (3, 4) and all(type(v) is int and 0 <= v < 256 for v in value):
        return bytes(value[:3]).hex().upper()
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = value.strip()
    try:
        red, green, blue, *_ = ImageColor.getrgb(f"#{text}" if _HEX.fullmatch(text) else text)
    except ValueError:
        return None
    return bytes((red, green, blue)).hex().upper()


def default_colors(names: Sequence[str]) -> tuple[str, ...]:
    """Choose a colour for each channel, by its dye where the name tells it.

    Examples
    --------
    >>> default_colors(["DAPI", "GFP"]), default_colors(["anything"])
    (('0000FF', '00FF00'), ('FFFFFF',))
    """
    if len(names) == 1:
        return ("FFFFFF",)
    return tuple(_dye_color(name) or _CYCLE[i % len(_CYCLE)] for i, name in enumerate(names))


def _dye_color(name: str) -> str | None:
    lower = name.lower()
    return next((color for color, dyes in _DYES.items() if any(dye in lower for dye in dyes)), None)
