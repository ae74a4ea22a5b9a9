"""Legends of pictures hold any name."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.pictures.overlay import CLASS_COLORS, Drawing, Mark, draw_areas, draw_overlay
from simsearch.io.tables.xml import parse_xml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage

SVG = "{http://www.w3.org/2000/svg}"


def test_a_class_whose_name_has_a_line_feed_is_drawn_in_one_line(tmp_path: Path, save_image: SaveImage) -> None:
    meta = save_image(tmp_path / "a.ome.zarr", np.zeros((1, 40, 60), np.uint8))
    name, labels = "two\nlines\x1b[31m", np.ones((40, 60), np.uint8)
    draw_areas(meta, [0], [(0.0, 255.0)], labels, [name], tmp_path / "areas.png")
    drawing = Drawing((name,), (Mark(0, 20, 20, 8, 8),))
    draw_overlay(meta, [0], [(0.0, 255.0)], drawing, tmp_path / "peaks.png")
    for path in (tmp_path / "areas.png", tmp_path / "peaks.png"):
        with Image.open(path) as picture:
            assert picture.width == 60


def test_an_overlay_is_also_svg_with_boxes_and_words_upon_its_pixels(tmp_path: Path, save_image: SaveImage) -> None:
    grey = np.full((1, 40, 60), 128, np.uint8)
    meta = save_image(tmp_path / "a.ome.zarr", grey)
    drawing = Drawing(
        ("a & <b>", "two\nlines"), (Mark(0, 20, 20, 8, 10), Mark(1, 10, 40, 8, 10), Mark(1, 30, 40, 8, 10))
    )
    draw_overlay(meta, [0], [(0.0, 255.0)], drawing, tmp_path / "peaks.png")
    drawn = parse_xml((tmp_path / "peaks.svg").read_bytes(), "peaks.svg")
    assert [each.text for each in drawn.iter(f"{SVG}text")] == ["a & <b>: 1", "two\N{REPLACEMENT CHARACTER}lines: 2"]
    boxes = [each.attrib for each in drawn.iter(f"{SVG}rect") if each.get("stroke") == CLASS_COLORS[1]]
    assert [(each["x"], each["y"], each["width"], each["height"]) for each in boxes] == [
        ("35.50", "6.50", "9.00", "7.00"), ("35.50", "26.50", "9.00", "7.00")
    ]  # fmt: skip
    (image,) = drawn.iter(f"{SVG}image")
    with Image.open(BytesIO(b64decode(image.attrib["href"].partition(",")[2]))) as pixels:
        assert (pixels.size, pixels.getpixel((5, 5))) == ((60, 40), (128, 128, 128))
    draw_areas(meta, [0], [(0.0, 255.0)], np.ones((40, 60), np.uint8), ["<tissue>"], tmp_path / "areas.png")
    (words,) = parse_xml((tmp_path / "areas.svg").read_bytes(), "areas.svg").iter(f"{SVG}text")
    assert words.text == "<tissue> 100%"


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
