"""Pictures for the screen show the pixels that are there, at the right place and scale, and read few of them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, StoreError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.ome_zarr.image import ImageMeta
from simsearch.io.ome_zarr.image import read_region as read_region_of_image
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.io.pictures import render
from simsearch.io.pictures.render import (
    TILE_PX,
    Picture,
    ShownChannel,
    render_crop,
    render_damage,
    render_nothing,
    render_thumbnail,
    render_tile,
    shown_channels,
    widest,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.conftest import SaveImage

GREY = (ShownChannel(0, "FFFFFF", 0.0, 4000.0),)
NEAR = 12  # grey values that JPEG may be off, on smooth pixels


def decoded(picture: Picture | None) -> NDArray[np.uint8]:
    assert picture is not None
    return np.asarray(Image.open(BytesIO(picture.content)))


def smooth(height: int, width: int) -> NDArray[np.uint16]:
    """Two slopes, so that each place has its own intensity."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4000 * y / height, 4000 * x / width]).astype(np.uint16)


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint16]:
    return smooth(1301, 723)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, save_image: SaveImage, pixels: NDArray[np.uint16]) -> ImageMeta:
    return save_image(tmp_path_factory.mktemp("render") / "slopes.ome.zarr", pixels)


def test_the_tiles_of_each_zoom_are_the_image_halved(image: ImageMeta, pixels: NDArray[np.uint16]) -> None:
    level = pixels[0]
    for downsampling in (1, 2, 4, 8, 16, 32):  # beyond 4 there is no level of the pyramid, beyond 8 one tile shows all
        rows, columns = (-(-side // TILE_PX) for side in level.shape)
        for y in range(rows):
            for x in range(columns):
                tile = decoded(render_tile(image, GREY, downsampling, y, x))
                part = level[y * TILE_PX : (y + 1) * TILE_PX, x * TILE_PX : (x + 1) * TILE_PX] / 4000 * 255
                height, width = part.shape
                assert tile.shape[:2] == (TILE_PX, TILE_PX)
                assert np.abs(tile[:height, :width, 0] - part).max() < NEAR
                if tile.shape[2] == 4:  # over the border
                    assert (tile[:height, :width, 3] == 255).all()
                    assert not tile[height:, :, 3].any()
                    assert not tile[:, width:, 3].any()
                else:
                    assert part.shape == (TILE_PX, TILE_PX)
        for y, x in ((rows, 0), (0, columns), (-1, 0), (0, -1)):
            assert render_tile(image, GREY, downsampling, y, x) is None
        level = halved(level)


def test_gamma_is_an_exponent_of_what_lies_between_dark_and_bright(
    image: ImageMeta, pixels: NDArray[np.uint16]
) -> None:
    tile = decoded(render_tile(image, (ShownChannel(0, "FFFFFF", 0.0, 1000.0, gamma=0.5),), 1, 0, 0))[..., 0]
    expected = 255 * np.sqrt(np.clip(pixels[0, :TILE_PX, :TILE_PX] / 1000, 0, 1))
    assert np.abs(tile - expected)[16:].max() < NEAR  # above, the slope is steep


def test_a_tile_inside_is_jpeg_and_one_over_the_border_webp(image: ImageMeta) -> None:
    inside, border = render_tile(image, GREY, 1, 0, 0), render_tile(image, GREY, 1, 5, 2)
    assert inside is not None
    assert border is not None
    assert (inside.mime, border.mime) == ("image/jpeg", "image/webp")


def test_channels_have_their_colours_and_ranges(image: ImageMeta) -> None:
    shown = (ShownChannel(1, "FF0000", 0.0, 1000.0), ShownChannel(0, "00FF00", 2000.0, 4000.0))
    tile = decoded(render_tile(image, shown, 1, 0, 0))
    assert tile[:, -20:, 0].min() > 255 - NEAR  # intensity 1300 of channel 1 is beyond its range
    assert tile[:, :4, 0].max() < 2 * NEAR
    assert tile[..., 1].max() < NEAR  # channel 0 has at most 790 in this tile


def test_no_tile_reads_more_than_a_bounded_number_of_pixels(image: ImageMeta, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counting(meta: ImageMeta, level: int, region: Region, channels: list[int]) -> NDArray[np.generic]:
        read.append(int(np.prod(region.shape)))
        return read_region_of_image(meta, level, region, channels)

    monkeypatch.setattr("simsearch.io.ome_zarr.scaled.read_region", counting)
    for z in range(21):
        assert render_tile(image, GREY, 1 << z, 0, 0)
    assert max(read) <= (2 * TILE_PX) ** 2  # twice the side above the deepest level


def test_an_image_without_small_levels_says_so_instead_of_reading_all_of_it(
    image: ImageMeta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_READ_PX", TILE_PX)
    with pytest.raises(StoreError, match=r"expected a level of the pyramid of about 1/8, got none smaller than 1/4"):
        render_tile(image, GREY, 8, 0, 0)
    assert render_tile(image, GREY, 4, 0, 0)


def test_a_photograph_is_shown_as_it_is(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = (smooth(300, 280)[[0, 1, 0]] / 16).astype(np.uint8)
    photo = save_image(tmp_path / "rgb.ome.zarr", pixels, channel_names=RGB_NAMES, channel_colors=RGB_COLORS)
    shown = shown_channels(photo, (0, 1, 2))
    assert [(each.low, each.high) for each in shown] == [(0, 255)] * 3
    tile = decoded(render_tile(photo, shown, 1, 0, 0))
    assert np.abs(tile.astype(int) - np.moveaxis(pixels[:, :256, :256], 0, -1)).max() < NEAR
    recoloured = (*shown[:2], ShownChannel(2, "FF0000", 0, 255))
    assert decoded(render_tile(photo, recoloured, 1, 0, 0))[..., 2].max() < NEAR


def test_one_range_suits_all_images(tmp_path: Path, save_image: SaveImage) -> None:
    dark, bright = (
        shown_channels(save_image(tmp_path / f"{n}.ome.zarr", smooth(256, 256) // n), (0, 1)) for n in (4, 1)
    )
    assert [each.low for each in bright] == pytest.approx([40, 40], abs=20)
    assert [each.high for each in bright] == pytest.approx([3990, 3990], abs=20)
    both = widest([dark[1], bright[1]])
    assert (both.index, both.low, both.high) == (1, dark[1].low, bright[1].high)
    flat = save_image(tmp_path / "flat.ome.zarr", np.full((1, 64, 64), 7, np.uint16))
    assert shown_channels(flat, [0]) == (ShownChannel(0, "FFFFFF", 7.0, 8.0),)


def test_missing_values_are_drawn_dark(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = np.full((1, 256, 256), 3.0, np.float32)
    pixels[0, :128] = np.nan
    gaps = save_image(tmp_path / "gaps.ome.zarr", pixels)
    tile = decoded(render_tile(gaps, (ShownChannel(0, "FFFFFF", 0, 3),), 1, 0, 0))
    assert tile[:120].max() < NEAR
    assert tile[136:].min() > 255 - NEAR


def test_a_crop_is_where_its_box_is_and_grey_outside_the_image(image: ImageMeta, pixels: NDArray[np.uint16]) -> None:
    crop = decoded(render_crop(image, GREY, Region(600, 640, 100, 160), 192))
    assert crop.shape == (40, 60, 3)
    assert np.abs(crop[..., 0] - pixels[0, 600:640, 100:160] / 4000 * 255).max() < NEAR
    large = decoded(render_crop(image, GREY, Region(200, 712, 0, 400), 192))
    assert large.shape == (128, 100, 3)
    assert np.abs(large[..., 0] - halved(halved(pixels[0]))[50:178, :100] / 4000 * 255).max() < NEAR
    corner = decoded(render_crop(image, GREY, Region(1261, 1341, -40, 40), 192))
    assert corner.shape == (80, 80, 3)
    assert corner[:36, 44:, 0].min() > 200
    assert np.abs(corner[44:].astype(int) - 32).max() < NEAR
    assert np.abs(corner[:, :36].astype(int) - 32).max() < NEAR


def test_a_crop_outside_the_image_is_refused(image: ImageMeta) -> None:
    with pytest.raises(ConfigError, match="expected a box with a part of the"):
        render_crop(image, GREY, Region(1301, 1400, 0, 50), 192)


def test_a_thumbnail_shows_all(image: ImageMeta) -> None:
    thumbnail = decoded(render_thumbnail(image, GREY))
    assert thumbnail.shape == (163, 91, 3)
    assert thumbnail[0, :, 0].max() < NEAR
    assert thumbnail[-1, :, 0].min() > 240


def test_what_stands_for_no_picture_is_small(image: ImageMeta) -> None:
    assert decoded(render_damage()).shape == (TILE_PX, TILE_PX, 3)
    nothing = render_nothing()
    assert decoded(nothing)[..., 3].max() == 0
    assert len(nothing.content) < 100
