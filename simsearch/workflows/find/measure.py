"""Intensity ranges and channel correlation of a set of images (paper section 2.2), exact and distributed."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from simsearch.core.channels import Moments, correlation, mean_correlation, moments
from simsearch.core.checks.formats import FORMAT_KEY, check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.core.intensity import IMAGE_PERCENTILES, Range, check_ranges, pool_range
from simsearch.core.percentiles import (
    N_BINS,
    count_lower,
    count_upper,
    interpolate,
    is_settled_in_one_pass,
    locate,
    ranks,
    sort_keys,
    values_of,
)
from simsearch.core.tiles import Region, tile_cores
from simsearch.errors import AnnotationError, ConfigError, SourceError
from simsearch.io.ome_zarr.scaled import ScaledImage, read_scaled, scaled
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.needs import need_to_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.runtime import Client
    from simsearch.runtime.tasks.needs import Need
    from simsearch.workflows.image_set import ImageSet

    _Sparse = tuple[NDArray[np.int64], NDArray[np.int64]]  # bins and their counts

_TILE = 2048
_FORMAT = 1  # of the JSON


@dataclass(frozen=True, slots=True)
class Measurement:
    """Intensity ranges and channel correlation of a set of images."""

    images: tuple[str, ...]
    """Names of the images."""
    channel_names: tuple[str, ...]
    """Names of the channels."""
    percentiles: NDArray[np.float64]
    """(images, C, 2) 5th and 95th percentile of each channel of each image."""
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
class _Tile:
    image: ScaledImage
    region: Region
    uppers: tuple[tuple[int, ...], ...] = ()  # for each channel, bins to look into; none in the first pass

    @property
    def need(self) -> Need:
        """What a worker needs for it."""
        height, width = self.region.shape
        return need_to_count(self.image.meta.n_channels * height * width)

    def __str__(self) -> str:
        return f"{self.image.meta.name} y {self.region.y0}:{self.region.y1} x {self.region.x0}:{self.region.x1}"


@dataclass(frozen=True, slots=True)
class _Piece:
    counts: tuple[_Sparse, ...]  # for each channel
    moments: Moments | None  # only of the first pass


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
        Equal to what the pixels of each image give when they are all in one array.

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
    tiles = [_Tile(view, core) for view in views.values() for core in tile_cores(view.shape, _TILE)]
    correlations: dict[str, NDArray[np.float64]] = {}
    located: dict[str, list[list[_Located]]] = {}
    percentiles: dict[str, NDArray[np.float64]] = {}
    for name, pieces in _whole_images(client, tiles, "measure", images, observe):
        if not all(_has_values(channel) for channel in zip(*(piece.counts for piece in pieces), strict=True)):
            images.leave_out(name, SourceError(f"{name}: expected intensities in each channel, got only NaN in one"))
            continue
        known = [piece.moments for piece in pieces if piece.moments]
        correlations[name] = correlation(known) if known else np.full((first.n_channels,) * 2, np.nan)
        located[name] = [_locate(counts) for counts in _merged_counts(pieces)]
        if is_settled:
            percentiles[name] = _percentiles(located[name], None, first.dtype)
    if not is_settled:
        uppers = {name: tuple(map(_bins, channels)) for name, channels in located.items()}
        tiles = [replace(tile, uppers=uppers[tile.image.meta.name]) for tile in tiles if tile.image.meta.name in images]
        for name, pieces in _whole_images(client, tiles, "measure (2)", images, observe):
            percentiles[name] = _percentiles(located[name], _merged_counts(pieces), first.dtype)
    done = [image.name for image in images]
    table = np.stack([percentiles[name] for name in done])
    return Measurement(
        images=tuple(done),
        channel_names=first.channel_names,
        percentiles=table,
        ranges=tuple(pool_range(table[:, c]) for c in range(first.n_channels)),
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
    client: Client, tiles: Sequence[_Tile], step: str, images: ImageSet, observe: Observer
) -> Iterator[tuple[str, list[_Piece]]]:
    """Yield the pieces of each image as soon as all have come, in the order of its tiles."""
    n_tiles = Counter(tile.image.meta.name for tile in tiles)
    opened: dict[str, dict[Region, _Piece]] = defaultdict(dict)
    outcomes = run_tasks(client, _count_tile, tiles, step=step, observe=observe)
    for tile, piece in images.results(outcomes, lambda tile: tile.image.meta.name):
        name = tile.image.meta.name
        opened[name][tile.region] = piece
        if len(opened[name]) == n_tiles[name]:
            pieces = opened.pop(name)
            yield name, [pieces[region] for region in sorted(pieces)]


def _count_tile(tile: _Tile) -> _Piece:
    pixels = read_scaled(tile.image, tile.region)
    try:
        keys = [sort_keys(channel) for channel in pixels]
    except SourceError as error:
        raise SourceError(f"{tile}: {error}") from error
    if not tile.uppers:
        return _Piece(tuple(_sparse(count_upper(k)) for k in keys), moments(pixels))
    lower = [np.concatenate([count_lower(k, u) for u in uppers]) for k, uppers in zip(keys, tile.uppers, strict=True)]
    return _Piece(tuple(_sparse(counts) for counts in lower), None)


def _has_values(channel: Sequence[_Sparse]) -> bool:
    return any(bins.size for bins, _ in channel)


def _sparse(counts: NDArray[np.int64]) -> _Sparse:
    bins = np.flatnonzero(counts)
    return bins, counts[bins]


def _merged_counts(pieces: Sequence[_Piece]) -> list[NDArray[np.int64]]:
    """Add up the counts of an image's pieces, for each channel."""
    merged = []
    for channel in zip(*(piece.counts for piece in pieces), strict=True):
        size = 1 + max(int(bins[-1]) for bins, _ in channel if bins.size)  # a tile may have no value near a percentile
        total = np.zeros(-(-size // N_BINS) * N_BINS, np.int64)
        for bins, counts in channel:
            total[bins] += counts
        merged.append(total)
    return merged


def _locate(counts: NDArray[np.int64]) -> list[_Located]:
    n_values = int(counts.sum())
    return [
        _Located(rank, locate(counts, int(rank)), locate(counts, min(int(rank) + 1, n_values - 1)))
        for rank in ranks(IMAGE_PERCENTILES, n_values).tolist()
    ]


def _bins(channel: Sequence[_Located]) -> tuple[int, ...]:
    return tuple(sorted({bin_index for place in channel for bin_index, _ in (place.below, place.above)}))


def _percentiles(
    located: Sequence[Sequence[_Located]], lower_counts: Sequence[NDArray[np.int64]] | None, dtype: str
) -> NDArray[np.float64]:
    """Return (C, 2) percentiles; the second pass's counts of lower halves tell 32-bit values apart."""
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
