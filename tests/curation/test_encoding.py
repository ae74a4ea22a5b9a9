"""Actions survive JSON, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import pytest

from simsearch.curation.actions import AddClass, Batch, ChooseImages, SetSimilarityThreshold
from simsearch.curation.encoding import (
    DECODERS,
    KINDS,
    action_from_json,
    action_to_json,
    entry_from_line,
    entry_to_line,
)
from simsearch.curation.history import Entry, Undo
from simsearch.curation.marks import AddPrototypes, FlagNegatives
from simsearch.curation.older import AddAndReopen, FlagAndReopen, MoveAndReopen, RemoveAndReopen, UnflagAndReopen
from simsearch.curation.state import Patch
from simsearch.errors import CurationError

PATCH = Patch("1f", "a", 10.5, 20)
VALUES: dict[str, Any] = {
    "str": "RBC \u00b5 \u2028 \udc80",
    "int": 3,
    "float": 0.1,
    "tuple[str, ...]": ("a", "b"),
    "tuple[float, float]": (48.0, 40.5),
    "tuple[tuple[float, float], ...]": ((0.5, 1.0), (2.0, 3.5), (4.0, 0.25)),
    "tuple[Patch, ...]": (PATCH, Patch("2", "P/A/01/0", 0.001, 1e6)),
    "tuple[Action, ...]": (AddClass("RBC", "#000000"), FlagNegatives("RBC", (PATCH,))),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_every_action_survives_a_line(kind: type[Any]) -> None:
    action = kind(**{each.name: VALUES[each.type] for each in fields(kind)})
    entry = Entry(7, "2026-01-01T00:00:00.000+00:00", "Ada \u00c5", action)
    line = entry_to_line(entry)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert entry_from_line(line) == entry
    assert str(action)


def test_actions_of_older_journals_keep_their_meaning() -> None:
    flag = {"name": "flag_negatives", "version": 1, "class_name": "RBC", "patches": [asdict(PATCH)]}
    unflag = {"name": "unflag_negatives", "version": 1, "class_name": "RBC", "patch_ids": ["1f"]}

    assert action_from_json(flag) == FlagAndReopen("RBC", (PATCH,))
    assert action_from_json(unflag) == UnflagAndReopen("RBC", ("1f",))
    assert [action_to_json(action_from_json(each)) for each in (flag, unflag)] == [flag, unflag]
    drawn = {"class_name": "RBC", "patches": [asdict(PATCH)], "patch_shape": [48.0, 40.0]}
    for kind, content in (
        (AddAndReopen, {"name": "add_prototypes", "version": 1, **drawn}),
        (
            MoveAndReopen,
            {"name": "move_prototype", "version": 1, "class_name": "RBC", "patch_id": "1f", "y": 1, "x": 2},
        ),
        (RemoveAndReopen, {"name": "remove_prototype", "version": 1, "class_name": "RBC", "patch_id": "1f"}),
    ):
        action = action_from_json(content)
        assert type(action) is kind
        assert action_to_json(action) == content


def test_every_type_has_a_decoder() -> None:
    assert {each.type for kind in KINDS.values() for each in fields(kind)} == set(DECODERS)


def test_names_and_versions_are_frozen() -> None:
    """Journals of users hold these: a change of meaning is a new version, never a new meaning of an old one."""
    assert {name: [kind.version, *(each.name for each in fields(kind))] for name, kind in KINDS.items()} == {
        "add_class": [1, "class_name", "color"],
        "rename_class": [1, "class_name", "new_name"],
        "recolor_class": [1, "class_name", "color"],
        "remove_class": [1, "class_name"],
        "set_similarity_threshold": [1, "class_name", "similarity_threshold"],
        "set_confidence_threshold": [1, "class_name", "confidence_threshold"],
        "add_prototypes": [2, "class_name", "patches", "patch_shape"],
        "move_prototype": [2, "class_name", "patch_id", "y", "x"],
        "remove_prototype": [2, "class_name", "patch_id"],
        "flag_negatives": [2, "class_name", "patches"],
        "unflag_negatives": [2, "class_name", "patch_ids"],
        "accept_class": [1, "class_name", "positives"],
        "flag_not_background": [1, "patches"],
        "unflag_not_background": [1, "patch_ids"],
        "accept_background": [1, "patches"],
        "choose_images": [1, "images"],
        "choose_channels": [1, "channels"],
        "confirm_patches": [1, "class_name", "patches"],
        "withdraw_confirmed": [1, "class_name", "patch_ids"],
        "release_positives": [1, "class_name", "patch_ids"],
        "add_background": [1, "patches"],
        "resize_patches": [1, "class_name", "patch_shape"],
        "add_region": [1, "image", "region", "corners"],
        "rename_region": [1, "image", "region", "new_name"],
        "remove_region": [1, "image", "region"],
        "batch": [1, "label", "actions"],
        "undo": [1, "seq"],
        "redo": [1, "seq"],
    }


PROTOTYPE = action_to_json(AddPrototypes("RBC", (PATCH,), (48.0, 40.0)))
THRESHOLD = action_to_json(SetSimilarityThreshold("RBC", 0.5))
WRONG: dict[str, tuple[object, str]] = {
    "no object": ([1], "action that this simsearch knows, got None"),
    "unknown": ({**THRESHOLD, "name": "explode"}, "got 'explode' of version 1: open it with a newer one"),
    "newer": ({**THRESHOLD, "version": 2}, "of version 2: open it with a newer one"),
    "missing": ({"name": "add_class", "version": 1, "class_name": "RBC"}, "values name, version, class_name, color"),
    "too much": ({**THRESHOLD, "also": 1}, "got name, version, class_name, similarity_threshold, also"),
    "text": ({**THRESHOLD, "class_name": 3}, "expected text, got 3"),
    "number": ({**THRESHOLD, "similarity_threshold": "0.5"}, "expected a number, got '0.5'"),
    "truth": ({**THRESHOLD, "similarity_threshold": True}, "expected a number, got True"),
    "infinity": ({**THRESHOLD, "similarity_threshold": float("inf")}, "expected a number, got inf"),
    "whole": ({**action_to_json(Undo(1)), "seq": 1.5}, "whole number"),
    "list": ({**action_to_json(ChooseImages(("a",))), "images": "a"}, "expected a list, got 'a'"),
    "sides": ({**PROTOTYPE, "patch_shape": [48]}, r"a height and a width, got \[48\]"),
    "patch": ({**PROTOTYPE, "patches": [{"id": "1"}]}, "values id, image, y, x, got id"),
    "undo in a batch": ({**action_to_json(Batch("x", ())), "actions": [action_to_json(Undo(1))]}, "inside a batch"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_not_understood_is_refused(content: object, message: str) -> None:
    with pytest.raises(CurationError, match=message):
        action_from_json(content)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff", b"null", b'{"seq":1}', b'{"seq":"1","time":"","user":"","action":{}}']
)
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(CurationError):
        entry_from_line(line)


def test_no_nan_is_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        entry_to_line(Entry(1, "", "ada", SetSimilarityThreshold("RBC", float("nan"))))
    assert json.loads(entry_to_line(Entry(1, "", "ada", Undo(1))))["action"]["seq"] == 1
