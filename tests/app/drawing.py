"""What tests of pages share: reading what a script would draw, and saying what it would say."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsearch.app.components.island import Wire

_numbers = count(1)


def drawn(wire: Wire, part: str) -> Any:  # noqa: ANN401  whatever the part holds
    """Read a part of an island."""
    return json.loads(getattr(wire, part))


def say(wire: Wire, kind: str, **values: object) -> None:
    """Send a message as the script of an island does."""
    wire.up = json.dumps({**values, "kind": kind, "number": next(_numbers)})
