"""Islands: parts of a page that are plain HTML, drawn by a script, in touch with the server over Bokeh's connection.

The server's half of an island is a `Wire`, whose parts hold JSON that the script draws; what the person does comes back
as a message. `static/island.js` is the other half. A part that has not changed does not travel.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.properties import String
from bokeh.model import DataModel

from simsearch.core.checks.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Message = Mapping[str, Any]
    """What a person did: the values that the script sent along."""

_log = logging.getLogger(__name__)


def Part() -> Any:  # noqa: ANN401  stands for a property of a Bokeh model, and reads like one
    """Declare a part of a wire: a value that the script draws."""
    return String(default="null")


class Wire(DataModel):
    """What server and script of an island share. Each kind of island declares its parts in a class of its own."""

    up = String(default="")
    """The last message of the script."""


class Island:
    """The server's half of an island; components extend it.

    Parameters
    ----------
    wire : Wire
        What it shares with its script.
    on_message : mapping of str to callable
        What to do about each kind of message. Others are refused.
    """

    def __init__(self, wire: Wire, on_message: Mapping[str, Callable[[Message], None]] | None = None) -> None:
        self.root = wire
        self._on_message = dict(on_message or {})
        wire.on_change("up", self._take)

    def send(self, **parts: object) -> None:
        """Have parts drawn anew: anything that JSON can hold, numpy arrays and numbers too."""
        for name, value in parts.items():
            setattr(self.root, name, to_json(value))

    def _take(self, _attribute: str, _before: str, sent: str) -> None:
        try:
            message = parse_json(sent)
            kind = message["kind"]
            take = self._on_message[kind]
        except (ValueError, KeyError, TypeError):
            _log.warning("expected a message of a page, got %.200r", sent)
            return
        take(message)


def to_json(value: object) -> str:
    """Write a value as JSON; of numpy's numbers as many digits as a screen can show.

    Examples
    --------
    >>> to_json({"y": np.array([1.0, 2.25]), "n": np.int64(3), "names": ("a", "b")})
    '{"y":[1.0,2.25],"n":3,"names":["a","b"]}'
    """
    return json.dumps(value, separators=(",", ":"), default=_plain, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return (np.round(value.astype(float), 4) if value.dtype.kind == "f" else value).tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected what JSON can hold, got {type(value).__name__}")
