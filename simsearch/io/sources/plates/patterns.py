"""File names of microscopes: patterns by name, or a regular expression."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsearch.errors import ConfigError, SourceError
from simsearch.io.ome_zarr.plates.wells import Well, make_well, parse_well
from simsearch.io.sources.folders import list_folder, walk_files
from simsearch.io.sources.plates.files import PlaneFile, PlateListing
from simsearch.io.sources.plates.index import read_index

if TYPE_CHECKING:
    from collections.abc import Sequence


_THUMBNAIL = re.compile(r"_thumb.*\.tiff?$", re.IGNORECASE)
_MOST = 0.9  # of the images that a preset must match to be named
_N_FOLDERS = 3  # above a file that are looked at


@dataclass(frozen=True, slots=True)
class Pattern:
    """How to read file names."""

    name: str
    regex: re.Pattern[str]
    """With groups ``well``, or ``row`` and ``column``; optional ``field``, ``channel``, ``z``, ``t`` and ``plate``."""
    channel_names: dict[str, str] = dataclasses.field(default_factory=dict)
    folders: re.Pattern[str] | None = None
    """For the names of the folders of a file, with groups ``z`` and ``t``."""
    extras: re.Pattern[str] | None = None
    """Files that are there beside images, and are no news."""
    example: str = ""
    """A file name that matches."""


_WELL = r"(?P<well>[A-Z]{1,2}\d{2})"
_LOOSE_WELL = r"(?P<well>[A-Z]{1,2}\d{1,2})"


def _preset(name: str, regex: str, example: str, **others: Any) -> Pattern:  # noqa: ANN401  fields of Pattern
    return Pattern(name, re.compile(regex, re.IGNORECASE), example=example, **others)


_ALL = (
    _preset(
        "bbbc013",
        r"^Channel(?P<channel>[12])-\d+-(?P<row>[A-H])-(?P<column>\d{2})\.\w+$",
        "Channel1-01-A-01.BMP",
        channel_names={"1": "GFP", "2": "DNA"},
    ),
    _preset(
        "imagexpress",
        # The end is the GUID that MetaXpress adds.
        rf"^(?P<plate>.+?)_{_WELL}(?:_s(?P<field>\d+))?(?:_w(?P<channel>\d{{1,2}}))?(?:_z(?P<z>\d+))?"
        r"(?:[0-9A-F]{8}-[0-9A-F-]+)?\.tiff?$",
        "TimePoint_1/ZStep_1/Plate_A01_s1_w1.TIF",
        folders=re.compile(r"(?:TimePoint_(?P<t>\d+)|ZStep_(?P<z>\d+))", re.IGNORECASE),
        extras=re.compile(r"_thumb.*\.tiff?$|\.htd$", re.IGNORECASE),
    ),
    _preset(
        "operetta",
        r"^r(?P<row>\d{2})c(?P<column>\d{2})f(?P<field>\d+)p(?P<z>\d+)-ch(?P<channel>\d+)(?:sk(?P<t>\d+))?.*\.tiff?$",
        "r01c01f01p01-ch1sk1fk1fl1.tiff",
        extras=re.compile(r"^Index(?:\.idx|\.ref)?\.xml$|\.kw\.txt$", re.IGNORECASE),
    ),
    _preset(
        "cellvoyager",
        rf"^(?P<plate>.+?)_{_WELL}_T(?P<t>\d+)F(?P<field>\d+)L\d+A\d+Z(?P<z>\d+)C(?P<channel>\d+)\.(?:tiff?|png)$",
        "Plate_A01_T0001F001L01A01Z01C01.tif",
        extras=re.compile(r"\.(?:mlf|mrf|mes|wpi|wpp|icr|ppf|dcm)$", re.IGNORECASE),
    ),
    _preset(
        "cellomics",
        rf"^(?P<plate>.*?)_{_WELL}f(?P<field>\d+)d(?P<channel>\d)\.tiff?$",
        "MFGTMP_A01f00d0.TIF",
    ),
    _preset(
        "incell",
        r"^(?P<row>[A-Z]{1,2}) - (?P<column>\d{1,2})\(fld (?P<field>\d+)(?: wv (?P<channel>.+?))?(?: z (?P<z>\d+))?"
        r"(?: time (?P<t>\d+)(?: - -?\d+ ms)?)?\)\.tiff?$",
        "A - 01(fld 1 wv DAPI - DAPI).tif",
        extras=re.compile(r"\.xdce$|\.xml$", re.IGNORECASE),
    ),
    _preset(
        "incucyte",
        rf"^(?:(?P<plate>VID\d+)_)?(?:(?P<channel>[^/]+?)_)??{_LOOSE_WELL}_(?P<field>\d+)"
        r"(?:_(?P<t>\d{4}y\d{2}m\d{2}d_\d{2}h\d{2}m|\d+d\d{2}h\d{2}m))?\.tiff?$",
        "VID123_A1_1_2020y05m12d_10h30m.tif",
    ),
)
_ALIASES = {"opera": "operetta", "harmony": "operetta", "phenix": "operetta", "operaphenix": "operetta"}
_ALIASES |= {"metaxpress": "imagexpress", "yokogawa": "cellvoyager"}
_PRESETS = {pattern.name: pattern for pattern in _ALL}
_PRESETS |= {alias: _PRESETS[name] for alias, name in _ALIASES.items()}


def list_presets() -> tuple[tuple[str, str], ...]:
    """List all presets: the names by which each is known, and an example of a file name.

    Examples
    --------
    >>> list_presets()[0]
    ('bbbc013', 'Channel1-01-A-01.BMP')
    """
    names = {pattern.name: [name for name, each in _PRESETS.items() if each is pattern] for pattern in _ALL}
    return tuple((", ".join(names[pattern.name]), pattern.example) for pattern in _ALL)


def find_pattern(text: str) -> Pattern:
    """Look a pattern up by its name, or compile a regular expression.

    Raises
    ------
    ConfigError
        If it is neither, or does not tell the well.
    """
    preset = _PRESETS.get(re.sub(r"[-_ ]", "", text.lower()))
    if preset:
        return preset
    try:
        regex = re.compile(text)
    except re.error as error:
        raise ConfigError(f"expected {', '.join(_PRESETS)} or a regular expression, got {text!r}: {error}") from None
    groups = set(regex.groupindex)
    if not ("well" in groups or {"row", "column"} <= groups):
        raise ConfigError(
            f"expected {', '.join(_PRESETS)} or a regular expression with a group (?P<well>...), or (?P<row>...) "
            f"and (?P<column>...), got {text!r}: add the groups"
        )
    return Pattern(text, regex)


def fitting_preset(names: Sequence[str]) -> str | None:
    """Name the preset that nearly all names of files have been made by.

    Parameters
    ----------
    names : sequence of str
        Names of images, without folders.

    Returns
    -------
    str or None
        None if no preset fits, or several do, or there are fewer than two images.

    Examples
    --------
    >>> fitting_preset(["r01c01f01p01-ch1sk1fk1fl1.tiff", "r01c02f01p01-ch1sk1fk1fl1.tiff"])
    'operetta'
    >>> fitting_preset(["tumour_A01.tif", "tumour_B02.tif"]) is None
    True
    """
    fitting = [pattern.name for pattern in _ALL if _fits(pattern, names)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(pattern: Pattern, names: Sequence[str]) -> bool:
    """Tell whether names have wells, and what else only microscopes write: channels or fields."""
    images = [name for name in names if not _is_extra(name, pattern)]
    matches = [match for name in images if (match := pattern.regex.search(name))]
    told = [match.groupdict() for match in matches]
    is_told = any(each.get("channel") or each.get("field") for each in told)
    return len(matches) >= max(2, _MOST * len(images)) and is_told


def match_files(paths: Sequence[str | Path], pattern: Pattern) -> PlateListing:
    """Find the files of a plate by their names.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, and folders that are searched with all folders in them.
    pattern : Pattern
        Matched against the name of a file; against its path in the folder if the expression has a slash.

    Returns
    -------
    PlateListing
        Files in the order of their paths, and a note on those that do not match.

    Raises
    ------
    SourceError
        If no file matches, or a well does not exist.
    """
    named = [(path, name) for root in paths for path, name in _files(Path(root), whole="/" in pattern.regex.pattern)]
    matches = [(path, name, pattern.regex.search(name)) for path, name in named]
    found = [_plane_file(path, match, pattern) for path, _, match in matches if match]
    others = [name for _, name, match in matches if match is None and not _is_extra(name, pattern)]
    if not found:
        example = f"such as {others[0]}" if others else "an empty folder"
        like = f" as {pattern.example} does" if pattern.example else ""
        raise SourceError(
            f"{paths[0]}: expected files that match {pattern.name}{like}, got {len(others)} others, {example}: choose "
            "another --plate-pattern"
        )
    thumbs = sum(match is None and _THUMBNAIL.search(name) is not None for _, name, match in matches)
    notes = [f"{len(others)} files do not match {pattern.name}, such as {others[0]}"] if others else []
    notes += [f"{thumbs} thumbnails are left out"] if thumbs else []
    beside = {path for root in map(Path, paths) if root.is_file() for path in list_folder(root.absolute().parent)}
    return _listing(found, pattern, sorted({path for path, _ in named} | beside), tuple(notes))


def _listing(found: list[PlaneFile], pattern: Pattern, paths: Sequence[Path], notes: tuple[str, ...]) -> PlateListing:
    """Add what lies beside the images, and leave out what the microscope has computed of them."""
    files, projections = _without_projections(found) if pattern.folders else (found, ())
    index = read_index(pattern.name, paths)
    lost = sorted(index.listed - {path.name for path in paths})
    missing = (f"{len(lost)} files of {len(index.listed)} are listed and not there, such as {lost[0]}",) if lost else ()
    numbers = {each.channel.lstrip("0") for each in files}
    lacking = [name for number, name in index.channel_names.items() if number not in numbers]
    unseen = (f"no file has the channels {', '.join(lacking)}",) if lacking else ()
    names = {each.channel: name for each in files if (name := index.channel_names.get(each.channel.lstrip("0")))}
    return PlateListing(
        files,
        channel_names={**pattern.channel_names, **names},
        pixel_size_um=index.pixel_size_um,
        notes=notes + projections + index.notes + missing + unseen,
    )


def _without_projections(found: list[PlaneFile]) -> tuple[list[PlaneFile], tuple[str, ...]]:
    """Leave files outside of ZStep folders out where there are such folders: they are projections."""
    inside = [file for file in found if file.z]
    if not inside or len(inside) == len(found):
        return found, ()
    outside = next(file.path for file in found if not file.z)
    return inside, (f"{len(found) - len(inside)} files outside of ZStep folders are left out, such as {outside}",)


def _files(root: Path, *, whole: bool) -> list[tuple[Path, str]]:
    if not root.exists():
        raise SourceError(f"{root}: expected a folder or file of a plate, got nothing there: check the path")
    if root.is_file():
        return [(root, root.name)]
    return [(path, path.relative_to(root).as_posix() if whole else path.name) for path in walk_files(root)]


def _plane_file(path: Path, match: re.Match[str], pattern: Pattern) -> PlaneFile:
    groups = {key: value or "" for key, value in match.groupdict().items()}
    if pattern.folders:  # the place in time and depth that the names of folders tell
        for folder in path.absolute().parts[-1 - _N_FOLDERS : -1]:
            if found := pattern.folders.fullmatch(folder):
                groups |= {key: value for key, value in found.groupdict().items() if value}
    field, channel, z, t, plate = (groups.get(key, "") for key in ("field", "channel", "z", "t", "plate"))
    return PlaneFile(str(path), _well(groups, path), field, channel, z, t, plate=plate)


def _is_extra(name: str, pattern: Pattern) -> bool:
    return pattern.extras is not None and pattern.extras.search(name) is not None


def _well(groups: dict[str, str], path: Path) -> Well:
    well = (
        parse_well(groups["well"]) if groups.get("well") else make_well(groups.get("row", ""), groups.get("column", ""))
    )
    if well is None:
        got = groups.get("well") or f"row {groups.get('row')!r}, column {groups.get('column')!r}"
        raise SourceError(f"{path}: expected a well from A01 to AF48, got {got}: mend the pattern or the file name")
    return well
