"""The pictures of a model show what they are made of, and its card lists what is to be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from simsearch.io.pictures.model_card import draw_losses, draw_patches, write_card

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

RED_BLUE = ("FF0000", "0000FF")


def patches(n: int, *levels: float, shape: tuple[int, int] = (40, 40)) -> Pixels:
    """Make n even patches of these intensities of their channels."""
    return np.broadcast_to(np.array(levels, np.float32)[:, None, None], (n, len(levels), *shape))


def drawn(rows: dict[str, Pixels], path: Path, colors: tuple[str, ...] = RED_BLUE) -> list[NDArray[np.int16]]:
    """Draw rows and return the pixels of each, without its title."""
    draw_patches(rows, colors, path)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("RGB")).astype(np.int16)
    assert len(pixels) % len(rows) == 0
    return [row[26:] for row in np.split(pixels, len(rows))]


def area(pixels: NDArray[np.int16], color: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - color).max(axis=-1) < 5).sum())


def test_patches_of_each_role_are_in_its_row(tmp_path: Path) -> None:
    rows = {"red": patches(3, 1, 0), "blue": patches(2, 0, 1), "dark": patches(5, 0, 0)}
    red, blue, dark = drawn(rows, tmp_path / "patches.png")
    one = 72 * 72
    assert (area(red, (255, 0, 0)), area(red, (0, 0, 255)), area(red, (0, 0, 0))) == (3 * one, 0, 0)
    assert (area(blue, (255, 0, 0)), area(blue, (0, 0, 255)), area(blue, (0, 0, 0))) == (0, 2 * one, 0)
    assert area(dark, (0, 0, 0)) == 5 * one


def test_channels_are_drawn_in_their_colors(tmp_path: Path) -> None:
    (row,) = drawn({"both": patches(1, 1, 0.5)}, tmp_path / "patches.png", ("00FF00", "FF00FF"))
    assert area(row, (128, 255, 128)) == 72 * 72


def test_of_many_patches_some_of_all_are_drawn(tmp_path: Path) -> None:
    levels = np.linspace(0, 1, 40, dtype=np.float32)
    many = np.broadcast_to(levels[:, None, None, None], (40, 1, 8, 8))
    (row,) = drawn({"grey": many}, tmp_path / "patches.png", ("FFFFFF",))
    middles = row[36, 4 + 36 :: 76, 0]
    assert len(middles) == 12
    assert (middles[0], middles[-1]) == (0, 255)
    assert (np.diff(middles) > 0).all()


@pytest.mark.parametrize(("shape", "size"), [((48, 24), (72, 36)), ((10, 100), (7, 72)), ((1, 200), (1, 72))])
def test_patches_keep_their_shape(tmp_path: Path, shape: tuple[int, int], size: tuple[int, int]) -> None:
    (row,) = drawn({"red": patches(2, 1, 0, shape=shape)}, tmp_path / "patches.png")
    assert area(row, (255, 0, 0)) == 2 * size[0] * size[1]


def test_titles_differ(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw_patches({name: patches(2, 1, 0)}, RED_BLUE, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_without_patches_there_is_a_picture_still(tmp_path: Path) -> None:
    draw_patches({}, RED_BLUE, tmp_path / "patches.png")
    with Image.open(tmp_path / "patches.png") as sheet:
        assert (np.asarray(sheet) == 255).all()


def blue(path: Path) -> list[tuple[int, int]]:
    """Find the pixels of the curve."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    found: list[tuple[int, int]] = np.argwhere(np.abs(pixels - (0x00, 0x72, 0xB2)).max(axis=-1) < 20).tolist()
    return found


def test_losses_that_fall_are_drawn_falling(tmp_path: Path) -> None:
    for name, values in {"down": [3.0, 2.0, 1.0], "up": [1.0, 2.0, 3.0]}.items():
        draw_losses({"clean": values}, tmp_path / f"{name}.png")
        pixels = blue(tmp_path / f"{name}.png")
        left = [y for y, x in pixels if x < np.percentile([x for _, x in pixels], 10)]
        right = [y for y, x in pixels if x > np.percentile([x for _, x in pixels], 90)]
        assert (np.mean(left) < np.mean(right)) == (name == "down")  # y points down


def test_each_stage_has_its_curve(tmp_path: Path) -> None:
    draw_losses({"clean": [1.0, 0.5]}, tmp_path / "one.png")
    draw_losses({"noisy": [2.0], "clean": [1.0, 0.5], "classifier": [3.0, 1.0]}, tmp_path / "three.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "three.png") as three:
        assert three.width == pytest.approx(3 * one.width, rel=0.01)
        assert three.height == one.height
    thirds = {3 * x // three.width for _, x in blue(tmp_path / "three.png")}
    assert thirds == {0, 1, 2}


def test_the_card_lists_the_facts_in_a_table_that_names_cannot_break(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    write_card({"kind": "dense", "classes": "background, a|b, µ"}, path)
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    assert [row for row in rows if row[0] in ("kind", "classes")] == [
        ["kind", "dense"],
        ["classes", "background, a/b, µ"],
    ]
    assert {len(row) for row in rows} == {2}
    for picture in ("patches.png", "losses.png"):
        assert any(f"]({picture})" in line for line in lines)
