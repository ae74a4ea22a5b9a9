"""What slides and plates cost on clusters of other sizes than the one measured."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """Tiles to compute."""

    n_tiles: int
    """Those that are computed: with tissue."""
    tile_megapixels: float
    """Mean size of their cores."""

    @property
    def megapixels(self) -> float:
        """Size of all of them."""
        return self.n_tiles * self.tile_megapixels


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured."""

    seconds_per_megapixel: float
    """Of a worker, reading and margins of tiles included."""
    overhead_s: float
    """Of the client and the scheduler for each tile: one after another, however many workers there are."""
    fixed_s: float = 0.0
    """Before the first tile and after the last: describing images, writing tables."""


def wall_seconds(job: Job, costs: Costs, n_workers: int) -> float:
    """Predict how long a job takes.

    Workers compute beside each other, each tile on one of them; client and scheduler hand tiles out one by one, on a
    core of their own. Whichever is slower sets the pace. Not in the model: storage or a network that many workers
    saturate, workers of unequal speed, and failures.
    """
    rounds = math.ceil(job.n_tiles / n_workers)
    computing = rounds * job.tile_megapixels * costs.seconds_per_megapixel
    return costs.fixed_s + max(computing, job.n_tiles * costs.overhead_s)


def core_hours(job: Job, costs: Costs, n_workers: int) -> float:
    """Predict the cores that are held, one a worker and one for client and scheduler, times how long."""
    return (n_workers + 1) * wall_seconds(job, costs, n_workers) / 3600


def useful_workers(job: Job, costs: Costs) -> float:
    """Tell how many workers the scheduler can keep busy: more of them make nothing faster."""
    return job.tile_megapixels * costs.seconds_per_megapixel / costs.overhead_s
