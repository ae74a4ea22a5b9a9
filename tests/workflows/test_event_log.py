"""Batch users read in a file what others see in a terminal."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from simsearch.errors import StoreError
from simsearch.runtime.events import Event, StepEnded, StepStarted, TaskDone, TaskFailed, Waiting, ignore
from simsearch.training.epochs import EpochDone
from simsearch.workflows.event_log import logged

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = (
    StepStarted("detect", 2, 30),
    Waiting("detect"),
    TaskDone("detect", "a y 0:5", 20),
    TaskFailed("detect", "b y 0:5", "b: expected pixels, got none"),
    StepEnded("detect", 1.0),
)


def test_each_event_is_a_line_with_its_time_and_totals(tmp_path: Path) -> None:
    heard: list[Event] = []
    observe = logged(heard.append, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for event in EVENTS:
        observe(event)
    assert heard == list(EVENTS)
    lines = [json.loads(line) for line in (tmp_path / "out/events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["StepStarted", "TaskDone", "TaskFailed", "StepEnded"]
    assert [line["n_done"] for line in lines] == [0, 1, 1, 1]
    assert [line["n_failed"] for line in lines] == [0, 0, 1, 1]
    assert [line["n_pixels_done"] for line in lines] == [0, 20, 20, 20]
    assert {(line["step"], line["n_tasks"], line["n_pixels"]) for line in lines} == {("detect", 2, 30)}
    assert (lines[1]["task"], lines[2]["message"]) == ("a y 0:5", "b: expected pixels, got none")
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    assert times == sorted(times)
    assert all(time.tzinfo for time in times)


def test_a_run_that_goes_on_adds_to_the_lines(tmp_path: Path) -> None:
    for _ in range(2):
        logged(lambda event: None, tmp_path)(EVENTS[0])
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/events\.jsonl: expected to write"):
        logged(lambda event: None, tmp_path / "file")(EVENTS[0])


def test_a_loss_that_is_no_number_is_null_and_the_line_is_json(tmp_path: Path) -> None:
    logged(ignore, tmp_path)(EpochDone("classifier", 1, 2, float("nan"), 1.0))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=refuse)["loss"] is None
