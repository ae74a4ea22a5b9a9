"""File names of microscopes: patterns by name, or a regular expression."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simsearch.errors import ConfigError, SourceError
from simsearch.io.ome_zarr.wells import Well, make_well, parse_well
from simsearch.io.sources.plate_files import PlaneFile

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Pattern:
    """How to read file names."""

    name: str
    regex: re.Pattern[str]
    """With groups ``well``, or ``row`` and ``column``; optional ``field``, ``channel``, ``z``, ``t`` and ``plate``."""
    channel_names: dict[str, str] = dataclasses.field(default_factory=dict)


_WELL = r"(?P<well>[A-Z]{1,2}\d{2})"
_PRESETS = {
    "bbbc013": Pattern(
        "bbbc013",
        re.compile(r"^Channel(?P<channel>[12])-\d+-(?P<row>[A-H])-(?P<column>\d{2})\.\w+$", re.IGNORECASE),
        {"1": "GFP", "2": "DNA"},
    ),
    "imagexpress": Pattern(
        "imagexpress",
        # The end is the GUID that MetaXpress adds; _thumb is a preview.
        re.compile(
            rf"^(?P<plate>.+?)_{_WELL}(?:_s(?P<field>\d+))?(?:_w(?P<channel>\d))?(?:[0-9A-F]{{8}}-[0-9A-F-]+)?\.tiff?$",
            re.IGNORECASE,
        ),
    ),
    "operetta": Pattern(
        "operetta",
        re.compile(
            r"^r(?P<row>\d{2})c(?P<column>\d{2})f(?P<field>\d+)p(?P<z>\d+)-ch(?P<channel>\d+)(?:sk(?P<t>\d+))?.*\.tiff?$",
            re.IGNORECASE,
        ),
    ),
    "cellvoyager": Pattern(
        "cellvoyager",
        re.compile(
            rf"^(?P<plate>.+?)_{_WELL}_T(?P<t>\d+)F(?P<field>\d+)L\d+A\d+Z(?P<z>\d+)C(?P<channel>\d+)\.(?:tiff?|png)$",
            re.IGNORECASE,
        ),
    ),
    "cellomics": Pattern(
        "cellomics",
        re.compile(rf"^(?P<plate>.*?)_{_WELL}f(?P<field>\d+)d(?P<channel>\d)\.tiff?$", re.IGNORECASE),
    ),
}
_PRESETS |= dict.fromkeys(("opera", "harmony", "phenix"), _PRESETS["operetta"])
PRESET_NAMES = tuple(_PRESETS)


def find_pattern(text: str) -> Pattern:
    """Look a pattern up by its name, or compile a regular expression.

    Raises
    ------
    ConfigError
        If it is neither, or does not tell the well.
    """
    preset = _PRESETS.get(text.lower().replace("-", "").replace(" ", ""))
    if preset:
        return preset
    try:
        regex = re.compile(text)
    except re.error as error:
        raise ConfigError(
            f"expected {', '.join(PRESET_NAMES)} or a regular expression, got {text!r}: {error}"
        ) from None
    groups = set(regex.groupindex)
    if not ("well" in groups or {"row", "column"} <= groups):
        raise ConfigError(
            f"expected {', '.join(PRESET_NAMES)} or a regular expression with a group (?P<well>...), or (?P<row>...) "
            f"and (?P<column>...), got {text!r}: add the groups"
        )
    return Pattern(text, regex)


def match_files(paths: Sequence[str | Path], pattern: Pattern) -> tuple[list[PlaneFile], tuple[str, ...]]:
    """Find the files of a plate by their names.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, and folders that are searched with all folders in them.
    pattern : Pattern
        Matched against the name of a file; against its path in the folder if the expression has a slash.

    Returns
    -------
    (list of PlaneFile, tuple of str)
        In the order of their paths, and a note on the files that do not match.

    Raises
    ------
    SourceError
        If no file matches, a well does not exist, or the files are of several plates.
    """
    named = [(path, name) for root in paths for path, name in _files(Path(root), whole="/" in pattern.regex.pattern)]
    found, others, plates = [], [], set()
    for path, name in named:
        match = pattern.regex.search(name)
        if match is None:
            others.append(name)
            continue
        groups = {key: value or "" for key, value in match.groupdict().items()}
        plates.add(groups.get("plate", ""))
        field, channel, z, t = (groups.get(key, "") for key in ("field", "channel", "z", "t"))
        found.append(PlaneFile(str(path), _well(groups, path), field, channel, z, t))
    if not found:
        example = f"such as {others[0]}" if others else "an empty folder"
        raise SourceError(
            f"{paths[0]}: expected files that match {pattern.name}, got {len(others)} others, {example}: choose "
            "another --plate-pattern"
        )
    if len(plates) > 1:
        raise SourceError(
            f"{paths[0]}: expected files of one plate, got {', '.join(sorted(plates))}: convert one a time"
        )
    notes = (f"{len(others)} files do not match {pattern.name}, such as {others[0]}",) if others else ()
    return found, notes


def _files(root: Path, *, whole: bool) -> list[tuple[Path, str]]:
    if not root.exists():
        raise SourceError(f"{root}: expected a folder or file of a plate, got nothing there: check the path")
    if root.is_file():
        return [(root, root.name)]
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [(path, path.relative_to(root).as_posix() if whole else path.name) for path in paths]


def _well(groups: dict[str, str], path: Path) -> Well:
    well = (
        parse_well(groups["well"]) if groups.get("well") else make_well(groups.get("row", ""), groups.get("column", ""))
    )
    if well is None:
        got = groups.get("well") or f"row {groups.get('row')!r}, column {groups.get('column')!r}"
        raise SourceError(f"{path}: expected a well from A01 to AF48, got {got}: mend the pattern or the file name")
    return well
