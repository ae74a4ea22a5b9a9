"""What workers do in a conversion. Every task writes whole shards of its own, so it may run twice, and in any order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.pyramid import halved, region_below
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
    from collections.abc import Iterator, Mapping

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
    """Write a region of a level, or (without one) all of an image."""

    name: str
    group: str
    """Path of the image group."""
    spec: AnySpec
    template: ImageTemplate
    level: int = 0
    region: Region | None = None

    @property
    def need(self) -> Need:
        """What a worker needs for it; what a format's own reader takes beside its pixels is not known."""
        height, width = self.template.shape if self.region is None else self.region.shape
        n_bytes = self.template.n_channels * height * width * np.dtype(self.template.dtype).itemsize
        return need_to_code(n_bytes, "" if self.region is None else "--shard")

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


def pixel_tasks(name: str, group: str, spec: AnySpec, template: ImageTemplate, meta: SourceMeta) -> list[PixelTask]:
    """Divide an image into tasks: one, or one for a few shards of each level."""
    task = PixelTask(name, group, spec, template)
    height, width = template.shape
    n_bytes = template.n_channels * height * width * np.dtype(template.dtype).itemsize
    if meta.in_one_piece or n_bytes <= _WHOLE_BYTES:
        return [task]
    regions = _bands(template) if meta.in_strips else template.regions(0)
    tasks = [replace(task, region=region) for region in regions]
    for level in range(1, len(template.level_shapes)):
        tasks += [replace(task, level=level, region=region) for region in template.regions(level)]
    return tasks


def write_pixels(task: PixelTask) -> None:
    """Write the pixels of a task, from the source at level 0 and from the level below elsewhere."""
    if task.region is None:
        _write_whole(task)
    elif task.level == 0:
        with open_source(task.spec) as source:
            write_region(task.group, 0, task.region, source.read(task.region))
    else:
        write_region(task.group, task.level, task.region, _from_below(task, task.region))


def measure_ranges(task: FinishTask) -> tuple[tuple[float, float], ...]:
    """Find the lowest and highest value of each channel."""
    return value_ranges(task.group, task.template)


def finish(task: FinishTask) -> None:
    """Write the metadata of an image."""
    finish_image(task.group, task.template, task.provenance)


def _write_whole(task: PixelTask) -> None:
    with open_source(task.spec) as source:
        height, width = task.template.shape
        pixels = source.read(Region(0, height, 0, width))
    create_image(task.group, task.template)
    for level in range(len(task.template.level_shapes)):
        pixels = pixels if level == 0 else halved(pixels)
        height, width = pixels.shape[-2:]
        write_region(task.group, level, Region(0, height, 0, width), pixels)


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


def _bands(template: ImageTemplate) -> Iterator[Region]:
    height, width = template.shape
    row_bytes = template.n_channels * np.dtype(template.dtype).itemsize * template.shard
    n_shards = max(1, _BAND_BYTES // (row_bytes * template.shard))
    step = n_shards * template.shard
    for y in range(0, height, template.shard):
        for x in range(0, width, step):
            yield Region(y, min(y + template.shard, height), x, min(x + step, width))
