"""Where things are: paths on this machine, and URLs."""

from __future__ import annotations

import re
from pathlib import Path

from simsearch.errors import ConfigError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # a single letter is a drive; pathlib makes one slash of two

FOR_STUDIES = "keep the study on a file system, where its journal can grow and be locked"
"""What to do with the URL of a study."""


def scheme_of(place: str | Path) -> str:
    """Return what a URL begins with, in lower case; nothing for paths and ``file://`` URLs.

    Examples
    --------
    >>> scheme_of("s3://bucket/a.csv"), scheme_of(Path("s3://bucket/a.csv")), scheme_of("/data/a.csv")
    ('s3', 's3', '')
    """
    found = _SCHEME.match(str(place))
    return "" if found is None or found[1].lower() == "file" else found[1].lower()


def local_path(place: str | Path, remedy: str = "name one, or copy what is there") -> Path:
    """Make a path, which would be a folder ``s3:`` here if it were a URL.

    Parameters
    ----------
    place : str or Path
        A path, or a ``file://`` URL.
    remedy : str
        What to do with a URL.

    Raises
    ------
    ConfigError
        If it is a URL.

    Examples
    --------
    >>> local_path("file:///data/a.csv").as_posix()
    '/data/a.csv'
    """
    if scheme_of(place):
        raise ConfigError(f"expected a path on this machine, got {place}: {remedy}")
    return Path(str(place).removeprefix("file://"))
