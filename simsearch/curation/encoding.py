"""Actions as JSON and back, strictly: what is not understood in full is refused, never guessed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from simsearch.core.checks.json_text import parse_json
from simsearch.curation.actions import (
    Action,
    AddClass,
    Batch,
    ChooseChannels,
    ChooseImages,
    RecolorClass,
    RemoveClass,
    RenameClass,
    SetConfidenceThreshold,
    SetSimilarityThreshold,
)
from simsearch.curation.history import Entry, Redo, Undo
from simsearch.curation.marks import (
    AcceptBackground,
    AcceptClass,
    AddBackground,
    AddPrototypes,
    ConfirmPatches,
    FlagNegatives,
    FlagNotBackground,
    MovePrototype,
    ReleasePositives,
    RemovePrototype,
    ResizePatches,
    UnflagNegatives,
    UnflagNotBackground,
    WithdrawConfirmed,
)
from simsearch.curation.older import AddAndReopen, FlagAndReopen, MoveAndReopen, RemoveAndReopen, UnflagAndReopen
from simsearch.curation.outlines import AddRegion, RemoveRegion, RenameRegion
from simsearch.curation.state import Patch
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CHANGES: tuple[type[Action], ...] = (
    AddClass, RenameClass, RecolorClass, RemoveClass, SetSimilarityThreshold, SetConfidenceThreshold,
    AddPrototypes, MovePrototype, RemovePrototype, FlagNegatives, UnflagNegatives, AcceptClass, FlagNotBackground,
    UnflagNotBackground, AcceptBackground, ChooseImages, ChooseChannels, ConfirmPatches, WithdrawConfirmed,
    ReleasePositives, AddBackground, ResizePatches, AddRegion, RenameRegion, RemoveRegion,
    Batch,
)  # fmt: skip

# Any: a type checker cannot know the fields of each.
KINDS: Mapping[str, Any] = {each.kind: each for each in _CHANGES} | {Undo.kind: Undo, Redo.kind: Redo}
"""What a journal can hold, by name."""

# What older journals hold, by name and version.
_OLDER: Mapping[tuple[str, object], Any] = {
    (each.kind, each.version): each
    for each in (FlagAndReopen, UnflagAndReopen, AddAndReopen, MoveAndReopen, RemoveAndReopen)
}


class UnknownActionError(CurationError):
    """A journal holds an action of a newer simsearch."""


def entry_to_line(entry: Entry) -> bytes:
    """Write an entry as a line of JSON, its end included."""
    content = {
        "seq": entry.seq,
        "time": entry.time,
        "user": entry.user,
        "action": action_to_json(entry.action),
    }
    # In ASCII: names of files that are no valid text survive, and no editor takes a character for the end of a line.
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def entry_from_line(line: bytes) -> Entry:
    """Read an entry.

    Raises
    ------
    CurationError
        If it is not exactly what `entry_to_line` writes, or of a newer simsearch.
    """
    try:
        content = parse_json(line.decode("ascii"))
    except ValueError as error:
        raise CurationError(f"expected JSON, got {line[:40]!r}") from error
    values = _object(content, ("seq", "time", "user", "action"))
    return Entry(
        _whole(values["seq"]), _text(values["time"]), _text(values["user"]), action_from_json(values["action"])
    )


def action_to_json(action: Action | Undo | Redo) -> dict[str, Any]:
    """Describe an action as plain values.

    Examples
    --------
    >>> action_to_json(RemoveClass("RBC"))
    {'name': 'remove_class', 'version': 1, 'class_name': 'RBC'}
    """
    content: dict[str, Any] = {"name": action.kind, "version": action.version}
    for each in fields(KINDS[action.kind]):
        content[each.name] = _plain(getattr(action, each.name))
    return content


def action_from_json(content: object) -> Action | Undo | Redo:
    """Make an action of what `action_to_json` gives.

    Raises
    ------
    CurationError
        If there is no such action or version, or a value is missing, unknown or of another type.
    """
    named = content if isinstance(content, dict) else {}
    name = str(named.get("name"))
    kind = _OLDER.get((name, named.get("version")), KINDS.get(name))
    if kind is None or named.get("version") != kind.version:
        raise UnknownActionError(
            f"expected an action that this simsearch knows, got {named.get('name')!r} of version "
            f"{named.get('version')!r}: open it with a newer one"
        )
    types = {each.name: str(each.type) for each in fields(kind)}
    values = _object(content, ("name", "version", *types))
    action: Action | Undo | Redo = kind(**{name: DECODERS[of_type](values[name]) for name, of_type in types.items()})
    return action


def _plain(value: object) -> object:
    if isinstance(value, Patch):
        return asdict(value)
    if isinstance(value, Action):
        return action_to_json(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _object(content: object, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(content, dict) or set(content) != set(names):
        got = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        raise CurationError(f"expected the values {', '.join(names)}, got {got}")
    return content


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise CurationError(f"expected text, got {value!r}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise CurationError(f"expected a whole number, got {value!r}")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise CurationError(f"expected a number, got {value!r}")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise CurationError(f"expected a list, got {value!r}")
    return value


def _sides(value: object) -> tuple[float, float]:
    numbers = [_number(each) for each in _list(value)]
    if len(numbers) != 2:
        raise CurationError(f"expected a height and a width, got {value!r}")
    return numbers[0], numbers[1]


def _patch(value: object) -> Patch:
    values = _object(value, ("id", "image", "y", "x"))
    return Patch(_text(values["id"]), _text(values["image"]), _number(values["y"]), _number(values["x"]))


def _change(value: object) -> Action:
    action = action_from_json(value)
    if not isinstance(action, Action):
        raise CurationError(f"expected an action inside a batch, got {action}")
    return action


DECODERS: Mapping[str, Callable[[Any], object]] = {
    "str": _text,
    "int": _whole,
    "float": _number,
    "tuple[str, ...]": lambda value: tuple(_text(each) for each in _list(value)),
    "tuple[float, float]": _sides,
    "tuple[tuple[float, float], ...]": lambda value: tuple(_sides(each) for each in _list(value)),
    "tuple[Patch, ...]": lambda value: tuple(_patch(each) for each in _list(value)),
    "tuple[Action, ...]": lambda value: tuple(_change(each) for each in _list(value)),
}
"""How to read a field of an action, by its annotation."""
