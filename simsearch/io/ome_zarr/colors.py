"""Colours that channels are drawn in when nobody has said which."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

RGB_NAMES = ("Red", "Green", "Blue")
RGB_COLORS = ("FF0000", "00FF00", "0000FF")

_DYES = {
    "0000FF": ("dapi", "dna", "hoechst", "draq", "blue"),
    "00FF00": ("gfp", "fitc", "488", "green"),
    "FF0000": ("rfp", "tritc", "mcherry", "cy3", "texas", "568", "594", "red"),
    "FF00FF": ("cy5", "647", "magenta", "farred"),
}
_CYCLE = ("00FF00", "FF00FF", "0000FF", "FF0000", "00FFFF", "FFFF00")


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
