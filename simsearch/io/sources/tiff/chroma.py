"""YCbCr in TIFF files outside of JPEG: the colours of several pixels may be stored once, behind their lightness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tifffile import PHOTOMETRIC, TIFF

from simsearch.errors import SourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tifffile import TiffPage

_COEFFICIENTS, _REFERENCE = 529, 532  # tags
_LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601, which the standard has for files that say nothing


def is_packed_chroma(page: TiffPage) -> bool:
    """Tell whether a page has fewer colours than pixels, and is no JPEG."""
    return bool(
        page.photometric == PHOTOMETRIC.YCBCR
        and page.planarconfig == 1
        and page.samplesperpixel == 3
        and _is_raw(page)
        and _sampling(page) != (1, 1)
    )


def needs_conversion(page: TiffPage) -> bool:
    """Tell whether the decoder leaves YCbCr as it is."""
    return bool(page.photometric == PHOTOMETRIC.YCBCR and page.samplesperpixel == 3 and _is_raw(page))


def unpacked_chroma(page: TiffPage, data: bytes, index: int, side: tuple[int, int]) -> NDArray[np.generic]:
    """Decode a strip or tile: every pixel gets the colour of its block.

    Returns
    -------
    (1, h, w, 3) array
        Y, Cb and Cr of the whole strip or tile.

    Raises
    ------
    SourceError
        If it is not in bytes, or is too short.
    """
    across, down = _sampling(page)
    rows, columns = side
    n_blocks = -(-rows // down), -(-columns // across)
    block_bytes = across * down + 2
    n_bytes = n_blocks[0] * n_blocks[1] * block_bytes
    if page.bitspersample != 8 or page.predictor != 1:
        raise SourceError(f"{page.parent.filename}: expected YCbCr of 8 bits, got another kind: save it as RGB")
    if page.compression != 1:
        data = TIFF.DECOMPRESSORS[page.compression](data, out=n_bytes)
    if not page.is_tiled:  # the last strip may have fewer rows
        n_blocks = min(n_blocks[0], len(data) // (n_blocks[1] * block_bytes)), n_blocks[1]
        top = index * rows
        if n_blocks[0] * down < min(rows, page.imagelength - top):
            n_blocks = n_bytes, n_bytes
    values = np.frombuffer(data, np.uint8, n_blocks[0] * n_blocks[1] * block_bytes).reshape(*n_blocks, block_bytes)
    light = values[..., :-2].reshape(*n_blocks, down, across).swapaxes(1, 2).reshape(n_blocks[0] * down, -1)
    colors = values[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    return np.concatenate([light[..., np.newaxis], colors], axis=-1)[np.newaxis, :rows, :columns]


def as_rgb(pixels: NDArray[np.generic], page: TiffPage) -> NDArray[np.generic]:
    """Convert (3, h, w) pixels of Y, Cb and Cr into red, green and blue, as the page's tags say."""
    most = 2**page.bitspersample - 1
    ranges = _numbers(page, _REFERENCE, (0, most, (most + 1) // 2, most, (most + 1) // 2, most))
    full = [most, most // 2, most // 2]
    light, blueness, redness = (
        (plane.astype(np.float32) - low) * (span / ((high - low) or 1))
        for plane, low, high, span in zip(pixels, ranges[::2], ranges[1::2], full, strict=True)
    )
    of_red, of_green, of_blue = _numbers(page, _COEFFICIENTS, _LUMA)
    red = light + redness * (2 - 2 * of_red)
    blue = light + blueness * (2 - 2 * of_blue)
    green = (light - of_blue * blue - of_red * red) / of_green
    rgb: NDArray[np.generic] = np.clip(np.rint(np.stack([red, green, blue])), 0, most).astype(pixels.dtype)
    return rgb


def _is_raw(page: TiffPage) -> bool:
    return page.compression not in TIFF.IMAGE_COMPRESSIONS and page.compression not in (6, 7, 34892, 33007)


def _sampling(page: TiffPage) -> tuple[int, int]:
    found = page.subsampling if page.subsampling is not None else (2, 2)  # the standard's default
    return int(found[0]), int(found[1])


def _numbers(page: TiffPage, tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple):
        return default
    if len(value) == 2 * len(default):  # fractions
        value = tuple(a / b if b else 0.0 for a, b in zip(value[::2], value[1::2], strict=True))
    return tuple(map(float, value)) if len(value) == len(default) else default
