"""OME-Zarr in one file: ``.ozx``, or zipped in another way; read as it is, never written."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from zarr.core.sync import sync
from zarr.storage import ZipStore

from simsearch.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIXES = (".ozx", ".zip")

_OPEN_ARCHIVES = 16  # that a process keeps open: their lists of files are read once
_ROOT_FILES = ("zarr.json", ".zgroup", ".zattrs")
_LARGEST_BYTES = 2**30  # of a file that must be unpacked as a whole


def split_archive(path: str) -> tuple[str, str] | None:
    """Split a path on this machine into an archive and the way down inside it; None if it leads into no archive.

    Examples
    --------
    >>> split_archive("/nowhere/a.ome.zarr/0") is None
    True
    """
    parts = path.split("/")
    for n in range(len(parts), 0, -1):
        name = parts[n - 1].lower()
        is_named = name.endswith(SUFFIXES)
        if (is_named or n == len(parts) or name.endswith(".zarr")) and Path(archive := "/".join(parts[:n])).is_file():
            return (archive, "/".join(parts[n:])) if is_named or holds_zarr(archive) else None
    return None


def holds_zarr(path: str) -> bool:
    """Tell whether a file is an archive with a Zarr in it, whatever its name."""
    try:
        with Path(path).open("rb") as file:
            return file.read(2) == b"PK" and _opened(path)[1] is not None
    except OSError:
        return False


def open_archive(path: str) -> tuple[ZipStore, str]:
    """Open an archive once in a process.

    Returns
    -------
    (ZipStore, str)
        What reads it, and the folder inside it where the Zarr is; empty if it is not in one.

    Raises
    ------
    SourceError
        If it is damaged, has no Zarr or several, or files that would unpack to more than a machine can hold.
    """
    store, root = _opened(path)
    if root is None:
        raise SourceError(f"{path}: expected one OME-Zarr in the archive, got none or several: unpack it and name one")
    return store, root


def _opened(path: str) -> tuple[ZipStore, str | None]:
    try:
        found = Path(path).stat()
        return _open(path, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{path}: expected a zipped OME-Zarr, got {type(error).__name__}: {error}: fetch or zip it again"
        ) from error


@lru_cache(maxsize=_OPEN_ARCHIVES)
def _open(path: str, written: int, size: int) -> tuple[ZipStore, str | None]:
    store = sync(ZipStore.open(path, mode="r"))
    with zipfile.ZipFile(path) as archive:
        files = archive.infolist()
    for each in files:
        if each.compress_type != zipfile.ZIP_STORED and each.file_size > _LARGEST_BYTES:
            raise SourceError(
                f"{path}: expected files of at most {_LARGEST_BYTES >> 20} MiB where they are compressed, got "
                f"{each.file_size >> 20} MiB at {each.filename[:100]!r}: zip it again without compression"
            )
    return store, _root(each.filename for each in files)


def _root(names: Iterable[str]) -> str | None:
    """Find the one folder that all others with a Zarr in them lie below."""
    split = (name.rpartition("/") for name in names if not name.startswith("__MACOSX/"))  # what macOS adds
    folders = {folder for folder, _, file in split if file in _ROOT_FILES}
    if not folders:
        return None
    root = min(folders, key=len)
    return root if all(folder == root or folder.startswith(f"{root}/" if root else "") for folder in folders) else None
