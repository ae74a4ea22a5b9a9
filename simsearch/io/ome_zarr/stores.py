"""Where Zarr groups live: paths on this machine, or http(s), s3 and other URLs through fsspec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from simsearch.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUFFIXES = (".ome.zarr", ".zarr")


def is_remote(path: str) -> bool:
    """Tell a URL from a path on this machine."""
    return "://" in path and not path.startswith("file://")


def as_location(path: str | Path) -> str:
    """Return an absolute path or a URL as text, without ``file://`` and without a slash at its end.

    Workers need not run in the folder that a relative path starts from.

    Examples
    --------
    >>> as_location("file:///data/a.ome.zarr/")
    '/data/a.ome.zarr'
    """
    text = str(path).removeprefix("file://")
    return text.rstrip("/") if is_remote(text) else str(Path(text).absolute())


def join(path: str, *parts: str) -> str:
    """Go down from a path or URL."""
    return "/".join([path.rstrip("/"), *parts])


def image_name(path: str) -> str:
    """Name an image by its folder, and an image in a plate by its way down from the plate.

    Examples
    --------
    >>> image_name("/data/liver.ome.zarr"), image_name("s3://bucket/P1.zarr/B/03/0")
    ('liver', 'P1/B/03/0')
    """
    parts = path.split("/")
    zarrs = [i for i, part in enumerate(parts) if part.endswith(".zarr")]
    first, *inner = parts[zarrs[-1] :] if zarrs else parts[-1:]
    return "/".join([stem(first), *inner])


def stem(name: str) -> str:
    """Return a file or folder name without what says that it is an OME-Zarr."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix)
    return name


def open_group(path: str) -> zarr.Group:
    """Open a Zarr group for reading.

    Raises
    ------
    SourceError
        If nothing is there, it is no Zarr group, or the server does not answer.
    """
    try:
        return zarr.open_group(path, mode="r")
    except FileNotFoundError as error:
        there = is_remote(path) or Path(path).exists()
        got = "no Zarr group there" if there else "nothing there"
        raise SourceError(f"{path}: expected an OME-Zarr, got {got}: check the path") from error
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        remedy = "check the address and the credentials" if is_remote(path) else "write it again"
        raise SourceError(f"{path}: expected an OME-Zarr, got {type(error).__name__}: {error}: {remedy}") from error


def written_at(path: str) -> int | None:
    """Tell when the metadata of a group on this machine were written, in nanoseconds; None for URLs."""
    if is_remote(path):
        return None
    times = [file.stat().st_mtime_ns for name in ("zarr.json", ".zattrs") if (file := Path(path) / name).exists()]
    return max(times, default=None)


def check_ranges(path: str, arrays: Sequence[zarr.Array[Any]]) -> None:
    """Check that a server can serve parts of files, without which shards are useless.

    Raises
    ------
    SourceError
        If it answers with whole files.
    """
    array = arrays[0]
    if not is_remote(path) or array.shards is None:
        return
    request = array.store.get(f"{array.path}/zarr.json", default_buffer_prototype(), RangeByteRequest(0, 2))
    found = sync(request)
    if found is not None and len(found) != 2:
        raise SourceError(
            f"{path}: expected a server that serves parts of files, got one that answers with all of a file: serve it "
            "with another (Python's http.server cannot), or convert with --ome-version 0.4"
        )
