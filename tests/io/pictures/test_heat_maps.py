"""Heat maps of plates, by what can be seen in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.pictures.heat_maps import draw_heat_maps

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

GREY = (0xDD, 0xDD, 0xDD)


def wells(n_rows: int, n_columns: int) -> dict[str, float]:
    """Give the wells numbers in reading order."""
    return {Well(y, x).name: float(y * n_columns + x) for y in range(n_rows) for x in range(n_columns)}


def drawn(path: Path, values: Mapping[str, Mapping[str, float]]) -> Pixels:
    draw_heat_maps(values, "P1", path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def cells(pixels: Pixels, n_rows: int = 8, n_columns: int = 12) -> Pixels:
    """Take the colour in the middle of each well of the one plate in a part of a picture, found by its frame."""
    is_black = (pixels == 0).all(axis=-1)
    frame = np.flatnonzero(is_black.sum(axis=1) > 0.6 * pixels.shape[1])
    top, bottom = frame.min(), frame.max()
    columns = np.flatnonzero(is_black[top])
    columns = columns[: int(np.argmax(np.diff(columns, append=10**6) > 1)) + 1]  # the colour bar may begin as high
    (left, right), height = (columns.min(), columns.max()), bottom - top
    assert (right - left) / height == pytest.approx(n_columns / n_rows, rel=0.02)  # wells are squares
    y = np.round(top + (np.arange(n_rows) + 0.5) * height / n_rows).astype(int)
    x = np.round(left + (np.arange(n_columns) + 0.5) * (right - left) / n_columns).astype(int)
    return pixels[np.ix_(y, x)]


def left_half(pixels: Pixels) -> Pixels:
    return pixels[:, : pixels.shape[1] // 2]


def is_grey(colors: Pixels) -> NDArray[np.bool_]:
    return (colors == np.array(GREY)).all(axis=-1)


def test_each_well_has_the_colour_of_its_number(tmp_path: Path) -> None:
    pixels = drawn(tmp_path / "a.png", {"fraction nucleus": wells(8, 12)})
    expected = colormaps["viridis"](np.linspace(0, 1, 96))[:, :3].reshape(8, 12, 3)
    assert np.abs(cells(left_half(pixels)) / 255 - expected).max() < 0.02


def test_another_number_changes_that_well_alone(tmp_path: Path) -> None:
    first = drawn(tmp_path / "a.png", {"fraction nucleus": wells(8, 12)})
    again = drawn(tmp_path / "b.png", {"fraction nucleus": wells(8, 12)})
    other = drawn(tmp_path / "c.png", {"fraction nucleus": wells(8, 12) | {"C05": 80.0}})
    assert np.array_equal(first, again)
    changed = (cells(left_half(first)) != cells(left_half(other))).any(axis=-1)
    assert np.argwhere(changed).tolist() == [[2, 4]]
    ys, xs = np.nonzero((first != other).any(axis=-1))
    assert max(np.ptp(ys), np.ptp(xs)) < left_half(first).shape[1] / 12


def test_wells_without_a_number_are_grey(tmp_path: Path) -> None:
    gone = ("C05", "D06", "E07")
    rest = {name: value for name, value in wells(8, 12).items() if name not in gone}
    missing = drawn(tmp_path / "missing.png", {"fraction nucleus": rest})
    unknown = drawn(tmp_path / "nan.png", {"fraction nucleus": rest | dict.fromkeys(gone, math.nan)})
    assert np.array_equal(missing, unknown)
    assert np.argwhere(is_grey(cells(left_half(missing)))).tolist() == [[2, 4], [3, 5], [4, 6]]


def test_a_plate_without_any_number_is_grey_all_over(tmp_path: Path) -> None:
    pixels = drawn(tmp_path / "a.png", {"fraction nucleus": dict.fromkeys(wells(8, 12), math.nan)})
    assert is_grey(cells(left_half(pixels))).all()


def test_equal_numbers_are_drawn_alike(tmp_path: Path) -> None:
    colors = cells(left_half(drawn(tmp_path / "a.png", {"objects": dict.fromkeys(wells(8, 12), 0.0)})))
    assert not is_grey(colors).any()
    assert (colors == colors[0, 0]).all()


@pytest.mark.parametrize(("last", "shape"), [("B03", (2, 3)), ("P24", (16, 24)), ("AF48", (32, 48))])
def test_a_plate_is_as_large_as_its_wells_need(tmp_path: Path, last: str, shape: tuple[int, int]) -> None:
    colors = cells(left_half(drawn(tmp_path / "a.png", {"objects": {"A01": 1.0, "A02": 1.0, last: 1.0}})), *shape)
    assert np.argwhere(~is_grey(colors)).tolist() == [[0, 0], [0, 1], [shape[0] - 1, shape[1] - 1]]


def test_all_wells_of_a_384_well_plate_are_there(tmp_path: Path) -> None:
    colors = cells(left_half(drawn(tmp_path / "a.png", {"objects": wells(16, 24)})), 16, 24)
    expected = colormaps["viridis"](np.linspace(0, 1, 384))[:, :3].reshape(16, 24, 3)
    assert np.abs(colors / 255 - expected).max() < 0.02


def test_plates_stand_side_by_side_each_with_its_own_scale(tmp_path: Path) -> None:
    values = {f"fraction {i}": {name: 10.0**i * value for name, value in wells(8, 12).items()} for i in range(3)}
    pixels = drawn(tmp_path / "a.png", values)
    upper, lower = pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :]
    first = cells(left_half(upper))
    for part in (upper[:, upper.shape[1] // 2 :], left_half(lower)):
        assert np.abs(cells(part).astype(int) - first).max() <= 2
    assert (lower[:, int(0.6 * lower.shape[1]) :] == 255).all()


def test_names_that_are_no_wells_are_left_out(tmp_path: Path) -> None:
    first = drawn(tmp_path / "a.png", {"fraction nucleus": wells(8, 12)})
    other = drawn(tmp_path / "b.png", {"fraction nucleus": wells(8, 12) | {"left/upper": 3e6}})
    assert np.array_equal(first, other)


def test_wells_that_the_plate_map_calls_empty_get_a_cross(tmp_path: Path) -> None:
    values = {"objects": wells(8, 12)}
    draw_heat_maps(values, "P1", tmp_path / "crossed.png", crossed=["C05", "left/upper"])
    with Image.open(tmp_path / "crossed.png") as image:
        crossed = cells(left_half(np.asarray(image.convert("RGB"))))
    plain = cells(left_half(drawn(tmp_path / "plain.png", values)))
    assert np.argwhere((crossed != plain).any(axis=-1)).tolist() == [[2, 4]]


def test_scales_begin_at_nought(tmp_path: Path) -> None:
    colors = cells(left_half(drawn(tmp_path / "a.png", {"objects": dict.fromkeys(wells(8, 12), 3.0) | {"A01": 1.5}})))
    half, full = colormaps["viridis"](0.5), colormaps["viridis"](1.0)
    assert colors[0, 0] / 255 == pytest.approx(half[:3], abs=0.02)
    assert colors[0, 1] / 255 == pytest.approx(full[:3], abs=0.02)
