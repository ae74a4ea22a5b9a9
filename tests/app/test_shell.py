"""The frame of every page: steps, undo and redo, jobs, errors, and how a page hears of changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from bokeh.document import Document
from bokeh.embed.server import server_html_page_for_session
from bokeh.models import Slider
from bokeh.resources import INLINE

from simsearch.app.components.frame import Frame, past, undo_and_redo
from simsearch.app.context import Page
from simsearch.app.session.snapshot import JobView
from simsearch.app.shell import follow, mount_page
from simsearch.app.steps import STEPS, finished_steps, needs_no_channels, next_step
from simsearch.curation.actions import AddClass, ChooseChannels, ChooseImages, SetConfidenceThreshold
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes
from simsearch.curation.state import Curation, Patch
from simsearch.errors import CurationError
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.workflows.curate.trained import TrainedModel
from tests.app.drawing import drawn, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.app.context import PageContext
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.actions import Action


def _do(live: LiveStudy, *actions: Action) -> None:
    for action in actions:
        live.act("ada", action)


def _model(path: Path) -> TrainedModel:
    return TrainedModel("m", path, "0", "dense", ("cell",), {"cell": (48, 48)}, {"cell": 0.5}, "2026-01-01", {}, {})


def test_steps_are_finished_one_after_the_other(live: LiveStudy, tmp_path: Path) -> None:
    assert next_step(live.snapshot) == "images"
    _do(live, ChooseImages(("a", "b")))
    assert next_step(live.snapshot) == "channels"
    _do(live, ChooseChannels(("GFP",)), AddClass("cell", "#e69f00"))
    assert next_step(live.snapshot) == "regions"
    _do(live, AddPrototypes("cell", (Patch.at("a", 60, 60),), (48, 48)))
    assert next_step(live.snapshot) == "regions"
    _do(live, AcceptClass("cell", ()))
    assert next_step(live.snapshot) == "background"
    _do(live, AcceptBackground((Patch.at("a", 130, 130),)))
    assert next_step(live.snapshot) == "train"
    trained = replace(live.snapshot, models=(_model(tmp_path),))
    assert next_step(trained) == "confidence"
    _do(live, SetConfidenceThreshold("cell", 0.5))
    trained = replace(live.snapshot, models=(_model(tmp_path),))
    assert next_step(trained) == "results"
    done = replace(trained, n_results=1)
    assert finished_steps(done) == {step.name for step in STEPS}
    assert next_step(done) == "results"


def test_what_a_study_begins_with_is_a_choice_once_somebody_has_drawn(live: LiveStudy) -> None:
    _do(live, AddClass("cell", "#e69f00"), AddPrototypes("cell", (Patch.at("a", 60, 60),), (48, 48)))
    assert finished_steps(live.snapshot) == {"images", "channels"}


def test_an_undone_choice_is_none(live: LiveStudy) -> None:
    _do(live, ChooseImages(("a", "b")))
    live.undo("ada")
    assert next_step(live.snapshot) == "images"


@pytest.mark.parametrize(("names", "needs_none"), [(RGB_NAMES, True), (("DNA",), True), (("DNA", "GFP"), False)])
def test_brightfield_and_one_channel_need_no_choice(names: tuple[str, ...], needs_none: bool) -> None:
    assert needs_no_channels(Curation({}, names)) == needs_none


def test_the_frame_says_what_would_be_undone_by_this_person(live: LiveStudy) -> None:
    _do(live, AddClass("cell", "#e69f00"))
    live.act("bob", AddClass("dirt", "#56b4e9"))
    mine, last = undo_and_redo(live.snapshot.history, "ada"), live.snapshot.history.entries[-1]
    assert (mine["undo"], mine["redo"], mine["by"], mine["saved"]) == ("add class cell", None, "bob", last.time)
    live.undo("ada")
    assert undo_and_redo(live.snapshot.history, "ada")["redo"] == "add class cell"
    assert undo_and_redo(live.snapshot.history, "bob")["undo"] == "add class dirt"


def test_undo_and_redo_are_buttons(context: PageContext) -> None:
    frame = Frame(context)
    context.act(AddClass("cell", "#e69f00"))
    say(frame.root, "undo")
    assert context.live.snapshot.curation.classes == ()
    say(frame.root, "redo")
    assert [each.name for each in context.live.snapshot.curation.classes] == ["cell"]


def test_the_list_of_what_was_done_undoes_back_to_what_is_clicked_and_redoes_it(context: PageContext) -> None:
    frame, live = Frame(context), context.live
    for name in ("one", "two", "three"):
        context.act(AddClass(name, "#e69f00"))
    live.act("bob", AddClass("dirt", "#56b4e9"))

    def listed(user: str = "ada") -> list[tuple[str, str]]:
        return [(each["words"].removeprefix("add class "), each["is"]) for each in past(live.snapshot.history, user)]

    assert listed() == [("dirt", "others"), ("three", "done"), ("two", "done"), ("one", "done")]
    say(frame.root, "undo", to=2)
    assert [each.name for each in live.snapshot.curation.classes] == ["one", "dirt"]
    assert listed() == [("dirt", "others"), ("three", "undone"), ("two", "undone"), ("one", "done")]
    assert listed("bob") == [("dirt", "done"), ("one", "others")]  # what another undid is nothing to bob
    say(frame.root, "redo", to=3)
    assert [each.name for each in live.snapshot.curation.classes] == ["one", "two", "three", "dirt"]
    frame.update(live.snapshot)
    assert [each["seq"] for each in drawn(frame.root, "past")] == [4, 3, 2, 1]
    with pytest.raises(CurationError, match="expected an action of ada that holds, got #4: look at the history"):
        say(frame.root, "undo", to=4)  # of bob


def test_the_frame_shows_jobs_and_what_failed(context: PageContext) -> None:
    frame = Frame(context)
    job = JobView("7", "train", "Train a model", "ada", "running", "clean", 3, 10, 12.5)
    frame.update(replace(context.live.snapshot, jobs=(job,)))
    (shown,) = drawn(frame.root, "jobs")
    assert (shown["title"], shown["done"], shown["total"], shown["eta"]) == ("Train a model", 3, 10, 12.5)
    frame.report(0, "expected this, got that: do so")
    first = drawn(frame.root, "toast")
    assert first["text"] == "expected this, got that: do so"
    frame.report(0, "expected this, got that: do so")
    assert drawn(frame.root, "toast") != first  # said again, shown again
    assert drawn(frame.root, "saving") == {"n_waiting": 0, "error": "expected this, got that: do so"}
    frame.report(0, "")
    assert drawn(frame.root, "saving")["error"] == ""


class Turns:
    """A document whose turns come when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def add_next_tick_callback(self, callback: Callable[[], None]) -> None:
        """Keep it."""
        self.waiting.append(callback)


def test_a_slow_page_draws_the_newest_state_once(live: LiveStudy) -> None:
    turns, seen = Turns(), list[int]()
    stop = follow(turns, live, lambda snapshot: seen.append(len(snapshot.curation.classes)))  # type: ignore[arg-type]  # all that it uses
    for number in range(3):
        live.act("ada", AddClass(f"class {number}", "#e69f00"))
    assert (seen, len(turns.waiting)) == ([0], 1)
    turns.waiting.pop()()
    assert seen == [0, 3]
    stop()
    live.act("ada", AddClass("one more", "#e69f00"))
    assert not turns.waiting


def test_a_page_is_dressed_and_let_go(context: PageContext) -> None:
    closed: list[bool] = []
    slider = Slider(start=0, end=1, value=0.5)

    def page(context: PageContext) -> Page:
        def update(snapshot: Snapshot) -> None:
            slider.title = f"{len(snapshot.curation.displayed)} images"

        return Page({"amount": slider}, update, lambda: closed.append(True))

    mount_page(context, "regions", page)
    doc = context.doc
    assert doc.title == "Regions · study"
    assert [root.name for root in doc.roots] == ["frame", "amount"]
    assert (slider.title, slider.stylesheets[0].url) == ("3 images", "/lab/assets/widgets.css?v=v1")
    assert not doc.config.reconnect_session
    for callback in doc.session_destroyed_callbacks:
        callback(None)
    assert closed == [True]


def test_names_of_people_and_studies_are_no_html(context: PageContext) -> None:
    doc = Document()
    mount_page(replace(context, user="<b>'x", doc=doc), "any", lambda context: Page({}, lambda snapshot: None))

    class Session:
        """What the template needs of one."""

        token, document = "", doc

    html = server_html_page_for_session(
        Session(),
        INLINE,
        doc.title,
        template=doc.template,
        template_variables=doc.template_variables,  # type: ignore[arg-type]
    )
    assert "<b>'x" not in html
    assert "You work as &lt;b&gt;" in html
