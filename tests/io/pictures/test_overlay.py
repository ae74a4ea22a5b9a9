"""Legends of pictures hold any name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.pictures.overlay import Drawing, Mark, draw_areas, draw_overlay

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage


def test_a_class_whose_name_has_a_line_feed_is_drawn_in_one_line(tmp_path: Path, save_image: SaveImage) -> None:
    meta = save_image(tmp_path / "a.ome.zarr", np.zeros((1, 40, 60), np.uint8))
    name, labels = "two\nlines\x1b[31m", np.ones((40, 60), np.uint8)
    draw_areas(meta, [0], [(0.0, 255.0)], labels, [name], tmp_path / "areas.png")
    drawing = Drawing((name,), (Mark(0, 20, 20, 8, 8),))
    draw_overlay(meta, [0], [(0.0, 255.0)], drawing, tmp_path / "peaks.png")
    for path in (tmp_path / "areas.png", tmp_path / "peaks.png"):
        with Image.open(path) as picture:
            assert picture.width == 60


def test_a_stained_slide_is_drawn_in_its_true_colours(tmp_path: Path, save_image: SaveImage) -> None:
    glass = np.broadcast_to(np.array([240, 235, 245], np.uint8)[:, None, None], (3, 40, 60))
    slide = save_image(
        tmp_path / "slide.ome.zarr", np.ascontiguousarray(glass), channel_names=RGB_NAMES, channel_colors=RGB_COLORS
    )
    ranges = [(100.0, 240.0), (50.0, 235.0), (120.0, 250.0)]  # of each channel alone: false colours
    draw_areas(slide, [0, 1, 2], ranges, np.zeros((40, 60), np.uint8), ["tissue"], tmp_path / "areas.png")
    draw_overlay(slide, [0, 1, 2], ranges, Drawing((), ()), tmp_path / "peaks.png")
    for path in (tmp_path / "areas.png", tmp_path / "peaks.png"):
        with Image.open(path) as picture:
            assert picture.getpixel((30, 20)) == (240, 235, 245)
