"""What microscopes write beside the images of a plate: names of channels, pixel sizes, which files there are."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.errors import SourceError
from simsearch.io.sources.plates.xml_records import read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    Size = tuple[float, float]

_LARGEST_HTD = 2**22


@dataclass(frozen=True, slots=True)
class PlateIndex:
    """What is said of a plate beside its images."""

    channel_names: dict[str, str] = field(default_factory=dict)
    """By the number of the channel, without zeros before it."""
    pixel_size_um: Size | None = None
    """Height and width in micrometres."""
    listed: frozenset[str] = frozenset()
    """Names of the files that there should be."""
    notes: tuple[str, ...] = ()


def read_index(pattern: str, paths: Iterable[Path]) -> PlateIndex:
    """Read what lies beside the images of a microscope.

    Parameters
    ----------
    pattern : str
        Name of the preset of file names.
    paths : iterable of Path
        All files of the plate.

    Returns
    -------
    PlateIndex
        Empty if there is nothing; what cannot be read, or contradicts itself, is noted.
    """
    readers = _READERS.get(pattern, ())
    found = [(path, read) for path in paths for name, read in readers if name.search(path.name)]
    indices, notes = [], []
    for path, read in found:
        try:
            indices.append(read(path))
        except SourceError as error:
            notes.append(f"{error}; nothing of it is used")
    names: dict[str, str] = {}
    for index in indices:
        names |= {key: name for key, name in index.channel_names.items() if key not in names}
    size, doubts = _one_size([index.pixel_size_um for index in indices if index.pixel_size_um])
    listed = frozenset().union(*(index.listed for index in indices))
    return PlateIndex(names, size, listed, (*notes, *(note for index in indices for note in index.notes), *doubts))


def _read_harmony(path: Path) -> PlateIndex:
    """Read the Index.idx.xml or Index.xml of Operetta and Opera Phenix."""
    names: dict[str, str] = {}
    listed: set[str] = set()
    sizes: Counter[tuple[str, str, str, str]] = Counter()
    for record in read_records(path, {"Image", "Entry"}):
        values = record.values
        channel = (values.get("ChannelID") or record.attributes.get("ChannelID", "")).lstrip("0")
        if channel and values.get("ChannelName"):
            names.setdefault(channel, values["ChannelName"])
        if values.get("URL"):
            listed.add(re.split(r"[\\/]", values["URL"])[-1])
        if "ImageResolutionX" in values:
            y, x = (f"ImageResolution{axis}" for axis in "YX")
            sizes[values.get(y, values[x]), values[x], record.units.get(y, "m"), record.units.get(x, "m")] += 1
    size, notes = _believed([((y, x), (y_unit, x_unit)) for y, x, y_unit, x_unit in sizes], path)
    return PlateIndex(names, size, frozenset(listed), notes)


def _read_measurement_data(path: Path) -> PlateIndex:
    """Read the MeasurementData.mlf of CellVoyager."""
    listed: set[str] = set()
    errors: list[str] = []
    for record in read_records(path, {"MeasurementRecord"}):
        if record.attributes.get("Type", "IMG") == "IMG":
            listed.add(re.split(r"[\\/]", record.text)[-1])
        else:
            errors.append(record.text)
    notes = (f"{path.name} tells of {len(errors)} errors of the microscope, such as {errors[0]!r}",) if errors else ()
    return PlateIndex(listed=frozenset(listed), notes=notes)


def _read_measurement_detail(path: Path) -> PlateIndex:
    """Read the MeasurementDetail.mrf of CellVoyager."""
    sizes = [
        (record.attributes.get("VerticalPixelDimension", ""), record.attributes.get("HorizontalPixelDimension", ""))
        for record in read_records(path, {"MeasurementChannel"})
    ]
    size, notes = _believed([(each, "um") for each in dict.fromkeys(sizes) if all(each)], path)
    return PlateIndex(pixel_size_um=size, notes=notes)


def _read_measurement_setting(path: Path) -> PlateIndex:
    """Read the .mes of CellVoyager."""
    names: dict[str, str] = {}
    for record in read_records(path, {"Channel"}):
        name = record.attributes.get("Target") or record.attributes.get("Fluorophore", "")
        if name and record.attributes.get("Ch"):
            names.setdefault(record.attributes["Ch"].lstrip("0"), name)
    return PlateIndex(names)


def _read_xdce(path: Path) -> PlateIndex:
    """Read the .xdce of InCell."""
    sizes = [
        ((known.get("pixel_height", ""), known.get("pixel_width", "")), known.get("unit") or "um")
        for record in read_records(path, {"ObjectiveCalibration"})
        if (known := record.attributes).get("pixel_width")
    ]
    size, notes = _believed(sizes, path)
    return PlateIndex(pixel_size_um=size, notes=notes)


def _read_htd(path: Path) -> PlateIndex:
    """Read the .HTD of MetaXpress: a key and its values in each line."""
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST_HTD).decode("utf-8", errors="replace").splitlines()
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, skipinitialspace=True)]
    except (OSError, csv.Error) as error:
        raise SourceError(f"{path}: expected the HTD file of a plate, got {error}: export it again") from error
    known = {row[0]: row[1] for row in rows if len(row) > 1}
    names = {found[1].lstrip("0"): value for key, value in known.items()
             if (found := re.fullmatch(r"WaveName(\d+)", key)) and value}  # fmt: skip
    sides = {found[1] or found[2]: value for key, value in known.items()
             if (found := re.fullmatch(r"([XY]?)PixelSize([XY]?)(?:UM)?", key))}  # fmt: skip
    both = sides.get("", "")
    pair = (sides.get("Y", both), sides.get("X", both))
    size, notes = _believed([(pair, "um")] if all(pair) else [], path)
    return PlateIndex(names, size, notes=notes)


_Reader = tuple[re.Pattern[str], "Callable[[Path], PlateIndex]"]
_READERS: dict[str, tuple[_Reader, ...]] = {
    "operetta": ((re.compile(r"^Index(\.idx)?\.xml$", re.IGNORECASE), _read_harmony),),
    "cellvoyager": (
        (re.compile(r"^MeasurementData\.mlf$", re.IGNORECASE), _read_measurement_data),
        (re.compile(r"^MeasurementDetail\.mrf$", re.IGNORECASE), _read_measurement_detail),
        (re.compile(r"\.mes$", re.IGNORECASE), _read_measurement_setting),
    ),
    "incell": ((re.compile(r"\.xdce$", re.IGNORECASE), _read_xdce),),
    "imagexpress": ((re.compile(r"\.htd$", re.IGNORECASE), _read_htd),),
}


def _believed(
    sizes: Sequence[tuple[tuple[str, str], str | tuple[str, str]]], path: Path
) -> tuple[Size | None, tuple[str, ...]]:
    """Believe the pixel sizes of a file, if it has one for all images."""
    found, notes = [], []
    for size, unit in sizes:
        believed, note = believable_pixel_size(size, unit)
        found += [believed] if believed else []
        notes += [f"{path.name}: {note}"] if note else []
    one, doubts = _one_size(found)
    return one, (*dict.fromkeys(notes), *doubts)


def _one_size(sizes: Sequence[Size]) -> tuple[Size | None, tuple[str, ...]]:
    different = list(dict.fromkeys(tuple(float(f"{side:.6g}") for side in size) for size in sizes))
    if len(different) > 1:
        said = ", ".join(f"{y:g} x {x:g} um" for y, x in different)
        return None, (f"images of several pixel sizes ({said}): none is kept, `--pixel-size` sets one",)
    return (sizes[0] if sizes else None), ()
