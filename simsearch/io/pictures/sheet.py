"""A sheet of numbered pictures of places, to be judged away from the browser."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from simsearch.core.tiles import Region
from simsearch.io.pictures.render import ShownChannel, render_crop, shown_channels
from simsearch.io.places import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.io.ome_zarr.image import ImageMeta

_SIDE, _GAP, _TITLE = 160, 8, 24  # pixels: a picture, the space between two, the number above it
_PER_ROW = 8
_AROUND = 1.6  # of a patch's longer side: what is seen of an image, so that one sees what is beside
_FRAME = "#FFD400"


@dataclass(frozen=True, slots=True)
class Tile:
    """A place on a sheet, in level-0 pixels."""

    title: str
    image: ImageMeta
    centre: tuple[float, float]
    shape: tuple[float, float]


def draw_sheet(tiles: Sequence[Tile], path: Path) -> None:
    """Draw places with what is around them, each framed and with its title, as PNG.

    Parameters
    ----------
    tiles : sequence of Tile
        In their order, from left to right.
    path : Path
        Where to write.

    Raises
    ------
    StoreError
        If pixels cannot be read.
    """
    width, height = _SIDE + _GAP, _SIDE + _GAP + _TITLE
    n_columns, n_rows = min(_PER_ROW, len(tiles)), -(-len(tiles) // _PER_ROW)
    sheet = Image.new("RGB", (_GAP + n_columns * width, n_rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=16)
    for index, tile in enumerate(tiles):
        left, top = _GAP + index % _PER_ROW * width, index // _PER_ROW * height
        draw.text((left, top + 4), tile.title, fill="black", font=font)
        shown = shown_channels(tile.image, range(tile.image.n_channels))
        sheet.paste(draw_place(tile, shown), (left, top + _TITLE))
    with replacing(path) as complete:
        sheet.save(complete, format="png")


def draw_place(tile: Tile, shown: tuple[ShownChannel, ...], side_px: int = _SIDE, color: str = _FRAME) -> Image.Image:
    """Draw a place with what is around it, framed.

    Parameters
    ----------
    tile : Tile
        The place.
    shown : tuple of ShownChannel
        What of the image, and how.
    side_px : int
        Of the picture.
    color : str
        Of the frame.
    """
    side = max(2, round(_AROUND * max(tile.shape)))
    y0, x0 = (round(middle + 0.5 - side / 2) for middle in tile.centre)
    box = Region(y0, y0 + side, x0, x0 + side)
    crop = Image.open(BytesIO(render_crop(tile.image, shown, box, side_px).content))
    picture = crop.convert("RGB").resize((side_px, side_px), Image.Resampling.BICUBIC)
    half_y, half_x = (side_px * length / side / 2 for length in tile.shape)
    middle = side_px / 2
    frame = (middle - half_x, middle - half_y, middle + half_x, middle + half_y)
    ImageDraw.Draw(picture).rectangle(frame, outline=color, width=2)
    return picture
