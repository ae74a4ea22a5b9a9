"""Errors in the words of the browser: what to do comes first, and nothing is said about the command line."""

from __future__ import annotations

import re

_MESSAGE = re.compile(r"(?:(?P<where>.+?): )?expected (?P<wanted>.+?), got (?P<found>.+?)(?:: (?P<way>.+))?", re.DOTALL)
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
    'It is marked so already. Needed: a new patch; found: one that is there.'
    >>> plainly("expected background, got none: accept what is suggested (`simsearch study suggest --accept`)")
    'Accept what is suggested. Needed: background; found: none.'
    >>> plainly("a.ome.zarr: expected an image, got nothing there: bring it back")
    'Bring it back. Needed: an image; found: nothing there (a.ome.zarr).'
    """
    message = _COMMAND.sub("", str(error))
    for option, words in _OPTIONS.items():
        message = message.replace(option, words)
    parts = _MESSAGE.fullmatch(message)
    if parts is None:
        return message
    where = f" ({parts['where']})" if parts["where"] else ""
    detail = f"Needed: {parts['wanted']}; found: {parts['found']}{where}."
    way = (parts["way"] or "").rstrip(".")
    return f"{way[0].upper()}{way[1:]}. {detail}" if way else detail
