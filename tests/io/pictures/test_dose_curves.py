"""Figures of dose and response, by what can be seen in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from simsearch.core.dose_response import DoseResponse
from simsearch.errors import ConfigError
from simsearch.io.pictures.dose_curves import DosePanel, draw_dose_response
from simsearch.io.pictures.overlay import CLASS_COLORS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DOSES = np.repeat([0.0, 1.0, 4.0, 16.0, 64.0, 256.0], 3)
RISING = DoseResponse(0.1, 0.7, 10.0, 1.5, (8.0, 12.5))
FALLING = DoseResponse(0.8, 0.1, 12.0, 1.5, (10.0, 14.0))
FLAT = DoseResponse(0.2, 0.22, 30.0, 1.0, (0.0, math.inf))


def panel(title: str, unit: str = "nM", **fits: DoseResponse) -> DosePanel:
    offsets = np.tile([-0.03, 0.0, 0.03], len(DOSES) // 3)
    return DosePanel(title, unit, DOSES, {name: fit.at(DOSES) + offsets for name, fit in fits.items()}, fits)


def drawn(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count(pixels: NDArray[np.uint8], color: str, alpha: float = 1.0) -> int:
    """Count the pixels of a colour, or of its blend with white but for rounding."""
    rgb = [alpha * int(color[i : i + 2], 16) + (1 - alpha) * 255 for i in (1, 3, 5)]
    return int((np.abs(pixels - np.array(rgb)) <= 1).all(axis=-1).sum())


def test_each_drug_has_a_panel_with_each_class_in_its_colour(tmp_path: Path) -> None:
    path = tmp_path / "dose.png"
    panels = [panel(drug, nucleus=RISING, cytoplasm=FALLING, none=FLAT) for drug in ("Wortmannin", "LY294002")]

    draw_dose_response(panels, path)

    pixels = drawn(path)
    for half in np.array_split(pixels, 2, axis=1):
        assert [count(half, color) > 200 for color in CLASS_COLORS[:4]] == [True, True, True, False]


def test_a_fit_adds_a_curve_and_a_band(tmp_path: Path) -> None:
    fitted = panel("drug", nucleus=RISING)
    alone = DosePanel(fitted.title, fitted.unit, fitted.doses, fitted.fractions)
    draw_dose_response([fitted], tmp_path / "fitted.png")
    draw_dose_response([alone], tmp_path / "alone.png")

    n_pixels = [count(drawn(tmp_path / name), CLASS_COLORS[0]) for name in ("fitted.png", "alone.png")]
    assert n_pixels[0] > 2 * n_pixels[1] > 0
    n_pixels = [count(drawn(tmp_path / name), CLASS_COLORS[0], alpha=0.15) for name in ("fitted.png", "alone.png")]
    assert n_pixels[0] > 5000 > n_pixels[1]


def test_a_class_has_the_same_colour_in_all_panels(tmp_path: Path) -> None:
    draw_dose_response([panel("a", nucleus=RISING), panel("b", cytoplasm=FALLING)], tmp_path / "dose.png")

    left, right = np.array_split(drawn(tmp_path / "dose.png"), 2, axis=1)
    assert [count(left, color) > 200 for color in CLASS_COLORS[:2]] == [True, False]
    assert [count(right, color) > 200 for color in CLASS_COLORS[:2]] == [False, True]


def test_what_is_rare_is_drawn_too(tmp_path: Path) -> None:
    """Wells without objects, classes without any, no dose 0, few and many decades, EC50 off the axis."""
    some = np.where(np.arange(len(DOSES)) == 4, math.nan, 0.5)
    never = np.full(len(DOSES), math.nan)
    narrow, wide = np.array([2.0, 2.2, 2.4]), np.array([0.0, *10.0 ** np.arange(-9, 1)])
    far = DoseResponse(0.1, 0.9, 900.0, 1.0, (300.0, 2700.0))
    panels = [
        DosePanel("gaps", "nM", DOSES, {"a": some, "b": never}, {"a": far}),
        DosePanel("narrow", "µM", narrow, {"a": narrow / 3}),
        DosePanel("wide", "M", wide, {"a": np.linspace(0, 1, len(wide))}),
        DosePanel("single", "M", np.array([5.0]), {"a": np.array([0.5])}),
    ]

    draw_dose_response(panels, tmp_path / "dose.png")

    assert count(drawn(tmp_path / "dose.png"), CLASS_COLORS[0]) > 200


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one drug"):
        draw_dose_response([], tmp_path / "dose.png")
    for doses, got in (([0.0, 0.0], "none above 0"), ([1.0, -2.0], "-2"), ([1.0, math.nan], "nan")):
        with pytest.raises(ConfigError, match=f"DMSO: expected doses from 0 up, got {got}"):
            draw_dose_response([DosePanel("DMSO", "nM", np.array(doses), {"a": np.zeros(2)})], tmp_path / "dose.png")
    assert not (tmp_path / "dose.png").exists()
