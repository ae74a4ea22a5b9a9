"""Files of a folder, without what systems leave there."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from simsearch.io.places import in_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEFT_THERE = frozenset(["thumbs.db", "desktop.ini", "__macosx", "@eadir", "ehthumbs.db", "$recycle.bin"])


def is_left_there(name: str) -> bool:
    """Tell whether a system put a file or folder there, and nobody who wants it read.

    Examples
    --------
    >>> [is_left_there(name) for name in ("._A01.tif", ".DS_Store", "Thumbs.db", "A01.tif")]
    [True, True, True, False]
    """
    return name.startswith(".") or name.casefold() in _LEFT_THERE


def list_folder(folder: Path) -> list[Path]:
    """List what is in a folder, in the order of names."""
    return sorted(path for path in folder.iterdir() if not is_left_there(path.name))


def walk_files(folder: Path) -> Iterator[Path]:
    """List the files of a folder and of all folders in it, in the order of their paths."""
    if stored := in_store(folder):
        found = {each: each.relative_to(stored).parts for each in stored.rglob("*")}
        yield from sorted(cast("Path", each) for each, parts in found.items() if not any(map(is_left_there, parts)))
        return
    for path in list_folder(folder):
        if path.is_dir() and not path.is_symlink():
            yield from walk_files(path)
        elif path.is_file():
            yield path
