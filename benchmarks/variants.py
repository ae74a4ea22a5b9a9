"""Ways to search with the same features, switched on and off one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch

from simsearch.nn import similarity
from simsearch.nn.features import LAYER_LENGTHS, gaussian
from simsearch.nn.similarity import SOFTNESS, Query, make_query, prototype_maps, soft_maximum
from simsearch.nn.trunk import LAYER_DIMS

if TYPE_CHECKING:
    from collections.abc import Sequence

_TURNS = 4  # blocks of each prototype, one after the other


@dataclass(frozen=True, slots=True)
class Variant:
    """How vectors are compared. The defaults are what simsearch does."""

    layers: tuple[int, ...] = (2,)
    first: float = LAYER_LENGTHS[1] ** 2
    """How much layer1 counts beside the others."""
    is_centred: bool = True
    n_components: int = 0
    """Principal components that vectors are reduced to; 0 for all, without a rotation."""
    whitening: float = 0.0
    """How far components are scaled to the same variance: 0 not at all, 1 wholly."""
    width: float = 0.2
    """Of the Gaussian window, as a share of the patch."""
    finer: int = 0
    """How many levels finer than the working level features are computed; -1 for coarser."""
    combine: str = "soft"
    """soft, max or mean of the prototypes, the mean of the best3, or direction: one block for each rotation, the mean
    of theirs."""
    temperature: float = SOFTNESS["soft"]
    """Of soft."""

    @property
    def softness(self) -> float:
        """Temperature of the soft maximum over prototypes."""
        return self.temperature if self.combine == "soft" else SOFTNESS[self.combine]

    def __str__(self) -> str:
        default, layers = Variant(), "+".join(map(str, self.layers))
        changed = [name for name in Variant.__slots__[1:] if getattr(self, name) != getattr(default, name)]
        return ", ".join([f"layer{layers}", *(f"{name} {getattr(self, name)}" for name in changed)])


VARIANTS = (
    Variant(),
    Variant(temperature=0.1),
    Variant(combine="max"),
    Variant(combine="mean"),
    Variant(combine="best3"),
    Variant(combine="direction"),
    Variant(is_centred=False),
    Variant(layers=(1, 2)),
    Variant(layers=(1, 2), first=0.25),
    Variant(layers=(1, 2), first=1.0),
    Variant(layers=(2, 3)),
    Variant(layers=(3,)),
    Variant(n_components=64),
    Variant(n_components=64, whitening=0.5),
    Variant(n_components=64, whitening=1.0),
    Variant(width=0.15),
    Variant(width=0.3),
    Variant(finer=1),
    Variant(finer=-1),
)


@dataclass(frozen=True, slots=True)
class Space:
    """A linear map of vectors: a centre is subtracted, then components are taken."""

    rows: slice
    scale: torch.Tensor
    """(D,)"""
    centre: torch.Tensor
    components: torch.Tensor | None
    """(K, D)"""

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map (D, H, W) vectors of layers 1, 2 and 3."""
        moved = vectors[self.rows] * self.scale[:, None, None] - self.centre[:, None, None]
        return moved if self.components is None else torch.einsum("kd,dhw->khw", self.components, moved)


def rows_of(layers: tuple[int, ...]) -> slice:
    """Tell where vectors of layers that follow each other lie in those of layers 1, 2 and 3."""
    start = sum(LAYER_DIMS[layer] for layer in LAYER_DIMS if layer < layers[0])
    return slice(start, start + sum(LAYER_DIMS[layer] for layer in layers))


def fit_space(maps: Sequence[torch.Tensor], variant: Variant) -> Space:
    """Fit the space of a variant to the feature maps of the images that are searched; no label is used."""
    rows = rows_of(variant.layers)
    scale = torch.ones(rows.stop - rows.start)
    if 1 in variant.layers:
        scale[: LAYER_DIMS[1]] = variant.first**0.5 / LAYER_LENGTHS[1]
    sample = torch.cat([m[rows].flatten(1)[:, ::7] for m in maps], dim=1) * scale[:, None]
    mean = sample.mean(dim=1)
    centre = mean if variant.is_centred else torch.zeros_like(mean)
    if not variant.n_components:
        return Space(rows, scale, centre, None)
    deviation = (sample - mean[:, None]).double()
    values, axes = torch.linalg.eigh(deviation @ deviation.T / deviation.shape[1])
    chosen = axes[:, -variant.n_components :].T
    scales = values[-variant.n_components :, None].clamp_min(1e-4 * float(values.max()))
    chosen = chosen / scales ** (variant.whitening / 2)
    return Space(rows, scale, centre, chosen.float())


def similarity_map(vectors: torch.Tensor, blocks: Sequence[torch.Tensor], variant: Variant) -> torch.Tensor:
    """Compare (K, H, W) vectors with the blocks of prototypes, all in the variant's space, as (h, w)."""
    with patch.object(similarity, "gaussian", lambda shape: gaussian(shape, variant.width)):
        query = _query(blocks, variant)
        (found,) = prototype_maps(vectors, query)
    if variant.combine == "direction":
        return found.amax(dim=0)
    by_prototype = found.unflatten(0, (-1, _TURNS)).amax(dim=1)
    if variant.combine in SOFTNESS:
        return soft_maximum(by_prototype, variant.softness)
    best: torch.Tensor = by_prototype.topk(min(3, len(by_prototype)), dim=0).values
    return best.mean(dim=0)


def _query(blocks: Sequence[torch.Tensor], variant: Variant) -> Query:
    centre = torch.zeros(len(blocks[0]))
    turned = [blocks[first : first + _TURNS] for first in range(0, len(blocks), _TURNS)]
    query = make_query([turned], centre)
    if variant.combine != "direction":
        return query
    unit = query.blocks[0][0].unflatten(0, (-1, _TURNS))  # the patches of all judges are square
    return make_query([[list(unit.mean(dim=0))]], centre)
