"""How the channels of a viewer are shown: which, in what colour, from which intensity to which, and how bent."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simsearch.io.pictures.render import LEAST_GAMMA, MOST_GAMMA, ShownChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.app.components.island import Message
    from simsearch.app.urls import Urls
    from simsearch.curation.state import Curation


class ChannelLooks:
    """How a person wants to see the channels that are looked at.

    Parameters
    ----------
    urls : Urls
        Tells how channels are shown unless asked otherwise.
    names : sequence of str
        Of all channels of the study.
    """

    def __init__(self, urls: Urls, names: Sequence[str]) -> None:
        self._urls, self._names = urls, names
        self._defaults: tuple[ShownChannel, ...] = ()
        self._changed: dict[int, ShownChannel] = {}
        self._off: set[int] = set()
        self.shown: tuple[ShownChannel, ...] = ()
        """Those that are drawn."""

    def follow(self, curation: Curation) -> bool:
        """Take the channels that are looked at, and tell whether others are drawn than before."""
        self._defaults = self._urls.channels([self._names.index(name) for name in curation.channels])
        on = tuple(each for each in self._all() if each.index not in self._off)
        before, self.shown = self.shown, on or self._all()
        return before != self.shown

    def change(self, message: Message) -> None:
        """Show a channel as somebody wants it, if that can be."""
        index, low, high = int(message["index"]), float(message["low"]), float(message["high"])
        gamma = float(message.get("gamma", 1.0))
        color = str(message["color"]).removeprefix("#").upper()
        if not (low < high and LEAST_GAMMA <= gamma <= MOST_GAMMA and re.fullmatch("[0-9A-F]{6}", color)):
            return
        self._changed[index] = ShownChannel(index, color, low, high, gamma)
        (self._off.discard if message.get("is_on", True) else self._off.add)(index)

    def set_range(self, index: int, low: float, high: float) -> None:
        """Show a channel from one intensity to another."""
        known = next((each for each in self._all() if each.index == index), None)
        if known is not None:
            self._changed[index] = replace(known, low=low, high=high)

    def parts(self) -> list[dict[str, Any]]:
        """Write the channels for a script to draw."""
        return [
            {
                "index": each.index,
                "name": self._names[each.index],
                "color": f"#{each.color}",
                "low": each.low,
                "high": each.high,
                "gamma": each.gamma,
                "is_on": each in self.shown,
                "start": min(0.0, default.low),
                "end": 2 * default.high - min(0.0, default.low),
                "default": {"color": f"#{default.color}", "low": default.low, "high": default.high, "gamma": 1.0},
            }
            for each, default in zip(self._all(), self._defaults, strict=True)
        ]

    def _all(self) -> tuple[ShownChannel, ...]:
        return tuple(self._changed.get(each.index, each) for each in self._defaults)
