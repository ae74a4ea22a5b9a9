"""Names that people and files give: as names of files, and in order."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from simsearch.errors import ConfigError

_LONGEST = 255  # bytes, on the file systems of all systems that are in use


def path_in(folder: Path, name: str, suffix: str = "") -> Path:
    """Make a path of a name, inside a folder and nowhere else.

    Parameters
    ----------
    folder : Path
        Where it is to be.
    name : str
        Of an image, a plate or a class; slashes are folders.
    suffix : str
        What the name of the file ends with.

    Raises
    ------
    ConfigError
        If it would lie outside the folder, or no file can have such a name.

    Examples
    --------
    >>> path_in(Path("results"), "plate/A/01/0", ".geojson").as_posix()
    'results/plate/A/01/0.geojson'
    """
    check_name(name, str(folder))
    if any(len(os.fsencode(part)) > _LONGEST for part in f"{name}{suffix}".split("/")):
        raise ConfigError(
            f"{folder}: expected a name that can be one of a file, of {_LONGEST} bytes at most, got {name[:40]!r}... "
            f"of {len(name)} characters: rename it"
        )
    return folder / f"{name}{suffix}"


def natural_key(text: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Key that sorts names as people do: numbers in them by value.

    Examples
    --------
    >>> sorted(["blood 10", "blood 2", "blood", "blood 02"], key=natural_key)
    ['blood', 'blood 02', 'blood 2', 'blood 10']
    """
    parts = re.findall(r"\d+|\D+", text)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts), text


def image_key(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Key that sorts names of images as people do, and leaves the fields of a plate in the order of the plate.

    Examples
    --------
    >>> sorted(["P10/A/01/0", "P2/Z/01/0", "P2/AA/01/0"], key=image_key)
    ['P2/Z/01/0', 'P2/AA/01/0', 'P10/A/01/0']
    """
    return natural_key(name.partition("/")[0])


def in_one_line(text: str) -> str:
    """Write what may hold control characters and line feeds so that it can be shown in a line: with others instead."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def check_name(name: str, place: str) -> str:
    """Refuse a name that is absolute, climbs out of its folder, or holds control characters; return others.

    Parameters
    ----------
    name : str
        Of an image, a plate or a class.
    place : str
        Where it was read, or is to be written.

    Raises
    ------
    ConfigError
        If it is such a name.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or not name.isprintable() or ":" in parts[0]:
        raise ConfigError(f"{place}: expected a name that can be one of a file in a folder, got {name!r}: rename it")
    return name
