"""What tests of pages share: reading what a script would draw, and saying what it would say."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsearch.app.components.island import Wire
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot, Suggestions

_numbers = count(1)


class Shown:
    """A study whose suggestions are those of a test, whatever is computed meanwhile."""

    def __init__(self, live: LiveStudy, suggestions: Suggestions) -> None:
        self._live, self._suggestions = live, suggestions

    @property
    def snapshot(self) -> Snapshot:
        """The curation as it is, with the test's suggestions."""
        return replace(self._live.snapshot, suggestions=self._suggestions)

    def __getattr__(self, name: str) -> object:
        return getattr(self._live, name)


def drawn(wire: Wire, part: str) -> Any:  # noqa: ANN401  whatever the part holds
    """Read a part of an island."""
    return json.loads(getattr(wire, part))


def say(wire: Wire, kind: str, **values: object) -> None:
    """Send a message as the script of an island does."""
    wire.up = json.dumps({**values, "kind": kind, "number": next(_numbers)})
