"""Which images to display: a few that show what all images have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.coverage import choose_covering
from simsearch.core.intensity import check_ranges
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.scaled import downsampling_to, scaled
from simsearch.nn.extractor import make_extractor
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.search import SampleTask, sample_vectors
from simsearch.runtime.views import View
from simsearch.runtime.worker import lent
from simsearch.workflows.find.measure import measure
from simsearch.workflows.find.query import image_name
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.image_set import ImageSet, channel_indices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.runtime import Client

_SIDE = 1024  # pixels of the largest image as it is seen here: an overview, whatever the size of slides
_PATCH = (48, 48)
_SAMPLES = 100  # places in an image, in a square grid
_REFERENCES = 4096  # places of all images that the chosen ones are to cover


@dataclass(frozen=True, slots=True)
class DiverseOptions:
    """How to choose images."""

    n: int = 6
    """How many."""
    channels: tuple[str, ...] | None = None
    """Names of the channels to look at; all of them by default."""
    trunk: str = "bundled"
    """bundled, imagenet, a file or its URL."""
    seed: int = 0
    """Of the sample of places that are to be covered."""


def choose_diverse(
    client: Client,
    images: ImageSet,
    options: DiverseOptions,
    groups: Sequence[Sequence[str]] | None = None,
    *,
    observe: Observer = ignore,
) -> tuple[str, ...]:
    """Choose images whose places are, together, most like the places of all images.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    images : ImageSet
        What to choose from. Images that fail are left out of it, or end the run.
    options : DiverseOptions
        How to choose.
    groups : sequence of sequences of str, optional
        Names of images that are chosen from in turn, one of each group; by default all are one group.
    observe : callable
        Gets the events.

    Returns
    -------
    tuple of str
        Names of images, in their order.

    Raises
    ------
    ConfigError
        If fewer than one are asked for, or a channel is constant.
    SourceError, StoreError, TrunkError
        If an image or the trunk cannot be read.
    """
    if options.n < 1:
        raise ConfigError(f"expected at least one image to display, got {options.n}: show some")
    first = next(iter(images))
    channels = channel_indices(first, options.channels)
    downsampling = _downsampling(images)
    ranges = measure(client, images, downsampling=downsampling, observe=observe).ranges
    check_ranges([ranges[c] for c in channels], [first.channel_names[c] for c in channels])
    vectors: dict[str, NDArray[np.float32]] = {}
    with lent(client, read_chosen_trunk(options.trunk)) as trunk:
        tasks = [
            SampleTask(
                View(
                    scaled(image, downsampling),
                    channels,
                    tuple(ranges[c] for c in channels),
                    make_extractor("pooled", _PATCH),
                    trunk,
                ),
                _SAMPLES,
            )
            for image in images
        ]
        outcomes = run_tasks(client, sample_vectors, tasks, step="diversity", observe=observe)
        for task, found in images.results(outcomes, image_name):
            vectors[image_name(task)] = found
    names = [image.name for image in images]
    places = {name: place for place, name in enumerate(names)}
    own = None if groups is None else [[places[name] for name in group if name in places] for group in groups]
    chosen = choose_covering(_closeness([vectors[name] for name in names], options.seed), options.n, own)
    return tuple(names[index] for index in sorted(chosen))


def _downsampling(images: ImageSet) -> int:
    return downsampling_to(max(max(image.shape) for image in images), _SIDE)


def _closeness(vectors: Sequence[NDArray[np.float32]], seed: int) -> NDArray[np.float32]:
    """Return the highest cosine of the vectors of each image with each of a sample of all vectors, centred."""
    everything = np.concatenate(vectors)
    centre = everything.mean(axis=0)
    rows = np.random.default_rng(seed).permutation(len(everything))[:_REFERENCES]
    references = _unit(everything[rows] - centre)
    return np.stack([(_unit(own - centre) @ references.T).max(axis=0) for own in vectors])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
