"""What helps to choose channels: how they correlate, and how their intensities are spread (paper section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.checks.json_text import parse_json
from simsearch.core.tiles import Region
from simsearch.errors import AnnotationError
from simsearch.io.ome_zarr.scaled import ScaledImage, downsampling_to, read_scaled, scaled
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.submit import run_tasks
from simsearch.workflows.curate.sight import study_measurement
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.core.intensity import Range
    from simsearch.curation.state import Curation
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study

_N_BINS = 128
_SIDE = 1024  # pixels of the longer side of an overview that is counted
_BELOW, _ABOVE = 0.25, 0.75  # of a range's width: how far beyond it a histogram reaches


@dataclass(frozen=True, slots=True, eq=False)
class ChannelReport:
    """The channels of a study's images."""

    channel_names: tuple[str, ...]
    """All of them."""
    correlation: NDArray[np.float64]
    """(C, C) mean over all images; NaN where a channel is constant."""
    ranges: tuple[Range, ...]
    """For each channel the intensities that become 0 and 1, measured over all images."""
    edges: NDArray[np.float64]
    """(C, bins + 1) edges of the bins."""
    histograms: NDArray[np.int64]
    """(C, bins) pixels of overviews of the displayed images; what lies beyond the edges is in the outermost bins."""


@dataclass(frozen=True, slots=True)
class _Overview:
    image: ScaledImage
    edges: tuple[tuple[float, ...], ...]

    def __str__(self) -> str:
        return self.image.meta.name


def report_channels(client: Client, study: Study, curation: Curation, *, observe: Observer = ignore) -> ChannelReport:
    """Measure the channels of a study, or take what was measured before.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    curation : Curation
        Which images are displayed.
    observe : callable
        Gets the events.

    Raises
    ------
    AnnotationError
        If the study's measurement is damaged.
    SourceError, StoreError
        If an image cannot be read, or the folder cannot be written.
    """
    ranges, correlation = _read(study_measurement(client, study, curation, observe=observe), study)
    edges = np.stack([_edges(low, high) for low, high in ranges])
    images = ImageSet(study_images(study, curation.displayed))
    tasks = [_Overview(_overview(image), tuple(map(tuple, edges.tolist()))) for image in images]
    total = np.zeros((len(ranges), _N_BINS), np.int64)
    outcomes = run_tasks(client, _count, tasks, step="histograms", observe=observe)
    for _, counts in images.results(outcomes, str):
        total += counts
    return ChannelReport(study.channel_names, correlation, ranges, edges, total)


def _read(path: Path, study: Study) -> tuple[tuple[Range, ...], NDArray[np.float64]]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        known = {each["name"]: (float(each["low"]), float(each["high"])) for each in content["channels"]}
        order = [list(known).index(name) for name in study.channel_names]
        matrix = np.array([[np.nan if r is None else r for r in row] for row in content["correlation"]], np.float64)
        return tuple(known[name] for name in study.channel_names), matrix[np.ix_(order, order)]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise AnnotationError(
            f"{path}: expected a measurement of {', '.join(study.channel_names)}, got {type(error).__name__}: {error}: "
            "delete the file, it is measured anew"
        ) from error


def _edges(low: float, high: float) -> NDArray[np.float64]:
    width = max(high - low, 1e-6 * max(abs(low), 1.0))
    return np.linspace(low - _BELOW * width, high + _ABOVE * width, _N_BINS + 1)


def _overview(image: ImageMeta) -> ScaledImage:
    return scaled(image, downsampling_to(max(image.shape), _SIDE))


def _count(task: _Overview) -> NDArray[np.int64]:
    height, width = task.image.shape
    pixels = read_scaled(task.image, Region(0, height, 0, width))
    return np.stack(
        [
            np.histogram(np.clip(channel, edges[0], edges[-1]), np.array(edges))[0].astype(np.int64)
            for channel, edges in zip(pixels, task.edges, strict=True)
        ]
    )
