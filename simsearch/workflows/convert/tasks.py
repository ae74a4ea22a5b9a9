"""What workers do in a conversion. Every task writes whole shards of its own, so it may run twice, and in any order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.pyramid import halved, region_above, region_below
from simsearch.io.ome_zarr.writing import (
    ImageTemplate,
    create_image,
    finish_image,
    read_level,
    value_ranges,
    write_region,
)
from simsearch.io.sources.formats import open_source, suffix_note
from simsearch.io.sources.protocol import AnySpec, SourceMeta, SourceSpec
from simsearch.runtime.tasks.needs import need_to_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from simsearch.runtime.tasks.needs import Need

_WHOLE_BYTES = 32 * 2**20  # images up to this size are one task
_BAND_BYTES = 128 * 2**20  # of a strip-wise source, that many bytes of neighbouring shards are read at once


@dataclass(frozen=True, slots=True)
class CheckTask:
    """Read what is known of a source."""

    name: str
    spec: AnySpec

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class PixelTask:
    """Write a region of a level and what lies above it, or (without one) all of an image."""

    name: str
    group: str
    """Path of the image group."""
    spec: AnySpec
    template: ImageTemplate
    level: int = 0
    region: Region | None = None
    n_levels: int = 1
    """How many levels are written, each halved from the one before while that is in memory."""
    in_bands: bool = False
    """Whether as many shards beside each other as the region is wide are read at once, or one at a time."""

    @property
    def pieces(self) -> list[Region]:
        """What of the region is held at a time, one after the other."""
        region = self.region or self._whole
        return _cut(region, self.template.shard, region.shape[1] if self.in_bands else self.template.shard)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the shards that are written: the same, however an image is divided into tasks."""
        if self.region is None:
            return (self.name,)
        written, region, side = [], self.region, self.template.shard
        for level in range(self.level, self.level + self.n_levels):
            written += [f"{self.name} {level} {shard.y0} {shard.x0}" for shard in _cut(region, side, side)]
            region = region_above(region)
        return tuple(written)

    @property
    def need(self) -> Need:
        """What a worker needs for it; what a format's own reader takes beside its pixels is not known."""
        if self.region is None:
            return need_to_code(self._n_bytes(self._whole))
        kept = self._n_bytes(region_above(self.region)) if self.n_levels > 1 else 0
        return need_to_code(max(map(self._n_bytes, self.pieces)), kept, "--shard")

    @property
    def _whole(self) -> Region:
        height, width = self.template.level_shapes[self.level]
        return Region(0, height, 0, width)

    def _n_bytes(self, region: Region) -> int:
        height, width = region.shape
        return self.template.n_channels * height * width * np.dtype(self.template.dtype).itemsize

    def __str__(self) -> str:
        if self.region is None:
            return self.name
        return f"{self.name} level {self.level} y {self.region.y0} x {self.region.x0}"


@dataclass(frozen=True, slots=True)
class FinishTask:
    """Write the metadata of an image."""

    name: str
    group: str
    template: ImageTemplate
    provenance: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name


def check_source(task: CheckTask) -> SourceMeta:
    """Open a source and close it again."""
    with open_source(task.spec) as source:
        meta = source.meta
    notes = suffix_note(task.spec.path) if isinstance(task.spec, SourceSpec) else ()
    return replace(meta, notes=notes + meta.notes)


def pixel_tasks(
    name: str, group: str, spec: AnySpec, template: ImageTemplate, meta: SourceMeta, *, in_squares: bool = False
) -> list[PixelTask]:
    """Divide an image into tasks.

    Parameters
    ----------
    name, group, spec, template
        As of the tasks.
    meta : SourceMeta
        Of the source.
    in_squares : bool
        Whether a task writes 2 x 2 shards, and the one above them with no need to read them again: less is done in all,
        by fewer workers at a time.

    Returns
    -------
    list of PixelTask
        One if the image is small; else those of a level need what those of lower levels write.
    """
    task = PixelTask(name, group, spec, template)
    height, width = template.shape
    n_bytes = template.n_channels * height * width * np.dtype(template.dtype).itemsize
    if meta.in_one_piece or n_bytes <= _WHOLE_BYTES:
        return [task]
    side = 2 if in_squares and template.shard % 2 == 0 else 1  # in shards
    tasks, level, n_all = [], 0, len(template.level_shapes)
    while level < n_all:
        in_bands = meta.in_strips and not level
        regions = _regions(template, level, side, in_bands=in_bands)
        n_levels = min(side if len(regions) > 1 else n_all, n_all - level)
        each = replace(task, level=level, n_levels=n_levels, in_bands=in_bands)
        tasks += [replace(each, region=region) for region in regions]
        level += n_levels
    return tasks


def n_squares(template: ImageTemplate) -> float:
    """Tell how many squares of 2 x 2 shards there are in an image."""
    height, width = template.shape
    return height * width / (2 * template.shard) ** 2


def write_pixels(task: PixelTask) -> None:
    """Write the pixels of a task, from the source at level 0 and from the level below elsewhere."""
    if task.region is None:
        _write_whole(task)
    elif task.level == 0:
        with open_source(task.spec) as source:
            _write_levels(task, task.region, source.read)
    else:
        _write_levels(task, task.region, partial(_from_below, task))


def measure_ranges(task: FinishTask) -> tuple[tuple[float, float], ...]:
    """Find the lowest and highest value of each channel."""
    return value_ranges(task.group, task.template)


def finish(task: FinishTask) -> None:
    """Write the metadata of an image."""
    finish_image(task.group, task.template, task.provenance)


def _write_whole(task: PixelTask) -> None:
    height, width = task.template.shape
    whole = Region(0, height, 0, width)
    with open_source(task.spec) as source:
        pixels = source.read(whole)
    create_image(task.group, task.template)
    _write_up(task.group, range(len(task.template.level_shapes)), whole, pixels)


def _write_levels(task: PixelTask, region: Region, read: Callable[[Region], NDArray[np.generic]]) -> None:
    """Write a region piece by piece, and keep halves of the pieces for what lies above."""
    above, n_channels = region_above(region), task.template.n_channels
    halves = np.empty((n_channels, *above.shape), task.template.dtype) if task.n_levels > 1 else None
    for piece in task.pieces:
        pixels = read(piece)
        write_region(task.group, task.level, piece, pixels)
        if halves is not None:
            inside = region_above(piece).shifted_by(-above.y0, -above.x0)
            halves[(slice(None), *inside.slices)] = halved(pixels)
        del pixels  # before the next is read
    if halves is not None:
        _write_up(task.group, range(task.level + 1, task.level + task.n_levels), above, halves)


def _write_up(group: str, levels: range, region: Region, pixels: NDArray[np.generic]) -> None:
    """Write pixels to a level, and what they become to those above."""
    for level in levels:
        if level > levels.start:
            region, pixels = region_above(region), halved(pixels)
        write_region(group, level, region, pixels)


def _from_below(task: PixelTask, region: Region) -> NDArray[np.generic]:
    shapes = task.template.level_shapes
    below = region_below(region, shapes[task.level - 1])
    # As few channels as a chunk holds at a time: the level below is four times the memory of this one.
    step, n_channels = task.template.chunks(task.level - 1)[0], task.template.n_channels
    return np.concatenate(
        [
            halved(read_level(task.group, task.level - 1, below, slice(first, first + step)))
            for first in range(0, n_channels, step)
        ]
    )


def _regions(template: ImageTemplate, level: int, side: int, *, in_bands: bool) -> list[Region]:
    """Divide a level into squares of so many shards along a side, or bands as wide as may be read at once."""
    height, width = template.level_shapes[level]
    n_shards = side
    if in_bands:
        shard_bytes = template.n_channels * np.dtype(template.dtype).itemsize * template.shard**2
        n_shards = max(1, _BAND_BYTES // shard_bytes // side) * side
    return _cut(Region(0, height, 0, width), side * template.shard, n_shards * template.shard)


def _cut(region: Region, height: int, width: int) -> list[Region]:
    return [
        Region(y, min(y + height, region.y1), x, min(x + width, region.x1))
        for y in range(region.y0, region.y1, height)
        for x in range(region.x0, region.x1, width)
    ]
