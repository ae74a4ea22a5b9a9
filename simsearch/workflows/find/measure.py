"""Intensity ranges and channel correlation of a set of images (paper section 2.2), exact and distributed.

A slide that is mostly glass is the exception: what its percentiles tell is glass. Of such an image tissue is sampled,
and glass counts for as much.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from simsearch.core.channels import correlation, mean_correlation
from simsearch.core.checks.formats import FORMAT_KEY, check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.core.intensity import SPREAD_PERCENTILES, Range, check_ranges, set_range
from simsearch.core.percentiles import (
    N_BINS,
    interpolate,
    is_settled_in_one_pass,
    locate,
    ranks,
    values_of,
)
from simsearch.errors import AnnotationError, ConfigError, SourceError
from simsearch.io.ome_zarr.scaled import downsampling_to, scaled
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.submit import run_tasks
from simsearch.workflows.find.counting import count_intensities, count_tasks, merged_counts
from simsearch.workflows.find.tissue import SLIDE, find_tissues, is_slide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.runtime import Client
    from simsearch.workflows.find.counting import CountTask, Piece, Sparse
    from simsearch.workflows.image_set import ImageSet

_MOST_READ = 8192**2  # pixels of a level, to find tissue: without a pyramid, an overview needs all there is
_FORMAT = 1  # of the JSON


@dataclass(frozen=True, slots=True)
class Measurement:
    """Intensity ranges and channel correlation of a set of images."""

    images: tuple[str, ...]
    """Names of the images."""
    channel_names: tuple[str, ...]
    """Names of the channels."""
    percentiles: NDArray[np.float64]
    """(images, C, 2) 5th and 95th percentile of each channel of each image, glass beyond as much as tissue left out."""
    ranges: tuple[Range, ...]
    """For each channel, the intensities that become 0 and 1."""
    correlation: NDArray[np.float64]
    """(C, C) mean over the images of the correlation between channels; NaN where a channel is constant."""
    downsampling: int
    """Level-0 pixels per pixel that was measured."""
    failures: tuple[tuple[str, str], ...] = ()
    """Names of images that were left out, and why."""

    def table(self) -> pd.DataFrame:
        """Tell the range of each channel, a row each: channel, low, high."""
        rows = [(name, *limits) for name, limits in zip(self.channel_names, self.ranges, strict=True)]
        return pd.DataFrame(rows, columns=["channel", "low", "high"])


@dataclass(frozen=True, slots=True)
class _Located:
    """A percentile between two neighbouring ranks, each in a bin."""

    rank: float
    below: tuple[int, int]  # bin, rank in the bin
    above: tuple[int, int]


def measure(client: Client, images: ImageSet, *, downsampling: int = 1, observe: Observer = ignore) -> Measurement:
    """Measure a set of images that were recorded with the same settings.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    images : ImageSet
        What to measure. Images that fail are left out of it, or end the run.
    downsampling : int
        Level-0 pixels per pixel to measure, a power of two. The paper measures level 0.
    observe : callable
        Gets the events.

    Returns
    -------
    Measurement
        Equal to what the pixels of each image give when they are all in one array, but for stained slides of more than
        2048 px along a side of which less than half is tissue: there it is what a sample of the tissue (128 tiles of
        512 px), and as much glass of an overview, give; the correlation is that of the tissue.

    Raises
    ------
    SourceError
        If an image has infinite values, or a channel with nothing but NaN, or no image is left.
    StoreError
        If an image cannot be read.
    """
    first = next(iter(images))
    is_settled = is_settled_in_one_pass(first.dtype)
    views = {image.name: scaled(image, downsampling) for image in images}
    tissues = find_tissues(client, images, downsampling, observe, among=_may_be_glass)
    tiles = [task for name, view in views.items() for task in count_tasks(view, tissues.get(name)) if name in images]
    correlations: dict[str, NDArray[np.float64]] = {}
    located: dict[str, list[list[_Located]]] = {}
    percentiles: dict[str, NDArray[np.float64]] = {}
    for name, pieces in _whole_images(client, tiles, "measure", images, observe):
        if not all(_has_values(channel) for channel in zip(*(piece.counts for piece in pieces), strict=True)):
            images.leave_out(name, SourceError(f"{name}: expected intensities in each channel, got only NaN in one"))
            continue
        known = [piece.moments for piece in pieces if piece.moments and not piece.is_glass]
        correlations[name] = correlation(known) if known else np.full((first.n_channels,) * 2, np.nan)
        located[name] = [_locate(counts) for counts in merged_counts(pieces)]
        if is_settled:
            percentiles[name] = _percentiles(located[name], None, first.dtype)
    if not is_settled:
        uppers = {name: tuple(map(_bins, channels)) for name, channels in located.items()}
        tiles = [replace(tile, uppers=uppers[tile.image.meta.name]) for tile in tiles if tile.image.meta.name in images]
        for name, pieces in _whole_images(client, tiles, "measure (2)", images, observe):
            percentiles[name] = _percentiles(located[name], merged_counts(pieces), first.dtype)
    done = [image.name for image in images]
    table = np.stack([percentiles[name] for name in done])
    return Measurement(
        images=tuple(done),
        channel_names=first.channel_names,
        percentiles=table[:, :, 1:4:2],
        ranges=tuple(set_range(table[:, c]) for c in range(first.n_channels)),
        correlation=mean_correlation([correlations[name] for name in done]),
        downsampling=downsampling,
        failures=images.failures,
    )


def write_measurement(measurement: Measurement, path: Path) -> None:
    """Write a measurement as JSON."""
    nullable = [[None if np.isnan(r) else round(float(r), 6) for r in row] for row in measurement.correlation]
    names = measurement.channel_names
    content = {
        FORMAT_KEY: _FORMAT,
        "downsampling": measurement.downsampling,
        "channels": [
            {"name": name, "low": low, "high": high}
            for name, (low, high) in zip(names, measurement.ranges, strict=True)
        ],
        "correlation": nullable,
        "images": [
            {"name": image, "percentiles": {name: list(pair) for name, pair in zip(names, pairs.tolist(), strict=True)}}
            for image, pairs in zip(measurement.images, measurement.percentiles, strict=True)
        ],
        "failures": [{"name": name, "message": message} for name, message in measurement.failures],
    }
    with replacing_text(path) as file:
        json.dump(content, file, indent=1, allow_nan=False)


def _may_be_glass(image: ImageMeta) -> bool:
    """Tell whether an image may be a stained slide that is mostly glass, and has an overview."""
    overview = scaled(image, downsampling_to(max(image.shape), SLIDE))
    return is_slide(image) and math.prod(image.levels[overview.level].shape) <= _MOST_READ


def read_ranges(path: Path, channels: Sequence[str]) -> tuple[Range, ...]:
    """Read the intensity ranges of channels from what `write_measurement` wrote.

    Raises
    ------
    AnnotationError
        If the file is something else, or of a newer simsearch.
    ConfigError
        If a channel is not in it, or constant.
    """
    try:
        content = parse_json(path.read_text())
        check_format(content, _FORMAT, str(path), AnnotationError)
        known = {str(each["name"]): (float(each["low"]), float(each["high"])) for each in content["channels"]}
    except AnnotationError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise AnnotationError(
            f"{path}: expected JSON written by `simsearch measure`, got {type(error).__name__}: {error}: measure again"
        ) from error
    missing = [name for name in channels if name not in known]
    if missing:
        raise ConfigError(f"{path}: expected a range for channel {missing[0]}, got {', '.join(known)}: measure again")
    ranges = tuple(known[name] for name in channels)
    check_ranges(ranges, channels)
    return ranges


def _whole_images(
    client: Client, tiles: Sequence[CountTask], step: str, images: ImageSet, observe: Observer
) -> Iterator[tuple[str, list[Piece]]]:
    """Yield the pieces of each image as soon as all have come, in the order of its tiles."""
    n_tiles = Counter(tile.image.meta.name for tile in tiles)
    opened: dict[str, dict[tuple[bool, Region], Piece]] = defaultdict(dict)
    outcomes = run_tasks(client, count_intensities, tiles, step=step, observe=observe)
    for tile, piece in images.results(outcomes, lambda tile: tile.image.meta.name):
        name = tile.image.meta.name
        opened[name][tile.is_glass, tile.region] = piece
        if len(opened[name]) == n_tiles[name]:
            pieces = opened.pop(name)
            yield name, [pieces[place] for place in sorted(pieces)]


def _has_values(channel: Sequence[Sparse]) -> bool:
    return any(bins.size for bins, _ in channel)


def _locate(counts: NDArray[np.int64]) -> list[_Located]:
    n_values = int(counts.sum())
    return [
        _Located(rank, locate(counts, int(rank)), locate(counts, min(int(rank) + 1, n_values - 1)))
        for rank in ranks(SPREAD_PERCENTILES, n_values).tolist()
    ]


def _bins(channel: Sequence[_Located]) -> tuple[int, ...]:
    return tuple(sorted({bin_index for place in channel for bin_index, _ in (place.below, place.above)}))


def _percentiles(
    located: Sequence[Sequence[_Located]], lower_counts: Sequence[NDArray[np.int64]] | None, dtype: str
) -> NDArray[np.float64]:
    """Return (C, 5) percentiles; the second pass's counts of lower halves tell 32-bit values apart."""
    table = []
    for c, channel in enumerate(located):
        lower = dict.fromkeys(_bins(channel)) if lower_counts is None else _by_bin(_bins(channel), lower_counts[c])
        table.append(
            [interpolate(_value(p.below, lower, dtype), _value(p.above, lower, dtype), p.rank) for p in channel]
        )
    return np.array(table)


def _by_bin(bins: Sequence[int], counts: NDArray[np.int64]) -> dict[int, NDArray[np.int64] | None]:
    padded = np.pad(counts, (0, len(bins) * N_BINS - len(counts)))
    return dict(zip(bins, padded.reshape(len(bins), N_BINS), strict=True))


def _value(place: tuple[int, int], lower: Mapping[int, NDArray[np.int64] | None], dtype: str) -> float:
    upper, rank = place
    counts = lower[upper]
    low = 0 if counts is None else locate(counts, rank)[0]
    return float(values_of(np.array([upper << 16 | low], np.uint32), dtype)[0])
