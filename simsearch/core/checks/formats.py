"""Formats of files that are written and read back: what a newer simsearch wrote is refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.errors import SimSearchError

FORMAT_KEY = "format"


def check_format(
    content: Mapping[str, object], newest: int, name: str, error: type[SimSearchError] = StoreError
) -> None:
    """Refuse what a newer simsearch wrote.

    Parameters
    ----------
    content : mapping
        What a file says of itself: the number of its format under ``format``, which is 1 where there is none.
    newest : int
        The newest format that this simsearch reads.
    name : str
        Of the file, for messages.
    error : type
        What is raised.

    Raises
    ------
    SimSearchError
        An `error`, if the format is newer, or no number of one.

    Examples
    --------
    >>> check_format({"loss": 0.5}, 1, "run.json")
    >>> check_format({"format": 2}, 1, "run.json")
    Traceback (most recent call last):
    simsearch.errors.StoreError: run.json: expected format 1 or older, got 2: update simsearch
    """
    written = content.get(FORMAT_KEY, 1)
    is_known = isinstance(written, int) and not isinstance(written, bool) and 1 <= written <= newest
    if not is_known:
        raise error(f"{name}: expected format {newest} or older, got {written!r}: update simsearch")
