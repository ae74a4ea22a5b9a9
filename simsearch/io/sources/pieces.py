"""How much may be decoded in one piece: files declare what they like."""

from __future__ import annotations

from simsearch.errors import SourceError

MOST_BYTES = 2**30
"""Of pixels that one strip, tile or image may unpack to."""
MOST_CHANNELS = 1024
"""Of an image; what declares more is damaged."""
_GIB = 2**30


def check_piece(n_bytes: int, what: str, path: str) -> None:
    """Refuse what would unpack to more than a worker can hold.

    Raises
    ------
    SourceError
        If it is more than `MOST_BYTES`.

    Examples
    --------
    >>> check_piece(60_000 * 60_000, "a strip", "a.tif")
    Traceback (most recent call last):
    simsearch.errors.SourceError: a.tif: expected at most 1 GiB in one piece, got a strip of 3.35 GiB: save it tiled
    """
    if n_bytes > MOST_BYTES:
        raise SourceError(
            f"{path}: expected at most {MOST_BYTES // _GIB} GiB in one piece, got {what} of {n_bytes / _GIB:.3g} GiB: "
            "save it tiled"
        )


def check_channels(n_channels: int, path: str) -> None:
    """Refuse more channels than any microscope has.

    Raises
    ------
    SourceError
        If there are more than `MOST_CHANNELS`.
    """
    if n_channels > MOST_CHANNELS:
        raise SourceError(
            f"{path}: expected at most {MOST_CHANNELS} channels, got {n_channels}: the file is damaged, or pages are "
            "no channels (--stack z or t)"
        )
