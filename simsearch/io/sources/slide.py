"""Whole slides through OpenSlide: 8-bit RGB, on the background that the scanner names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openslide

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.sources.pieces import check_piece
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, source_errors
from simsearch.io.sources.series import SeriesInfo, choose_series, named_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from simsearch.core.tiles import Region


class SlideSource:
    """A slide that OpenSlide can open."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        with source_errors(spec.path, "a whole slide"):
            self._slide = openslide.OpenSlide(spec.path)
        properties = self._slide.properties
        found = _series(self._slide)
        index, left_out = choose_series(found, spec.series, spec.path)
        self._associated = _associated(self._slide)[index - 1] if index else None
        height, width = found[index].shape
        if index:  # decoded in one piece
            check_piece(4 * height * width, "an image", spec.path)
        self._background = _color(properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF"))
        size, notes = _pixel_size(properties)
        self.meta = SourceMeta(
            shape=(height, width),
            dtype="uint8",
            channel_names=RGB_NAMES,
            channel_colors=RGB_COLORS,
            pixel_size_um=size if index == 0 else None,
            in_one_piece=index > 0,
            notes=left_out + (notes if index == 0 else ()),
        )

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region; where the scanner saw nothing, the background."""
        height, width = region.shape
        with source_errors(self._path, f"pixels of {region}"):
            if self._associated is None:
                image = self._slide.read_region((region.x0, region.y0), 0, (width, height))
            else:
                box = region.x0, region.y0, region.x1, region.y1
                image = self._slide.associated_images[self._associated].crop(box).convert("RGBA")
        return _composited(image, self._background)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()


def list_slide_series(path: str) -> tuple[SeriesInfo, ...]:
    """List the slide and the pictures that the scanner took beside it.

    Raises
    ------
    SourceError
        If OpenSlide cannot open it.
    """
    with source_errors(path, "a whole slide"), openslide.OpenSlide(path) as slide:
        return _series(slide)


def vendor(path: str) -> str | None:
    """Return who made the scanner; None if OpenSlide does not know the format."""
    try:
        found: str | None = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None
    return found


def _series(slide: openslide.OpenSlide) -> tuple[SeriesInfo, ...]:
    width, height = slide.dimensions
    # Sizes of the others without decoding them, which asking for the images would.
    others = []
    for name in _associated(slide):
        sides = [slide.properties.get(f"openslide.associated.{name}.{side}", "0") for side in ("height", "width")]
        others.append(SeriesInfo(name, (int(sides[0]), int(sides[1])), is_extra=True))
    return named_apart([SeriesInfo("slide", (height, width)), *others])


def _associated(slide: openslide.OpenSlide) -> list[str]:
    return sorted(slide.associated_images)


def _composited(image: Image.Image, background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = np.asarray(image)
    colors, alpha = pixels[..., :3].transpose(2, 0, 1), pixels[..., 3]
    if alpha.min() == 255:
        return np.ascontiguousarray(colors)
    weight = alpha.astype(np.uint32)
    mixed = colors * weight + background[:, np.newaxis, np.newaxis] * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def _color(digits: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(digits), dtype=np.uint8)


def _pixel_size(properties: Mapping[str, str]) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    found = [properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X)]
    if found[0] is None or found[1] is None:
        return None, ()
    size, note = believable_pixel_size((found[0], found[1]), "um")
    return size, (note,) if note else ()
