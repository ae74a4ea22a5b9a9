"""Islands draw what the server sends, and the server does what they say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.app.components.frame import FrameWire
from simsearch.app.components.island import Island, to_json
from tests.app.drawing import drawn, say

if TYPE_CHECKING:
    from simsearch.app.components.island import Message


def test_parts_come_down_one_by_one() -> None:
    island = Island(FrameWire())
    island.send(jobs=np.array([1.23456, 2.0]), notice={"on": True})
    assert drawn(island.root, "jobs") == [1.2346, 2.0]
    island.send(notice=None)
    assert (drawn(island.root, "notice"), drawn(island.root, "jobs")) == (None, [1.2346, 2.0])


def test_a_part_that_stays_the_same_does_not_travel() -> None:
    island, sent = Island(FrameWire()), []
    island.root.on_change("notice", lambda attribute, old, new: sent.append(new))
    for value in ({"on": True}, {"on": True}, {"on": False}):
        island.send(notice=value)
    assert sent == ['{"on":true}', '{"on":false}']


def test_the_same_message_twice_is_two_messages() -> None:
    got: list[Message] = []
    island = Island(FrameWire(), {"press": got.append})
    say(island.root, "press", hard=1)
    say(island.root, "press", hard=1)
    assert [message["hard"] for message in got] == [1, 1]


@pytest.mark.parametrize("sent", ["", "no json", "[1]", "3", '{"kind": "unknown"}', '{"hard": 1}', '{"kind": []}'])
def test_what_no_script_of_ours_says_is_refused(sent: str, caplog: pytest.LogCaptureFixture) -> None:
    island = Island(FrameWire(), {"press": lambda message: pytest.fail("pressed")})
    island.root.up = "something else"
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        island.root.up = sent
    assert "expected a message of a page" in caplog.text


def test_what_json_cannot_hold_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="expected what JSON can hold, got set"):
        to_json({1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(float("nan"))
