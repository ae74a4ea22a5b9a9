"""Paths in tables that were written on another machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from simsearch.errors import AnnotationError, ConfigError
from simsearch.io.ome_zarr.stores import is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\]")

PathMap = tuple[tuple[str, str], ...]
"""What paths begin with in a table, and where that is here."""


def parse_path_map(text: str) -> tuple[str, str]:
    r"""Read ``BEFORE=HERE``.

    Raises
    ------
    ConfigError
        If it is not that.

    Examples
    --------
    >>> parse_path_map("C:\\Users\\me=/mnt/x")
    ('C:\\Users\\me', '/mnt/x')
    """
    before, _, here = text.partition("=")
    if not (before.strip() and here.strip()):
        raise ConfigError(f"expected BEFORE=HERE, such as C:\\data=/mnt/data, got {text!r}: write both with = between")
    return before.strip(), here.strip()


@dataclass(slots=True)
class PathFinder:
    """Finds the files that a table names, and remembers how."""

    folder: Path
    """Where relative paths begin: the folder of the table."""
    path_map: PathMap = ()
    beside: dict[str, str] = field(default_factory=dict)
    """What was found beside the table: the path here, and the one in the table."""
    missing: list[str] = field(default_factory=list)
    """Paths of another system of which nothing was found."""

    def find(self, path: str) -> str:
        """Tell where a file is; where it is not found, the path as it is written.

        Raises
        ------
        AnnotationError
            If it is a URL that cannot be read, or two paths lead to the same file.
        """
        if path.lower().startswith("file:"):
            local = unquote(urlparse(path).path)
            path = local[1:] if _WINDOWS.match(local[1:]) else local
        if ":" in path.split("/")[0] and not _WINDOWS.match(path):
            _check_url(path)
            return path
        for before, here in self.path_map:
            if (tail := _below(path, before)) is not None:
                return str(Path(here).absolute() / tail)
        if _WINDOWS.match(path):
            return self._beside(path, PureWindowsPath(path).parts[1:])
        if path.startswith("/"):
            return path if Path(path).exists() else self._beside(path, PurePosixPath(path).parts[1:])
        relative = self.folder / path
        return str(relative if relative.exists() or "\\" not in path else self.folder / path.replace("\\", "/"))

    def _beside(self, path: str, parts: Sequence[str]) -> str:
        """Look for the end of a path of another machine in the folder of the table, the longest first."""
        for i in range(len(parts)):
            here = self.folder.joinpath(*parts[i:])
            if here.exists():
                other = self.beside.setdefault(str(here), path)
                if other != path:
                    raise AnnotationError(
                        f"expected a file for each path, got {here} for {other} and {path} of another machine: say "
                        "where they are with --path-map BEFORE=HERE"
                    )
                return str(here)
        self.missing.append(path)
        return path

    def notes(self) -> tuple[str, ...]:
        """Tell what was found where it is not said to be.

        Raises
        ------
        AnnotationError
            If nothing was found where a system of another kind has its files.
        """
        lost = next((path for path in self.missing if _WINDOWS.match(path)), None)
        if lost and not self.beside:
            parent = str(PureWindowsPath(lost).parent)
            raise AnnotationError(
                f"expected paths of this machine, got {lost} of another, a Windows path, and no such file beside the "
                f"table: say where its files are here with --path-map '{parent}=FOLDER'"
            )
        if not self.beside:
            return ()
        here, before = next(iter(self.beside.items()))
        return (f"paths of another machine, such as {before}: files of that name were found beside the table: {here}",)


def join_path(folder: str, name: str) -> str:
    r"""Join a folder and a name of any system.

    Examples
    --------
    >>> join_path("C:\\img", "a.tif"), join_path("img", "a.tif"), join_path("", "a.tif"), join_path("img", "/b/a.tif")
    ('C:\\img\\a.tif', 'img/a.tif', 'a.tif', '/b/a.tif')
    """
    if not folder or name.startswith("/") or _WINDOWS.match(name):
        return name
    mark = "\\" if _WINDOWS.match(folder) else "/"
    return f"{folder.rstrip(chr(47) + chr(92)) or mark}{mark}{name}" if folder != "/" else f"/{name}"


def _below(path: str, before: str) -> str | None:
    plain, start = path.replace("\\", "/"), before.replace("\\", "/").rstrip("/")
    one, other = plain[: len(start)], start
    if _WINDOWS.match(before):  # where upper and lower case are the same
        one, other = one.casefold(), other.casefold()
    same, tail = one == other, plain[len(start) :]
    return tail.strip("/") if same and tail[:1] in ("", "/") else None


def _check_url(url: str) -> None:
    if not is_remote(url) or ".zarr" not in url:
        raise AnnotationError(
            f"expected files of this machine or URLs of OME-Zarrs, got {url}: URLs of image files cannot be read: "
            "download them and name the files"
        )
