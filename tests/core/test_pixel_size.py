"""Pixel sizes: units as people and tools write them, and sizes that cannot be."""

from __future__ import annotations

import math

import pytest

from simsearch.core.pixel_size import believable_pixel_size, micrometers


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("micrometer", 1.0),
        ("Micrometres", 1.0),
        ("um", 1.0),
        ("\u00b5m", 1.0),
        ("\u03bcm", 1.0),
        (r"\u00B5m", 1.0),
        ("micron", 1.0),
        ("microns", 1.0),
        (" nm ", 1e-3),
        ("picometer", 1e-6),
        ("pm", 1e-6),
        ("angstrom", 1e-4),
        ("\u212b", 1e-4),
        ("\u00c5", 1e-4),
        ("millimeter", 1e3),
        ("MM", 1e3),
        ("Mm", 1e12),
        ("inch", 25400.0),
    ],
)
def test_units_of_length_are_known_by_all_their_names(unit: str, um: float) -> None:
    assert micrometers(unit) == um


@pytest.mark.parametrize("side", [0, -0.5, math.nan, math.inf, 32_500, 1e-9, 10**400, True, None, [], "0,325", "wide"])
@pytest.mark.parametrize("at", [0, 1])
def test_what_cannot_be_the_size_of_a_pixel_is_none_with_a_note(side: object, at: int) -> None:
    size, note = believable_pixel_size((0.5, side) if at else (side, 0.5), "micrometer")
    assert size is None
    assert note is not None
    assert "is not believed" in note
    assert len(note) < 150


def test_a_size_without_a_unit_is_told() -> None:
    assert "0.5 x 0.25 has no unit" in str(believable_pixel_size((0.5, 0.25), None)[1])
    assert "0.5 x 0.5 furlong has a unit that is not known" in str(believable_pixel_size((0.5, 0.5), "furlong")[1])
    assert believable_pixel_size((0.5, 0.5), ("um", None))[0] is None
    assert "\u202e" not in str(believable_pixel_size((0.5, 0.5), "\u202emu")[1])


def test_text_and_units_of_their_own_are_read() -> None:
    assert believable_pixel_size(("0.5", "250"), ("um", "nm")) == ((0.5, 0.25), None)
    assert believable_pixel_size((1, 1.0), "pixel") == (None, None)


@pytest.mark.parametrize("unit", ["s", "ms", "ns", "us", "\u00b5s", "fs"])
def test_times_are_no_lengths(unit: str) -> None:
    assert micrometers(unit) is None
