"""Random views of patches, as far as nothing learns: what frozen layers give for them, anew each time or computed once.

What is computed once is kept in bfloat16, whatever it was computed in: the size of memory, and so the number of views,
is that of any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Protocol

import torch

from simsearch.nn.augment import apply_each
from simsearch.nn.device import fast_inference, with_weights_for
from simsearch.nn.trunk import fused

if TYPE_CHECKING:
    from torchvision.transforms import v2

    from simsearch.nn.device import Arithmetic
    from simsearch.nn.trunk import Trunk

Layers = Callable[[torch.Tensor], torch.Tensor]
"""Layers that do not learn; a batch through them."""
Told = Callable[[int, int], None]
"""Gets how many batches of views are computed, and of how many; what it raises cancels."""

_BATCH = 64  # views that are computed at a time: between two looks at whether it was cancelled


class Views(Protocol):
    """What layers give for random views of patches."""

    def draw(self, indices: torch.Tensor, generator: torch.Generator, n: int = 1) -> list[torch.Tensor]:
        """Draw n views of each of the patches at some indices, as n batches."""

    def through(self, layers: Layers) -> Views:
        """Pass all views through more layers."""


@dataclass(frozen=True, slots=True)
class DrawnAnew:
    """Each view is drawn, with torch's own generator, and passed through the layers when it is asked for."""

    crops: torch.Tensor
    """(N, C, S, S)"""
    augment: v2.Transform
    layers: Layers

    def draw(self, indices: torch.Tensor, generator: torch.Generator, n: int = 1) -> list[torch.Tensor]:
        """Draw n views of each of the patches at some indices, as n batches."""
        return [self.layers(apply_each(self.augment, self.crops[indices])) for _ in range(n)]

    def through(self, layers: Layers) -> DrawnAnew:
        """Pass each view through more layers when it is asked for."""
        return replace(self, layers=lambda crops: layers(self.layers(crops)))


@dataclass(frozen=True, slots=True)
class Kept:
    """Some views of each patch, computed before."""

    values: torch.Tensor
    """(V, N, ...) bfloat16"""

    def draw(self, indices: torch.Tensor, generator: torch.Generator, n: int = 1) -> list[torch.Tensor]:
        """Draw n views of each of the patches at some indices, as n batches.

        A patch that is drawn several times has another view each time, as far as there are.
        """
        n_views, n_patches = self.values.shape[:2]
        drawn = indices.repeat(n)
        first = torch.randint(n_views, (n_patches,), generator=generator).to(drawn.device)
        views = (first[drawn] + _times_before(drawn)) % n_views
        return list(self.values[views, drawn].chunk(n))

    def through(self, layers: Layers) -> Kept:
        """Pass all views through more layers."""
        n_views, n_patches = self.values.shape[:2]
        passed = _gathered(map(layers, self.values.flatten(0, 1).split(_BATCH)), n_views * n_patches)
        return Kept(passed.unflatten(0, (n_views, n_patches)))


def compute_views(
    crops: torch.Tensor, augment: v2.Transform, layers: Layers, n_views: int, seed: int, tell: Told
) -> Kept:
    """Draw views of patches and pass them through layers.

    Parameters
    ----------
    crops : (N, C, S, S) tensor
        The patches.
    augment : torchvision transform
        Makes a random view of a crop.
    layers : callable
        What to keep of it.
    n_views : int
        Of each patch.
    seed : int
        Source of all randomness: that of the first views, and so on.
    tell : callable
        Hears how far it is.
    """
    batches, n_done = crops.split(_BATCH), count(1)

    def computed() -> Iterator[torch.Tensor]:
        for view in range(n_views):
            with torch.random.fork_rng():
                torch.manual_seed(seed + view)
                for batch in batches:
                    yield layers(apply_each(augment, batch))
                    tell(next(n_done), n_views * len(batches))

    return Kept(_gathered(computed(), n_views * len(crops)).unflatten(0, (n_views, len(crops))))


def fast_middle(trunk: Trunk, arithmetic: Arithmetic) -> Layers:
    """Return all up to layer2 as it is when a model looks at images, for layers that stay as they are."""
    copied = fused(deepcopy(trunk)).requires_grad_(False)
    with_weights_for(arithmetic, copied)

    def layers(crops: torch.Tensor) -> torch.Tensor:
        with fast_inference(crops.device, arithmetic):
            middle = copied.middle(crops.contiguous(memory_format=torch.channels_last))
        return middle.clone()  # one that is made in there knows no gradients

    return layers


def affordable_views(n_wanted: int, n_patches: int, n_drawn: int, bytes_each: int, budget_bytes: int) -> int:
    """Return how many views of each patch are worth computing before, and fit into memory; 0 if fewer than two.

    Parameters
    ----------
    n_wanted : int
        Views of a patch that training is steady with.
    n_patches : int
        How many patches there are.
    n_drawn : int
        Views that training draws in all: more need not be computed.
    bytes_each : int
        Memory of a view.
    budget_bytes : int
        Memory of all.

    Examples
    --------
    >>> affordable_views(8, n_patches=100, n_drawn=5000, bytes_each=40_000, budget_bytes=2**29)
    8
    >>> affordable_views(8, n_patches=4000, n_drawn=50_000, bytes_each=40_000, budget_bytes=2**29)
    3
    >>> affordable_views(8, n_patches=4000, n_drawn=5000, bytes_each=40_000, budget_bytes=2**29)
    0
    """
    n_views = min(n_wanted, budget_bytes // (bytes_each * max(n_patches, 1)), n_drawn // max(n_patches, 1))
    return n_views if n_views > 1 else 0


def _gathered(batches: Iterable[torch.Tensor], n: int) -> torch.Tensor:
    """Write n values as they come to where they are kept: all batches beside all values would take twice the memory."""
    values, end = torch.empty(0), 0
    for batch in batches:
        if not end:
            values = torch.empty(n, *batch.shape[1:], dtype=torch.bfloat16, device=batch.device)
        values[end : end + len(batch)] = batch
        end += len(batch)
    return values


def _times_before(indices: torch.Tensor) -> torch.Tensor:
    """Count for each index how often it stands before."""
    return (indices[:, None] == indices).tril(-1).sum(dim=1)
