"""Pictures of parts of images for the screen: tiles of a deep zoom, crops of patches, thumbnails.

Each reads a bounded number of pixels, whatever the size of the image: from the level of the pyramid that shows the part
at the wanted scale, never from a finer one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from simsearch.core.intensity import rescale
from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, StoreError
from simsearch.io.ome_zarr.colors import RGB_COLORS
from simsearch.io.ome_zarr.image import is_rgb
from simsearch.io.ome_zarr.scaled import ScaledImage, downsampling_to, read_scaled, scaled
from simsearch.io.pictures.overlay import compose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.image import ImageMeta

TILE_PX = 256
"""Side of a tile of the deep zoom."""

THUMBNAIL_PX = 256
"""The longer side of a thumbnail is more than half of this, and at most this."""

_READ_PX = 4096  # most pixels a side that are read for one picture
_PERCENTILES_PX = 512  # that the shown range is taken from, along the longer side
_QUALITY = 85  # of JPEG and WebP
_SHOWN_PERCENTILES = (1.0, 99.8)  # of the intensities: darkest and brightest on the screen
LEAST_GAMMA, MOST_GAMMA = 0.1, 10.0
_OUTSIDE = 32  # grey of what a crop has outside the image


@dataclass(frozen=True, slots=True)
class ShownChannel:
    """How a channel is shown."""

    index: int
    """Which."""
    color: str
    """6 hex digits: what its brightest intensity looks like."""
    low: float
    """Intensity shown darkest."""
    high: float
    """Intensity shown brightest."""
    gamma: float = 1.0
    """Exponent of the intensities between 0 and 1: below 1, dim ones are brighter."""


_AS_IT_IS = tuple(ShownChannel(index, color, 0.0, 255.0) for index, color in enumerate(RGB_COLORS))


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture."""

    content: bytes
    mime: str
    """``image/jpeg``, ``image/webp`` or ``image/png``."""


def shown_channels(image: ImageMeta, channels: Sequence[int]) -> tuple[ShownChannel, ...]:
    """Choose how channels are shown, by the smallest level of an image.

    Raises
    ------
    StoreError
        If the image cannot be read.
    """
    if is_rgb(image):
        return tuple(_AS_IT_IS[c] for c in channels)
    return tuple(
        ShownChannel(c, image.channel_colors[c], float(low), float(max(high, low + 1)))
        for c, low, high in zip(channels, *_percentiles(image, channels), strict=True)
    )


def widest(shown: Sequence[ShownChannel]) -> ShownChannel:
    """Show a channel of several images in one range that suits them all."""
    return replace(shown[0], low=min(each.low for each in shown), high=max(each.high for each in shown))


def render_tile(image: ImageMeta, shown: tuple[ShownChannel, ...], downsampling: int, y: int, x: int) -> Picture | None:
    """Draw a tile of a deep zoom.

    Parameters
    ----------
    image : ImageMeta
        The image.
    shown : tuple of ShownChannel
        What of it, and how.
    downsampling : int
        Level-0 pixels per pixel of the tile, a power of two.
    y, x : int
        Row and column among the tiles at this downsampling.

    Returns
    -------
    Picture or None
        JPEG of 256 px a side; WebP where the tile reaches over the border of the image, which is transparent there;
        None where there is no such tile.

    Raises
    ------
    StoreError
        If the pixels cannot be read, or the image has no level that is small enough.
    """
    view = scaled(image, downsampling)
    region = Region(y * TILE_PX, (y + 1) * TILE_PX, x * TILE_PX, (x + 1) * TILE_PX)
    inside = region.clipped(view.shape)
    if min(y, x) < 0 or 0 in inside.shape:
        return None
    rgb = _draw(view, inside, shown)
    if inside == region:
        return _jpeg(rgb)
    rgba = np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
    rgba[: rgb.shape[0], : rgb.shape[1]] = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    return _encoded(rgba, "webp", quality=_QUALITY, method=0)


def render_crop(image: ImageMeta, shown: tuple[ShownChannel, ...], box: Region, side_px: int) -> Picture:
    """Draw a part of an image.

    Parameters
    ----------
    image : ImageMeta
        The image.
    shown : tuple of ShownChannel
        What of it, and how.
    box : Region
        In level-0 pixels; what reaches outside the image is drawn grey.
    side_px : int
        The longer side of the picture is at most this, where the box is larger.

    Returns
    -------
    Picture
        JPEG.

    Raises
    ------
    ConfigError
        If the box is empty or lies outside the image.
    StoreError
        If the pixels cannot be read, or the image has no level that is small enough.
    """
    if 0 in box.clipped(image.shape).shape:
        raise ConfigError(f"{image.name}: expected a box with a part of the {image.shape} px of the image, got {box}")
    downsampling = downsampling_to(max(box.shape), side_px)
    view = scaled(image, downsampling)
    y0, x0 = box.y0 // downsampling, box.x0 // downsampling
    height, width = (max(1, round(side / downsampling)) for side in box.shape)
    wanted = Region(y0, y0 + height, x0, x0 + width)
    inside = wanted.clipped(view.shape)
    rgb = np.full((height, width, 3), _OUTSIDE, np.uint8)
    if 0 not in inside.shape:  # a sliver can vanish when it is scaled down
        part = Region(inside.y0 - y0, inside.y1 - y0, inside.x0 - x0, inside.x1 - x0)
        rgb[part.slices] = _draw(view, inside, shown)
    return _jpeg(rgb)


def render_thumbnail(image: ImageMeta, shown: tuple[ShownChannel, ...]) -> Picture:
    """Draw a whole image, small, as JPEG.

    Raises
    ------
    StoreError
        If the pixels cannot be read, or the image has no level that is small enough.
    """
    view = scaled(image, downsampling_to(max(image.shape), THUMBNAIL_PX))
    return _jpeg(_draw(view, Region(0, view.shape[0], 0, view.shape[1]), shown))


def render_damage() -> Picture:
    """Draw the tile that stands for pixels that cannot be read: hatched, and it says so."""
    canvas = Image.new("RGB", (TILE_PX, TILE_PX), "#3a3a3a")
    draw = ImageDraw.Draw(canvas)
    for start in range(-TILE_PX, TILE_PX, 16):
        draw.line((start, TILE_PX, start + TILE_PX, 0), fill="#8a5a00", width=3)
    draw.rectangle((64, 112, 192, 144), fill="#3a3a3a")
    draw.text((TILE_PX // 2, TILE_PX // 2), "cannot be read", fill="#ffd08a", anchor="mm", font_size=16)
    return _jpeg(np.asarray(canvas))


def render_nothing() -> Picture:
    """Draw what is seen where there is no image: a transparent pixel."""
    return _encoded(np.zeros((1, 1, 4), np.uint8), "png")


def _percentiles(image: ImageMeta, channels: Sequence[int]) -> NDArray[np.float64]:
    """Return (2, C): the darkest and the brightest intensity worth telling apart."""
    view = scaled(image, downsampling_to(max(image.shape), _PERCENTILES_PX))
    pixels = _read(view, Region(0, view.shape[0], 0, view.shape[1]), channels)
    pair: NDArray[np.float64] = np.percentile(
        pixels.reshape(len(channels), -1).astype(np.float64), _SHOWN_PERCENTILES, axis=1
    )
    return pair


def _read(view: ScaledImage, region: Region, channels: Sequence[int]) -> NDArray[np.generic]:
    """Read pixels, missing ones as 0; refuse to average very many."""
    stored = view.meta.levels[view.level].shape
    sides = [min(side << view.halvings, whole) for side, whole in zip(region.shape, stored, strict=True)]
    if max(sides) > _READ_PX:
        raise StoreError(
            f"{view.meta.name}: expected a level of the pyramid of about 1/{view.downsampling}, got none smaller than "
            f"1/{view.downsampling >> view.halvings}: convert the image again, or zoom in"
        )
    pixels: NDArray[np.generic] = np.nan_to_num(read_scaled(view, region, channels))
    return pixels


def _draw(view: ScaledImage, region: Region, shown: tuple[ShownChannel, ...]) -> NDArray[np.uint8]:
    pixels = _read(view, region, [channel.index for channel in shown])
    if is_rgb(view.meta) and shown == _AS_IT_IS:
        return np.ascontiguousarray(np.moveaxis(pixels, 0, -1), np.uint8)
    rescaled = rescale(pixels, [(c.low, c.high) for c in shown])
    for own, channel in zip(rescaled, shown, strict=True):
        if channel.gamma != 1:
            np.power(own, np.float32(channel.gamma), out=own)
    return compose(rescaled, [c.color for c in shown])


def _jpeg(rgb: NDArray[np.uint8]) -> Picture:
    return _encoded(rgb, "jpeg", quality=_QUALITY)


def _encoded(pixels: NDArray[np.uint8], kind: str, **options: int) -> Picture:
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return Picture(file.getvalue(), f"image/{kind}")
