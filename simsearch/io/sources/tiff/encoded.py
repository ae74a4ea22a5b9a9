"""Sizes that images inside of strips and tiles declare for themselves: decoders would believe them."""

from __future__ import annotations

import struct

from simsearch.io.sources.pieces import check_piece

_JP2_BOX, _J2K_START, _PNG = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\x89PNG\r\n\x1a\n"
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # markers among those of frames that are none
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length


def check_encoded_size(data: bytes, path: str) -> None:
    """Refuse a JPEG, JPEG 2000 or PNG that would unpack to more than a worker can hold.

    Raises
    ------
    SourceError
        If it declares too many pixels.
    """
    size = None
    if data.startswith(b"\xff\xd8"):
        size = _jpeg_size(data)
    elif data.startswith((_JP2_BOX, _J2K_START)):
        size = _jpeg2000_size(data)
    elif data.startswith(_PNG) and len(data) >= 26:
        size = (*struct.unpack(">II", data[16:24]), 8)
    if size is not None:
        check_piece(size[0] * size[1] * size[2], f"a tile that declares {size[0]} x {size[1]} px", path)


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 10 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _ALONE:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            depth, height, width, n_samples = struct.unpack(">BHHB", data[at + 4 : at + 10])
            return height, width, n_samples * (1 if depth <= 8 else 2)
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _jpeg2000_size(data: bytes) -> tuple[int, int, int] | None:
    at = data.find(_J2K_START)
    if at < 0 or len(data) < at + 42:
        return None
    width, height, left, top = struct.unpack(">IIII", data[at + 8 : at + 24])
    n_samples = struct.unpack(">H", data[at + 40 : at + 42])[0]
    return max(height - top, 0), max(width - left, 0), 4 * n_samples
