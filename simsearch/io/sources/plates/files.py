"""Plates as microscopes leave them: many files, whose names or a table tell well, field, channel and plane."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.checks.names import natural_key
from simsearch.errors import ConfigError, SimSearchError, SourceError
from simsearch.io.ome_zarr.image import Selection, check_selection
from simsearch.io.sources.protocol import AnySpec, SourceSpec, StackSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.io.ome_zarr.plates.wells import Well


@dataclass(frozen=True, slots=True)
class PlaneFile:
    """A file of a plate and its place there."""

    path: str
    well: Well
    field: str = ""
    channel: str = ""
    """Empty if a file has all channels."""
    z: str = ""
    t: str = ""
    frame: int | None = None
    """Which plane of the file, in the order in which it has them, where a table tells."""
    series: str | None = None
    """Which image of the file, where a table tells."""
    plate: str = ""
    """Empty if there is only one."""


@dataclass(frozen=True, slots=True)
class PlateListing:
    """The files of a plate, or of several, and what is said of them beside."""

    files: list[PlaneFile]
    channels: tuple[str, ...] = ()
    """How the files call them, in order; empty for the order of their numbers or names."""
    channel_names: dict[str, str] = dataclasses.field(default_factory=dict)
    """How they are to be called, by how the files call them."""
    pixel_size_um: tuple[float, float] | None = None
    """Height and width in micrometres, where a file beside the images says."""
    notes: tuple[str, ...] = ()
    """What a user should know: what was left out or guessed."""


@dataclass(frozen=True, slots=True)
class PlateField:
    """A field that is to become an image."""

    well: Well
    index: int
    """Counts the fields of the plate: the same field has the same index in all wells."""
    spec: AnySpec

    @property
    def path(self) -> str:
        """Path of the image in the plate."""
        return f"{self.well.path}/{self.index}"


@dataclass(frozen=True, slots=True)
class ChannelOrder:
    """The channels of a plate: how its files call them, and how they are to be called."""

    ids: tuple[str, ...]
    names: tuple[str, ...]


def order_channels(
    files: Sequence[PlaneFile], known: dict[str, str], wanted: Sequence[str], ids: Sequence[str] = ()
) -> ChannelOrder:
    """Put the channels of a plate in order and name them.

    Parameters
    ----------
    files : sequence of PlaneFile
        All files of the plate.
    known : dict of str to str
        Names that go with a preset.
    wanted : sequence of str
        Names that the user gave, in order; may be empty.
    ids : sequence of str
        Order of the channels; by default that of their numbers or names.

    Raises
    ------
    ConfigError
        If the user gave more or fewer names than there are channels.
    """
    ids = tuple(ids) or tuple(sorted({file.channel for file in files}, key=natural_key))
    if wanted and ids != ("",):
        if len(wanted) != len(ids):
            raise ConfigError(
                f"expected names for {len(ids)} channels ({', '.join(ids)}), got {', '.join(wanted)}: name each one"
            )
        return ChannelOrder(ids, tuple(wanted))
    names = (known.get(each) or (f"Channel {each}" if each.isdecimal() else each or "Intensity") for each in ids)
    return ChannelOrder(ids, tuple(names))


def arrange_fields(
    files: Sequence[PlaneFile], order: ChannelOrder, z: Selection, t: Selection
) -> tuple[list[PlateField], list[tuple[str, SimSearchError]]]:
    """Arrange the files of a plate into fields.

    Returns
    -------
    (list of PlateField, list of (str, SimSearchError))
        In the order of wells; and the fields that lack a channel, with what is wrong.

    Raises
    ------
    SourceError
        If two files have the same place.
    ConfigError
        If there are several planes or time points, and none was chosen.
    """
    _check_places(files)
    indices = {field: i for i, field in enumerate(sorted({file.field for file in files}, key=natural_key))}
    grouped: dict[tuple[Well, str], list[PlaneFile]] = defaultdict(list)
    for file in files:
        grouped[file.well, file.field].append(file)
    fields: list[PlateField] = []
    failures: list[tuple[str, SimSearchError]] = []
    for well, field in sorted(grouped, key=lambda place: (place[0], indices[place[1]])):
        name = f"{well.name} field {field}" if field else well.name
        try:
            spec = _field_spec(name, grouped[well, field], order, z, t)
        except SourceError as error:
            failures.append((name, error))
        else:
            fields.append(PlateField(well, indices[field], spec))
    return fields, failures


def _check_places(files: Sequence[PlaneFile]) -> None:
    seen: dict[tuple[Well, str, str, str, str], str] = {}
    for file in files:
        place = (file.well, file.field, file.channel, file.z, file.t)
        if place in seen:
            raise SourceError(
                f"{file.well.name}: expected one file for a well, field, channel, z and t, got {seen[place]} and "
                f"{file.path}: leave one out, or tell them apart in the pattern"
            )
        seen[place] = file.path


def _field_spec(name: str, files: list[PlaneFile], order: ChannelOrder, z: Selection, t: Selection) -> AnySpec:
    missing = [each for each in order.ids if each not in {file.channel for file in files}]
    if missing:
        raise SourceError(
            f"{name}: expected channels {', '.join(order.ids)}, got none of {', '.join(missing)}: add the files, or "
            "leave the field out with --skip-errors"
        )
    channels = tuple(
        tuple(_chosen([file for file in files if file.channel == channel], name, z, t)) for channel in order.ids
    )
    if order.ids == ("",) and len(channels[0]) == 1:
        return channels[0][0]
    return StackSpec(name, channels, order.names)


def _chosen(files: list[PlaneFile], name: str, z: Selection, t: Selection) -> list[SourceSpec]:
    planes = _picked("z", z, sorted({file.z for file in files}, key=natural_key), name)
    times = _picked("t", t, sorted({file.t for file in files}, key=natural_key), name)
    # What file names do not tell apart may still be inside of the files.
    return [_spec(file, z, t) for file in files if file.z in planes and file.t in times]


def _spec(file: PlaneFile, z: Selection, t: Selection) -> SourceSpec:
    if file.frame is not None:  # of formats whose readers do not count planes, it is one of z
        return SourceSpec(file.path, z=file.frame, series=file.series, plane=file.frame)
    return SourceSpec(file.path, z=None if file.z else z, t=None if file.t else t, series=file.series)


def _picked(axis: str, selection: Selection, values: list[str], name: str) -> list[str]:
    if values == [""]:
        return values
    chosen = check_selection("z" if axis == "z" else "t", selection, len(values), name)
    return [values[chosen]] if isinstance(chosen, int) else values
