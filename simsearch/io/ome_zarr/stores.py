"""Where Zarr groups live: paths on this machine, archives included, or http(s), s3 and other URLs through fsspec."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore

from simsearch.core.checks.places import scheme_of
from simsearch.errors import SimSearchError, SourceError
from simsearch.io.ome_zarr.archives import SUFFIXES as ARCHIVES
from simsearch.io.ome_zarr.archives import open_archive, split_archive
from simsearch.io.ome_zarr.azure import SCHEMES as AZURE
from simsearch.io.ome_zarr.azure import AzureStore
from simsearch.io.ome_zarr.chunks import strict
from simsearch.io.places import FRESH, in_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TORN = re.compile(r".+\.[0-9a-f]{32}\.partial")  # what Zarr writes before it is moved to its place
_SUFFIXES = (
    ".ome.zarr.zip",
    ".zarr.zip",
    ".ome.zip",
    ".zip",
    ".ome.zarr.ozx",
    ".ome.ozx",
    ".ozx",
    ".ome.zarr",
    ".zarr",
)


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
    >>> image_name("/data/liver.ome.zarr"), image_name("s3://bucket/P1.zarr/B/03/0"), image_name("/data/P1.ozx/B/03/0")
    ('liver', 'P1/B/03/0', 'P1/B/03/0')
    """
    parts = path.split("/")
    zarrs = [i for i, part in enumerate(parts) if part.lower().endswith((".zarr", *ARCHIVES))]
    first, *inner = parts[zarrs[-1] :] if zarrs else parts[-1:]
    return "/".join([stem(first), *inner])


def stem(name: str) -> str:
    """Return a file or folder name without what says that it is an OME-Zarr."""
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def is_group_folder(folder: Path) -> bool:
    """Tell whether a folder is a Zarr group, and not one in which there may be some."""
    return any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs"))


def open_group(path: str) -> zarr.Group:
    """Open a Zarr group for reading.

    Raises
    ------
    SourceError
        If nothing is there, it is no Zarr group, or the server does not answer.
    """
    try:
        with zarr_errors(path, "an OME-Zarr"):
            return zarr.open_group(**zarr_store(path), mode="r")
    except SourceError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        there = is_remote(path) or Path(path).exists()
        got = "no Zarr group there" if there else "nothing there"
        raise MissingError(f"{path}: expected an OME-Zarr, got {got}: check the path") from error


class MissingError(SourceError):
    """There is no Zarr group."""


def open_array(path: str) -> zarr.Array[Any]:
    """Open an array for reading, which raises where chunks are damaged or lost.

    Raises
    ------
    SourceError
        If there is none, or its metadata are damaged.
    """
    with zarr_errors(path, "an array"):
        return strict(zarr.open_array(**zarr_store(path), mode="r"))


@contextmanager
def zarr_errors(path: str, wanted: str) -> Iterator[None]:
    """Name the place and what was wanted in whatever Zarr raises, which is of any kind where metadata are damaged."""
    try:
        yield
    except (SimSearchError, MemoryError):
        raise
    except Exception as error:
        remedy = "check the address and the credentials" if is_remote(path) else "write it again"
        reason = " ".join(str(error).split())[:300] or "no reason given"
        raise SourceError(f"{path}: expected {wanted}, got {type(error).__name__}: {reason}: {remedy}") from error


def is_archived(path: str) -> bool:
    """Tell whether a path leads into an archive, which nothing is written to."""
    return not is_remote(path) and split_archive(path) is not None


def written_at(path: str) -> int | None:
    """Tell when the metadata of a group on this machine were written, in nanoseconds; None for URLs."""
    if is_remote(path):
        return None
    archived = split_archive(path)
    files = [Path(archived[0])] if archived else [Path(path) / name for name in ("zarr.json", ".zattrs")]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=None)


def remove_torn(folder: Path) -> None:
    """Remove what Zarr was writing anywhere in a folder when its process was killed; nobody else may write there."""
    if in_store(folder):  # where objects are written in one piece
        return
    for path in folder.rglob("*.partial"):
        if _TORN.fullmatch(path.name):
            path.unlink(missing_ok=True)


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


def zarr_store(path: str) -> dict[str, Any]:
    """Say where a path is in Zarr's words."""
    if is_remote(path):
        if path.lower().endswith(ARCHIVES):
            raise SourceError(f"{path}: expected an OME-Zarr that is not zipped on a server, got one: download it")
        if scheme_of(path) in AZURE:
            return {"store": AzureStore(FsspecStore.from_url(path, storage_options=FRESH))}
        return {"store": path, "storage_options": FRESH}
    archived = split_archive(path)
    if archived is None:
        return {"store": path}
    store, root = open_archive(archived[0])
    return {"store": store, "path": "/".join(part for part in (root, archived[1]) if part)}
