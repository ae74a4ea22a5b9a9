"""PNG, JPEG and BMP: read by content, decoded in one piece."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from PIL import ExifTags
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.sources.orientation import checked_orientation, turned, turned_sides
from simsearch.io.sources.protocol import SourceMeta, SourceSpec, as_stored, source_errors, stored_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from PIL.ImageFile import ImageFile

    from simsearch.core.tiles import Region

_KINDS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG": PngImageFile,
    b"\xff\xd8": JpegImageFile,
    b"BM": BmpImageFile,
}
_MOST_PIXELS = 2**28  # decoded, with its pyramid, 2 GiB of RGB
_SMALL = 2**24  # pixels that are decoded without asking
_PNG_DEPTH = 24  # offset of the bit depth in the header, which starts every PNG
_PNG_COLOR = 25


class RasterSource:
    """A PNG, JPEG or BMP file."""

    def __init__(self, spec: SourceSpec) -> None:
        self._path = spec.path
        self._pixels: NDArray[np.generic] | None = None
        with source_errors(spec.path, "an image"), _opened(spec.path) as image:
            self.meta = _meta(spec.path, image)

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region; the first one decodes the image."""
        if self._pixels is None:
            with source_errors(self._path, "pixels"):
                self._pixels = _decode(self._path, self.meta)
        return self._pixels[(slice(None), *region.slices)]

    def close(self) -> None:
        """Forget the pixels."""
        self._pixels = None


def _opened(path: str) -> Image.Image:
    with Path(path).open("rb") as file:
        head = file.read(4)
    kind = next(kind for start, kind in _KINDS.items() if head.startswith(start))
    # Not Image.open: it warns of large images, and of what is large it knows less than we do.
    image: Image.Image = kind(path)
    if image.width * image.height > _MOST_PIXELS:
        image.close()
        raise SourceError(
            f"{path}: expected at most {_MOST_PIXELS} px in one piece, got {image.height} x {image.width}: save it as "
            "tiled TIFF and convert that"
        )
    return image


def _meta(path: str, image: Image.Image) -> SourceMeta:
    _check_size(path, image)
    dtype, notes = stored_dtype(np.uint16 if _is_deep(path) else np.uint8, path)
    if "A" in image.mode or "transparency" in image.info:
        notes += ("transparency is left out",)
    if image.mode == "CMYK":
        notes += ("CMYK is converted to RGB without a colour profile",)
    rgb = _is_rgb(path, image)
    orientation, moved = _orientation(image)
    return SourceMeta(
        shape=turned_sides((image.height, image.width), orientation),
        dtype=dtype,
        channel_names=RGB_NAMES if rgb else ("Intensity",),
        channel_colors=RGB_COLORS if rgb else None,
        in_one_piece=True,
        notes=notes + moved,
    )


def _is_deep(path: str) -> bool:
    with Path(path).open("rb") as file:
        head = file.read(_PNG_COLOR + 1)
    return head.startswith(b"\x89PNG") and head[_PNG_DEPTH] == 16


def _is_rgb(path: str, image: Image.Image) -> bool:
    if image.mode == "P":
        return not _is_grey(_palette(image))
    return image.mode not in ("1", "L", "LA", "I", "I;16", "I;16B")


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    colors = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    return np.pad(colors, [(0, 256 - len(colors)), (0, 0)])


def _is_grey(palette: NDArray[np.generic]) -> bool:
    return bool((palette == palette[:, :1]).all())


def _decode(path: str, meta: SourceMeta) -> NDArray[np.generic]:
    n_channels = len(meta.channel_names)
    if meta.dtype == "uint16":
        # Pillow would cut 16-bit colours to 8 bits without a word.
        pixels = np.atleast_3d(imagecodecs.png_decode(Path(path).read_bytes()))[..., :n_channels].transpose(2, 0, 1)
        with _opened(path) as image:
            orientation, _ = _orientation(image)
    else:
        with _opened(path) as image:
            image.load()
            orientation, _ = _orientation(image)
            pixels = _pixels(image, rgb=n_channels == 3)
    return as_stored(turned(pixels, orientation), meta.dtype)


def _orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    try:
        return checked_orientation(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # noqa: BLE001  EXIF data that are none: the pixels may be sound
        return checked_orientation(None)


def _check_size(path: str, image: Image.Image) -> None:
    # What is not compressed, or by deflate, tells by its length that it cannot hold what it declares.
    most = {"BMP": 256, "PNG": 8 * 1033}.get(image.format or "")  # pixels in a byte: BMP may have run lengths
    size = Path(path).stat().st_size
    if most is not None and image.width * image.height > max(size * most, _SMALL):
        raise SourceError(
            f"{path}: expected {image.height} x {image.width} px, got a file of {size} bytes that cannot hold so many: "
            "it is damaged, fetch or export it again"
        )


def _pixels(image: Image.Image, *, rgb: bool) -> NDArray[np.generic]:
    if rgb:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB")).transpose(2, 0, 1)
    if image.mode == "P":
        return np.take(_palette(image)[:, 0], np.asarray(image))[np.newaxis]
    return np.asarray(image if image.mode in ("L", "1") else image.convert("L"))[np.newaxis]
