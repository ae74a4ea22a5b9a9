"""Trying what a run will do with files: read what it reads, and leave something where it writes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from simsearch.core.places import scheme_of
from simsearch.core.tiles import Region
from simsearch.errors import SourceError, StoreError
from simsearch.io.ome_zarr.image import describe_image, read_region

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
    probe = f"{base}/{uuid.uuid4().hex[:12]}"
    partial = f"{probe}.partial"
    try:
        if scheme_of(base):
            files = _files(base)
            files.pipe_file(partial, b"before")
            files.rm_file(partial)
            files.pipe_file(probe, probe.encode())
        else:
            Path(probe).write_text("before", encoding="utf-8")
            Path(partial).write_text(probe, encoding="utf-8")
            Path(partial).replace(probe)
    except Exception as error:
        folder = base.rpartition("/")[0]
        raise StoreError(
            f"{folder}: expected to write there, got {_words(error)}: {_way_out(base, 'write')}"
        ) from error
    return probe


def read_probe(place: str) -> str | None:
    """Read what another process has written; None if it is not seen here."""
    try:
        if scheme_of(place):
            content: bytes = _files(place).cat_file(place)
            return content.decode()
        return Path(place).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except Exception as error:
        raise StoreError(f"{place}: expected to read there, got {_words(error)}: {_way_out(place, 'read')}") from error


def remove_probe(place: str) -> None:
    """Remove what `write_own_probe` has written."""
    if scheme_of(place):
        _files(place).rm_file(place)
    else:
        Path(place).unlink()


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


def _way_out(place: str, deed: str) -> str:
    if scheme_of(place):
        return "check the address of the store, the bucket, and the credentials of this process"
    return f"let this user {deed} there"


def _files(place: str) -> Any:  # noqa: ANN401  fsspec has no types
    return fsspec.core.url_to_fs(place, use_listings_cache=False)[0]


def _words(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return " ".join(str(reason).split())[:300]
