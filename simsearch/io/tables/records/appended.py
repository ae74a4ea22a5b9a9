"""Lines that are only ever appended, to a file; in an object store, which has no such thing, to numbered parts."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import ObjectPath, in_store, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PART_S = 5.0  # so much work is lost at most when a process is killed, and a day makes 17000 parts
_PART_BYTES = 2**22


class Parts:
    """Numbered objects ``PLACE/00000001.jsonl``, in each of which lie the lines of some seconds.

    Parameters
    ----------
    place : ObjectPath
        What their names begin with.
    n_parts : int, optional
        How many there are; by default it is looked up.
    """

    def __init__(self, place: ObjectPath, n_parts: int | None = None) -> None:
        self._place = place
        self._n_parts = max(map(_number, place.glob("*.jsonl")), default=0) if n_parts is None else n_parts
        self._waiting, self._n_bytes = list[bytes](), 0
        self._written_at = time.monotonic()

    def add(self, line: bytes) -> None:
        """Add a line, with its end, which is written with others in a few seconds, or when `write` is called."""
        self._waiting.append(line)
        self._n_bytes += len(line)
        if time.monotonic() > self._written_at + _PART_S or self._n_bytes > _PART_BYTES:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        if self._waiting:
            (self._place / f"{self._n_parts + 1:08d}.jsonl").write_bytes(b"".join(self._waiting))
            self._n_parts += 1
            self._waiting, self._n_bytes = [], 0
        self._written_at = time.monotonic()


class Appended:
    """Lines in a file, which are on disk one by one; see `open_appended`.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: BinaryIO = self._opened(path)
        """All of the lines, to be read at any place."""

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each line and where in the file it begins; the last may have been cut off."""
        place = 0
        self.file.seek(0)
        for line in self.file:
            yield place, line
            place += len(line)

    def append(self, line: bytes) -> int:
        """Append a line, without its end, and return where in the file it begins."""
        with store_errors(str(self.path)):
            place = self.file.seek(0, os.SEEK_END)
            self.file.write(line + b"\n")
            self._keep(line + b"\n")
        return place

    def flush(self) -> None:
        """See to it that all lines are kept."""

    def clear(self) -> None:
        """Forget all lines."""
        self.file.truncate(0)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # what a full disk did not take was said when it was written
            self.file.close()

    def _opened(self, path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b")

    def _keep(self, line: bytes) -> None:
        self.file.flush()


class _AppendedParts(Appended):
    """Lines in an object store, of which a copy lies here."""

    def flush(self) -> None:
        with store_errors(str(self.path)):
            self._parts.write()

    def clear(self) -> None:
        super().clear()
        remove(self.path)
        self._parts = Parts(self._place, 0)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            super().close()

    def _opened(self, path: Path) -> BinaryIO:
        self._place = ObjectPath(path)
        there = self._place.read_below("*.jsonl")
        self._parts = Parts(self._place, max(map(_number, there), default=0))
        file: BinaryIO = TemporaryFile(prefix="simsearch-")  # noqa: SIM115  closed by `close`
        file.writelines(there.values())
        return file

    def _keep(self, line: bytes) -> None:
        self._parts.add(line)


def open_appended(path: Path) -> Appended:
    """Open lines to append to; made if they are not there.

    Parameters
    ----------
    path : Path
        A file; in an object store, what the names of the parts begin with.

    Raises
    ------
    StoreError
        If they cannot be read or written.
    """
    with store_errors(str(path)):
        return _AppendedParts(path) if in_store(path) else Appended(path)


def _number(part: ObjectPath) -> int:
    return int(part.stem) if part.stem.isdecimal() else 0
