"""Errors in the words of the browser: what to do comes first, and nothing is said about the command line."""

from __future__ import annotations

import re
from math import floor

_MESSAGE = re.compile(r"(?:(?P<where>.+?): )?expected (?P<wanted>.+?), got (?P<found>.+?)(?:: (?P<way>.+))?", re.DOTALL)
_PLACE = re.compile(r"\by (-?\d+(?:\.\d+)?) x (-?\d+(?:\.\d+)?)( in )?")
_COMMAND = re.compile(r"(,? or with|,? or)?\s*\(?`simsearch [^`]*`\)?")
_OPTIONS = {
    "--kind dense": "other settings",
    "train it with --areas": "train one for Areas",
    "a lower --floor": "another run",
}


def plainly(error: object) -> str:
    """Say an error in the browser.

    Examples
    --------
    >>> plainly("expected a new patch, got one that is there: it is marked so already")
    'It is marked so already. This needs a new patch, and there is one that is there.'
    >>> plainly("expected a new patch, got y 282.5 x 76 in well 5 once more: it is marked so already")
    'It is marked so already. This needs a new patch, and there is row 283, column 76 of well 5 once more.'
    >>> plainly("expected background, got none: accept what is suggested (`simsearch study suggest --accept`)")
    'Accept what is suggested. This needs background, and there is none.'
    >>> plainly("a.ome.zarr: expected an image, got nothing there: bring it back")
    'Bring it back. This needs an image, and there is nothing there (a.ome.zarr).'
    >>> plainly("/data: expected to write it, got no space: free some, then try again")
    'Free some, then try again. Could not write it: no space (/data).'
    >>> plainly("undo #1: expected that the rest applies, got #2, which does not: expected a, got b: c. Undo #2 first")
    'Undo #2 first. It should be that the rest applies, but there is #2, which does not (undo #1).'
    """
    message = _PLACE.sub(_place, _COMMAND.sub("", str(error)))
    for option, words in _OPTIONS.items():
        message = message.replace(option, words)
    parts = _MESSAGE.fullmatch(message)
    if parts is None:
        return message
    where = f" ({parts['where']})" if parts["where"] else ""
    wanted, found = parts["wanted"], parts["found"]
    if wanted.startswith("to "):
        detail = f"Could not {wanted.removeprefix('to ')}: {found}{where}."
    elif wanted.startswith("that "):
        detail = f"It should be {wanted}, but there is {found}{where}."
    else:
        detail = f"This needs {wanted}, and there is {found}{where}."
    way = (parts["way"] or "").rstrip(".")
    if "expected " in way:  # the reason of another error, whose way out is the last sentence
        way = way.rsplit(". ", 1)[-1]
    return f"{way[0].upper()}{way[1:]}. {detail}" if way else detail


def _place(found: re.Match[str]) -> str:
    """Name a place as the page does: whole rows and columns, as the cross and the pointer are told."""
    y, x = (floor(float(found[at]) + 0.5) for at in (1, 2))
    return f"row {y}, column {x}{' of ' if found[3] else ''}"
