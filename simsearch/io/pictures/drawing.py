"""What becomes of a picture that cannot be drawn: a note, and never the loss of a table."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from simsearch.errors import SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OF_THE_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
    | {errno.ENOTDIR, errno.EISDIR}
)


def vector_of(path: Path) -> Path:
    """Name the SVG file of a picture, beside its PNG.

    Examples
    --------
    >>> from pathlib import Path
    >>> vector_of(Path("heat_maps.png")).name
    'heat_maps.svg'
    """
    return path.with_suffix(".svg")


def try_to_draw(path: Path, draw: Callable[[], object]) -> tuple[str, ...]:
    """Draw a picture, and tell why if that fails, whatever the library that draws says.

    Parameters
    ----------
    path : Path
        Of the picture. What was there before, also as SVG, is not left beside tables that are new.
    draw : callable
        Writes it.

    Returns
    -------
    tuple of str
        A note where there is no picture now; nothing else.

    Raises
    ------
    OSError
        If the disk is full, or nothing can be written there: tables would fail alike.
    SimSearchError
        What was told in our words already.
    """
    forget_picture(path)
    try:
        draw()
    except SimSearchError:
        raise
    except Exception as error:  # matplotlib, PIL and FreeType raise as they like
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        forget_picture(path)
        reason = " ".join(str(error).split())[:200]
        return (f"{path.name} was not drawn: {type(error).__name__}{reason and f': {reason}'}; all else was written",)
    return ()


def forget_picture(path: Path) -> None:
    """Remove a picture and its SVG, as far as they are there."""
    for each in (path, vector_of(path)):
        each.unlink(missing_ok=True)


def missing_picture(path: Path) -> tuple[str, ...]:
    """Say that a picture is not there, where it is not: a worker could not draw it."""
    return () if path.exists() else (f"{path.name} was not drawn; all else was written",)
