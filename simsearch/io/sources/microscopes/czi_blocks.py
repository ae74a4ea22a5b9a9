"""Lengths that a CZI file gives for its tiles: libCZI asks for that memory, and dies where there is none."""

from __future__ import annotations

import struct
from io import SEEK_END
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIRECTORY_AT = 84  # in the header of the file
_ENTRIES_AT = 160  # in the directory
_SEGMENT_HEAD = 32
_POSITION_AT, _N_AXES_AT, _ENTRY_BYTES, _AXIS_BYTES = 6, 28, 32, 20  # of an entry


class TileLengths:
    """Where the tiles of a file are, from its directory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._n_bytes = file.seek(0, SEEK_END)
        self._positions = self._read_positions()

    def check(self, indices: Iterable[int]) -> None:
        """Hold the lengths of tiles against that of the file.

        Raises
        ------
        ValueError
            If one is longer.
        """
        for index in indices:
            at = self._positions[index]
            *others, n_bytes = self._unpack("<iiq", at + _SEGMENT_HEAD)
            if min(*others, n_bytes) < 0 or at + sum(others) + n_bytes > self._n_bytes:
                raise ValueError(f"a tile of {n_bytes} bytes in a file of {self._n_bytes}")

    def _read_positions(self) -> list[int]:
        (start,) = self._unpack("<q", _DIRECTORY_AT)
        (n_entries,) = self._unpack("<i", start + _SEGMENT_HEAD)
        if not 0 <= n_entries <= self._n_bytes // _ENTRY_BYTES:
            raise ValueError(f"{n_entries} tiles in a file of {self._n_bytes} bytes")
        self._file.seek(start + _ENTRIES_AT)
        entries, at, positions = self._file.read(n_entries * (_ENTRY_BYTES + 16 * _AXIS_BYTES)), 0, []
        for _ in range(n_entries):
            positions.append(struct.unpack_from("<q", entries, at + _POSITION_AT)[0])
            (n_axes,) = struct.unpack_from("<i", entries, at + _N_AXES_AT)
            at += _ENTRY_BYTES + max(n_axes, 0) * _AXIS_BYTES
        return positions

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        self._file.seek(at)
        return struct.unpack(form, self._file.read(struct.calcsize(form)))
