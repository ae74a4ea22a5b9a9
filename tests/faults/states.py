"""What stands in a folder, but for when and how fast it was made; and whether it may."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    State = Mapping[str, object]

_UNTOLD = (".lock", "curation.lock", "events.jsonl", ".simsearch-journal.jsonl")
"""Files that tell nothing of results: locks, and what happened when."""
_VOLATILE = frozenset({"seconds", "finished", "created", "time", "n_done_before", "id", "seq"})
"""What differs between two runs that do the same: times, and names of patches that nobody sees."""
_WHOLE = frozenset({".csv", ".json", ".parquet", ".safetensors", ".geojson", ".sha256", ".md"})
"""Files that are there only when they are complete."""
_LOG = "tiles.jsonl"


def state_of(folder: Path) -> State:
    """Read all files of a folder, by their paths in it, so that equal results are equal."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        is_cached = "cache" in inner.parts and path.suffix == ".partial"  # by others, for all it knows
        if path.is_file() and path.name not in _UNTOLD and not is_cached:
            found[str(inner)] = _read(path)
    return found


def _read(path: Path) -> object:
    content = path.read_bytes()
    try:
        if path.name == _LOG:
            return {json.dumps(line) for line in _lines(content)}
        if path.suffix == ".jsonl":
            return list(dict.fromkeys(json.dumps(_plain(line)) for line in _lines(content)))  # said twice is said
        if path.suffix == ".json":
            return _plain(json.loads(content))
    except ValueError:
        pass
    return content


def _lines(content: bytes) -> list[Any]:
    """Read whole lines; what was being written when a process was killed is none, nor is an empty one."""
    found = []
    for line in content.split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _plain(value: Any) -> object:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in _VOLATILE}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def differences(now: State, wanted: State) -> list[str]:
    """List the files that differ, are missing or are too many."""
    return [
        f"{name}: {'missing' if name not in now else 'left over' if name not in wanted else 'another'}"
        for name in sorted({*now, *wanted})
        if name not in now or name not in wanted or now[name] != wanted[name]
    ]


def false_claims(now: State, before: State, after: State, wholes: Sequence[str]) -> list[str]:
    """List what reads as finished and is not, of what a command left that did not end.

    Parameters
    ----------
    now, before, after : mapping of str to object
        What stands there, and what does without the command, and when it has ended.
    wholes : sequence of str
        Folders that read as finished when they are there.
    """
    claims = []
    runs = [str(PurePosixPath(name).parent) for name in now if PurePosixPath(name).name == "run.json"]
    for folder in (*runs, *wholes):
        here = _below(now, folder)
        if here and not any(_told(here) == _told(_below(each, folder)) for each in (before, after)):
            claims.append(f"{folder} reads as finished: {differences(here, _below(after, folder))[:5]}")
    for name, content in now.items():
        path = PurePosixPath(name)
        is_whole = (
            path.suffix in _WHOLE and path.name != "zarr.json" and not any(_is_underway(part) for part in path.parts)
        )
        if is_whole and content not in (before.get(name), after.get(name)):
            claims.append(f"{name} is neither what it was nor what it becomes")
    return claims


def _below(state: State, folder: str) -> dict[str, object]:
    return {name: content for name, content in state.items() if folder in (".", *map(str, PurePosixPath(name).parents))}


def _told(state: Mapping[str, object]) -> dict[str, object]:
    """Leave out what nobody reads as a result: logs, and hidden files."""
    return {
        name: content
        for name, content in state.items()
        if not PurePosixPath(name).name.startswith(".") and _LOG not in name
    }


def _is_underway(part: str) -> bool:
    return part.startswith(".") or part.endswith((".partial", ".replaced")) or ".zarr" in part or part == "cache"
