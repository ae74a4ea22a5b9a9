"""Channels are chosen one by one; what helps to choose is measured in the background."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.app.components.channel_choice import ChannelChoice, report_part
from simsearch.app.session.snapshot import JobView
from simsearch.curation.state import Curation
from simsearch.errors import CurationError
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.workflows.curate.channel_report import ChannelReport
from tests.app.drawing import drawn, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simsearch.app.context import PageContext

REPORT = ChannelReport(
    ("GFP", "DNA"),
    np.array([[1.0, np.nan], [np.nan, 0.25]]),
    ((10.0, 90.0), (0.0, 5.0)),
    np.array([[0.0, 50.0, 100.0], [0.0, 5.0, 10.0]]),
    np.array([[3, 4], [5, 0]]),
)


def _turns(context: PageContext) -> list[Callable[[], Awaitable[None]]]:
    return [each.callback for each in context.doc.session_callbacks]  # type: ignore[attr-defined]


def test_a_click_looks_at_a_channel_or_no_longer(context: PageContext) -> None:
    wire = ChannelChoice(context).root
    say(wire, "toggle", name="GFP", on=False)
    assert context.live.snapshot.curation.channels == ("DNA",)
    say(wire, "toggle", name="GFP", on=True)
    assert context.live.snapshot.curation.channels == ("GFP", "DNA")
    say(wire, "toggle", name="GFP", on=True)
    assert len(context.live.snapshot.history.entries) == 2
    say(wire, "toggle", name="GFP", on=False)
    with pytest.raises(CurationError, match="expected at least one channel"):
        say(wire, "toggle", name="DNA", on=False)


def test_each_channel_is_shown_alone(context: PageContext) -> None:
    choice = ChannelChoice(context)
    choice.update(context.live.snapshot)
    first, second = drawn(choice.root, "channels")
    assert (first["name"], first["color"], first["is_chosen"]) == ("GFP", "#00FF00", True)
    assert first["picture"] == "/lab/thumbnails/0?c=0,00FF00,0,1000&v=v1"
    assert second["picture"] == "/lab/thumbnails/0?c=1,0000FF,0,1000&v=v1"


def test_the_report_is_asked_for_once_and_again_when_it_is_measured(context: PageContext) -> None:
    answers: list[ChannelReport | None] = [None, REPORT]
    asked = replace(context, live=_Reporting(context, answers))  # type: ignore[arg-type]  # all that it uses
    choice = ChannelChoice(asked)
    choice.update(context.live.snapshot)
    choice.update(context.live.snapshot)
    (ask,) = _turns(context)
    asyncio.run(ask())  # type: ignore[arg-type]
    assert drawn(choice.root, "report") is None
    job = JobView("1", "measure", "Measure", "simsearch", "running")
    choice.update(replace(context.live.snapshot, jobs=(job,)))
    assert not _turns(context)
    choice.update(replace(context.live.snapshot, jobs=(replace(job, state="done"),)))
    (ask,) = _turns(context)
    asyncio.run(ask())  # type: ignore[arg-type]
    assert drawn(choice.root, "report")["correlation"] == [[1.0, None], [None, 0.25]]
    choice.update(replace(context.live.snapshot, jobs=(replace(job, state="done"),)))
    assert (_turns(context), answers) == ([], [])


class _Reporting:
    def __init__(self, context: PageContext, answers: list[ChannelReport | None]) -> None:
        self.study, self._answers = context.live.study, answers

    def channel_report(self) -> ChannelReport | None:
        """Give the next answer."""
        return self._answers.pop(0)


def test_what_failed_is_said_and_channels_can_still_be_chosen(context: PageContext) -> None:
    choice = ChannelChoice(context)
    job = JobView("1", "measure", "Measure", "simsearch", "failed", message="b.ome.zarr: expected pixels, got none")
    choice.update(replace(context.live.snapshot, jobs=(job,)))
    assert drawn(choice.root, "state")["failed"] == "b.ome.zarr: expected pixels, got none"
    assert not _turns(context)


def test_brightfield_needs_no_choice_and_nothing_is_measured(context: PageContext) -> None:
    snapshot = context.live.snapshot
    rgb = Curation(snapshot.curation.shapes, RGB_NAMES, ("a",), RGB_NAMES)
    urls = replace(context.urls, shown=tuple(replace(context.urls.shown[0], index=index) for index in range(3)))
    choice = ChannelChoice(replace(context, urls=urls))
    choice.update(replace(snapshot, history=replace(snapshot.history, state=rgb)))
    assert drawn(choice.root, "state")["needs_none"]
    assert not _turns(context)


def test_a_report_holds_histograms_with_their_ranges() -> None:
    assert report_part(REPORT)["histograms"][0] == {
        "counts": pytest.approx([3, 4]), "start": 0.0, "end": 100.0, "low": 10.0, "high": 90.0,
    }  # fmt: skip
