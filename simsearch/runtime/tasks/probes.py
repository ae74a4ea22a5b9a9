"""Trying what a run will do with files: read what it reads, and leave something where it writes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from simsearch.core.tiles import Region
from simsearch.errors import SourceError, StoreError
from simsearch.io.ome_zarr.image import describe_image, read_region
from simsearch.io.places import input_place, output_place

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIDE = 16  # pixels along a side of what is read of an image
_END_BYTES = 2**16  # that are read at either end of a file


def read_image(location: str) -> str:
    """Read a small region in the middle of the first and the last level of an image.

    Returns
    -------
    str
        Hash of what was read: who sees another image under the same path has another.
    """
    image = describe_image(location, z=0, t=0)
    found = hashlib.sha256(repr((image.stamp, image.shape)).encode())
    for level in {0: None, len(image.levels) - 1: None}:
        height, width = image.levels[level].shape
        middle = Region(height // 2, height // 2 + _SIDE, width // 2, width // 2 + _SIDE)
        found.update(read_region(image, level, middle.clipped((height, width))).tobytes())
    return found.hexdigest()


def read_file(path: str) -> str:
    """Read both ends of a file, or the names in a folder.

    Returns
    -------
    str
        Hash of what was read.
    """
    place = Path(path)
    try:
        if place.is_dir():
            return hashlib.sha256("\n".join(sorted(os.listdir(place))).encode()).hexdigest()  # noqa: PTH208  names alone
        with place.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            found = hashlib.sha256(str(size).encode())
            for begin in (0, max(0, size - _END_BYTES)):
                file.seek(begin)
                found.update(file.read(_END_BYTES))
        return found.hexdigest()
    except OSError as error:
        raise SourceError(
            f"{path}: expected a file, got {_words(error)}: check that it is there and may be read"
        ) from error


def write_own_probe(base: str) -> str:
    """Write, replace and remove small files in a folder that is there, or below a URL, and leave one.

    Returns
    -------
    str
        The one that is left, whose content is its name.
    """
    probe = output_place(base) / uuid.uuid4().hex[:12]
    partial = probe.with_name(f"{probe.name}.partial")
    try:
        probe.write_bytes(b"before")
        partial.write_bytes(str(probe).encode())
        partial.replace(probe)
    except StoreError:  # of a store, which says all
        raise
    except OSError as error:
        raise StoreError(
            f"{probe.parent.parent}: expected to write there, got {_words(error)}: let this user write there"
        ) from error
    return str(probe)


def read_probe(place: str) -> str | None:
    """Read what another process has written; None if it is not seen here."""
    try:
        return input_place(place).read_bytes().decode()
    except FileNotFoundError:
        return None
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{place}: expected to read there, got {_words(error)}: let this user read there") from error


def remove_probe(place: str) -> None:
    """Remove what `write_own_probe` has written."""
    output_place(place).unlink()


def is_lockable(path: str) -> bool | None:
    """Tell whether a file can be locked at this moment; None where files cannot be locked at all."""
    with locked_while(path) as is_locked:
        return is_locked


@contextmanager
def locked_while(path: str) -> Iterator[bool | None]:
    """Lock a file, as studies and folders of results are.

    Yields
    ------
    bool or None
        False if somebody else has locked it; None where files cannot be locked at all.
    """
    with Path(path).open("ab") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_locked: bool | None = True
        except OSError as error:
            is_locked = False if error.errno in (errno.EACCES, errno.EAGAIN) else None
        yield is_locked


def _words(error: OSError) -> str:
    return " ".join(str(error.strerror or error).split())[:300]
