"""Choose which channels are looked at: what they show, how bright they are, and which show the same."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.steps import needs_no_channels
from simsearch.curation.actions import ChooseChannels
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.workflows.curate.channel_report import ChannelReport


class ChannelsWire(Wire):
    """What the choice of channels draws."""

    channels = Part()
    report = Part()
    state = Part()


class ChannelChoice(Island):
    """Chooses channels.

    Parameters
    ----------
    context : PageContext
        Of the page.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._has_report = self._is_asking = False
        super().__init__(ChannelsWire(), {"toggle": self._toggle})

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        curation, urls = snapshot.curation, self._context.urls
        names = curation.channel_names
        image = curation.displayed[0]
        self.send(
            channels=[
                {
                    "name": name,
                    "color": f"#{urls.shown[index].color}",
                    "picture": urls.thumbnail(image, urls.channels([index])),
                    "is_chosen": name in curation.channels,
                }
                for index, name in enumerate(names)
            ],
            state=self._state(snapshot),
        )
        if not needs_no_channels(curation):
            self._ask(snapshot)

    def _state(self, snapshot: Snapshot) -> dict[str, Any]:
        measured = [job for job in snapshot.jobs if job.kind == "measure"]
        failed = bool(measured) and measured[-1].state in ("failed", "cancelled")
        curation = snapshot.curation
        return {
            "needs_none": needs_no_channels(curation),
            "n_images": len(curation.shapes),
            "picture": self._context.urls.thumbnail(curation.displayed[0]),
            "failed": (measured[-1].message or "Measuring was cancelled.") if failed else "",
        }

    def _ask(self, snapshot: Snapshot) -> None:
        """Fetch the report, unless it is there, asked for, or being made."""
        measured = [job for job in snapshot.jobs if job.kind == "measure"]
        if self._has_report or self._is_asking or (measured and measured[-1].state != "done"):
            return
        self._is_asking = True
        self._context.doc.add_next_tick_callback(self._fetch)

    async def _fetch(self) -> None:
        report = await asyncio.to_thread(self._context.live.channel_report)
        self._is_asking = False
        if report is not None:
            self._has_report = True
            self.send(report=report_part(report))

    def _toggle(self, message: Message) -> None:
        name, is_on = str(message["name"]), bool(message["on"])
        self._context.do(look_at_channel, name, is_on=is_on)


def look_at_channel(live: LiveStudy, user: str, name: str, *, is_on: bool) -> None:
    """Look at a channel too, or no longer.

    Raises
    ------
    CurationError
        If none would be left, or there is no such channel.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    wanted = {*curation.channels, name} if is_on else {*curation.channels} - {name}
    chosen = tuple(each for each in curation.channel_names if each in wanted)
    if not chosen:
        raise CurationError("expected at least one channel, got none: choose another before this one goes")
    if chosen != curation.channels:
        live.act(user, ChooseChannels(chosen))


def report_part(report: ChannelReport) -> dict[str, Any]:
    """Write a report for a script to draw; where a channel is constant there is no correlation."""
    correlation = [
        [None if math.isnan(value) else round(float(value), 4) for value in row] for row in report.correlation
    ]
    return {
        "correlation": correlation,
        "histograms": [
            {"counts": counts, "start": edges[0], "end": edges[-1], "low": limits[0], "high": limits[1]}
            for counts, edges, limits in zip(report.histograms, report.edges, report.ranges, strict=True)
        ],
    }
