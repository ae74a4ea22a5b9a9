"""Similarity maps: the Gaussian-weighted cosine between prototypes' blocks and an image's vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from simsearch.errors import ConfigError, ShapeError
from simsearch.nn.correlation import correlate, smooth
from simsearch.nn.features import gaussian

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from simsearch.nn.device import Arithmetic

SOFTNESS = {"soft": 0.2, "max": 0.0, "mean": math.inf}
"""Ways to combine the similarities to the prototypes of a class, as temperatures of `soft_maximum`. The paper's is max;
soft was best on average over classes that look alike and classes that do not (benchmarks/RESULTS.md)."""

_EPSILON = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Refinement:
    """What answers change of the similarity to a class."""

    block: torch.Tensor
    """(1, D, kh, kw) template of unit weighted length."""
    scale: float
    """The cosine with the template times this,"""
    shift: float
    """and this added, has the meaning of a similarity."""
    weight: float
    """How far that counts, from 0 to 1; the rest is the similarity to the prototypes."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: the blocks of each class's prototypes, ready to be compared."""

    centre: torch.Tensor
    """(D,) vector that is subtracted from an image's vectors; zeros where nothing is."""
    blocks: tuple[tuple[torch.Tensor, ...], ...]
    """For each class, (B, D, kh, kw) blocks of unit weighted length; one tensor for each shape of block."""
    owners: tuple[torch.Tensor, ...]
    """For each class, (B,) which of its prototypes the blocks are rotations of, in the order of `blocks`."""
    softness: float
    """Temperature of the soft maximum over the prototypes of a class."""
    refinements: Mapping[int, Refinement] = field(default_factory=dict)
    """By the index of a class what answers add to it."""

    @property
    def margin(self) -> int:
        """How many vectors around a position are compared, in each direction."""
        return max(max(group.shape[-2:]) for class_blocks in self.blocks for group in class_blocks) // 2

    def to(self, device: torch.device) -> Query:
        """Return it on a device."""
        blocks = tuple(tuple(group.to(device) for group in class_blocks) for class_blocks in self.blocks)
        refinements = {c: replace(each, block=each.block.to(device)) for c, each in self.refinements.items()}
        return replace(self, centre=self.centre.to(device), blocks=blocks, refinements=refinements)


def softness_of(combine: str) -> float:
    """Return the temperature of a way to combine.

    Raises
    ------
    ConfigError
        If there is no such way.
    """
    if combine not in SOFTNESS:
        raise ConfigError(f"expected a way to combine prototypes among {', '.join(SOFTNESS)}, got {combine!r}")
    return SOFTNESS[combine]


def make_query(
    blocks: Sequence[Sequence[Sequence[torch.Tensor]]], centre: torch.Tensor, softness: float = SOFTNESS["soft"]
) -> Query:
    """Make a query of prototypes' blocks.

    Parameters
    ----------
    blocks : for each class and each of its prototypes a sequence of (D, kh, kw) tensors
        The prototype's rotations; sides are odd.
    centre : (D,) tensor
        Mean vector of the images, or zeros.
    softness : float
        How prototypes of a class are combined: one of `SOFTNESS`, or another temperature.
    """
    groups, owners = [], []
    for prototypes in blocks:
        owned = [(index, block) for index, turned in enumerate(prototypes) for block in turned]
        owned.sort(key=lambda pair: pair[1].shape[1:])
        shapes = dict.fromkeys(block.shape[1:] for _, block in owned)
        stacks = [torch.stack([block for _, block in owned if block.shape[1:] == shape]) for shape in shapes]
        groups.append(tuple(_unit(stack - centre[:, None, None]) for stack in stacks))
        owners.append(torch.tensor([index for index, _ in owned]))
    return Query(centre, tuple(groups), tuple(owners), softness)


def without_prototypes(query: Query, left_out: Sequence[Collection[int]]) -> Query:
    """Leave prototypes, named by their index for each class, out of a query; a class that would lose all keeps them."""
    blocks, owners = [], []
    for groups, own, gone in zip(query.blocks, query.owners, left_out, strict=True):
        is_kept = torch.tensor([index not in gone for index in own.tolist()], device=own.device)
        is_kept |= ~is_kept.any()
        parts = is_kept.split([len(group) for group in groups])
        blocks.append(tuple(group[part] for group, part in zip(groups, parts, strict=True) if part.any()))
        owners.append(torch.unique(own[is_kept], return_inverse=True)[1])
    return replace(query, blocks=tuple(blocks), owners=tuple(owners))


def prototype_maps(vectors: torch.Tensor, query: Query, arithmetic: Arithmetic = "float32") -> tuple[torch.Tensor, ...]:
    """Find how similar each position is to each rotation of each prototype.

    Parameters
    ----------
    vectors : (D, H + 2 m, W + 2 m) tensor
        Vectors with ``m = query.margin`` around the positions asked for.
    query : Query
        What to look for.
    arithmetic : {"float32", "bfloat16"}
        What products are computed with. Similarities differ by less than 0.002 with bfloat16, which takes a CPU with
        instructions for it half as long.

    Returns
    -------
    for each class, (B, H, W) tensor
        Weighted cosine in [-1, 1] of the vectors around a position with a prototype's block: both are seen as one
        long vector, in which each position counts by a Gaussian window. Zero vectors are similar to nothing: 0.

    Raises
    ------
    ShapeError
        If the vectors have not the length of the prototypes', or there are none but the margin.
    """
    margin = query.margin
    centred, energy = _centred(vectors, query)
    return tuple(
        torch.cat([_cosines(centred, energy, group, margin, arithmetic) for group in class_blocks])
        for class_blocks in query.blocks
    )


def _centred(vectors: torch.Tensor, query: Query) -> tuple[torch.Tensor, torch.Tensor]:
    d, h, w = vectors.shape
    margin = query.margin
    if d != len(query.centre) or min(h, w) <= 2 * margin:
        raise ShapeError(f"expected vectors of length {len(query.centre)} with a margin of {margin}, got {(d, h, w)}")
    centred = vectors - query.centre[:, None, None]
    return centred, centred.square().sum(dim=0)


def class_maps(vectors: torch.Tensor, maps: Sequence[torch.Tensor], query: Query) -> torch.Tensor:
    """Combine `prototype_maps` and what answers add to them into the (classes, H, W) similarity to each class."""
    similarity = similarity_maps(maps, query)
    if query.refinements:
        centred, energy = _centred(vectors, query)
        for index, refinement in query.refinements.items():
            cosine = _cosines(centred, energy, refinement.block, query.margin)[0]
            similarity[index] = refined(similarity[index], cosine, refinement)
    return similarity


def refined(similarity: torch.Tensor, cosine: torch.Tensor, refinement: Refinement) -> torch.Tensor:
    """Mix the similarity to prototypes with the cosine with a template, both (H, W)."""
    template = refinement.scale * cosine + refinement.shift
    return torch.lerp(similarity, template, refinement.weight).clamp(-1, 1)


def similarity_maps(maps: Sequence[torch.Tensor], query: Query) -> torch.Tensor:
    """Combine `prototype_maps` into the (classes, H, W) similarity to each class.

    A prototype is as similar as its most similar rotation (section 2.3.1), a class as the soft maximum over its
    prototypes.
    """
    return torch.stack(
        [
            soft_maximum(
                torch.stack([class_maps[owners == index].amax(dim=0) for index in range(int(owners.max()) + 1)]),
                query.softness,
            )
            for class_maps, owners in zip(maps, query.owners, strict=True)
        ]
    )


def left_out_similarities(query: Query, index: int) -> tuple[float, ...]:
    """Return how similar each prototype of a class, turned as in most of its blocks, is to the others.

    That tells what objects of the class are like which nobody drew; one prototype alone does not.
    """
    groups, owners = query.blocks[index], query.owners[index]
    n = int(owners.max()) + 1
    starts = [0, *torch.tensor([len(group) for group in groups]).cumsum(0).tolist()]
    largest = max(range(len(groups)), key=lambda g: len(groups[g]))
    group, own = groups[largest], owners[starts[largest] : starts[largest + 1]]
    if n < 2:
        return ()
    rows = (group * gaussian((group.shape[2], group.shape[3])).to(group).sqrt()).flatten(1)
    products, found = rows @ rows.T, []
    for prototype in range(n):
        first = int((own == prototype).nonzero()[0])
        others = [products[first][own == other].amax() for other in range(n) if other != prototype]
        found.append(float(soft_maximum(torch.stack(others), query.softness)))
    return tuple(found)


def soft_maximum(values: torch.Tensor, softness: float) -> torch.Tensor:
    """Return a value between the mean and the maximum: the logarithm of the mean exponential.

    Parameters
    ----------
    values : (N, ...) tensor
        What to combine.
    softness : float
        Temperature: 0 gives the maximum, infinity the mean.

    Returns
    -------
    (...) tensor

    Examples
    --------
    >>> values = torch.tensor([0.2, 0.6])
    >>> [round(soft_maximum(values, softness).item(), 2) for softness in (0.0, 0.2, math.inf)]
    [0.6, 0.49, 0.4]
    """
    if softness == 0:
        return values.amax(dim=0)
    if math.isinf(softness):
        return values.mean(dim=0)
    return softness * ((values / softness).logsumexp(dim=0) - math.log(len(values)))


def mean_similarity(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the (H, W) mean similarity to all prototypes of all classes, of `prototype_maps`.

    The paper sums (algorithm 1), which gives the same order.
    """
    return torch.cat(list(maps)).mean(dim=0)


def mean_vector(sums: Iterable[tuple[torch.Tensor, int]]) -> torch.Tensor:
    """Merge sums of vectors and their counts into the mean, as (D,)."""
    parts = list(sums)
    total = torch.stack([part.double() for part, _ in parts]).sum(dim=0)
    return (total / sum(count for _, count in parts)).float()


def query_to_bytes(query: Query) -> bytes:
    """Serialise a query as safetensors."""
    return safetensors.torch.save(query_tensors(query))


def query_from_bytes(blob: bytes) -> Query:
    """Undo `query_to_bytes`."""
    return query_of_tensors(safetensors.torch.load(blob))


def query_tensors(query: Query) -> dict[str, torch.Tensor]:
    """Return all that a query is, by name."""
    tensors = {"centre": query.centre.contiguous(), "softness": torch.tensor(query.softness, dtype=torch.float64)}
    for c, each in query.refinements.items():
        tensors[f"{c:03d}/template"] = each.block.contiguous()
        tensors[f"{c:03d}/refined"] = torch.tensor([each.scale, each.shift, each.weight], dtype=torch.float64)
    for c, (class_blocks, owners) in enumerate(zip(query.blocks, query.owners, strict=True)):
        tensors |= {f"{c:03d}/{g:03d}": group.contiguous() for g, group in enumerate(class_blocks)}
        tensors[f"{c:03d}/owners"] = owners
    return tensors


def query_of_tensors(named: Mapping[str, torch.Tensor]) -> Query:
    """Undo `query_tensors`."""
    tensors = dict(named)
    centre, softness = tensors.pop("centre"), tensors.pop("softness").item()
    n_classes = 1 + max(int(key.split("/")[0]) for key in tensors)
    refinements = {
        int(key[:3]): Refinement(tensors.pop(key), *tensors.pop(f"{key[:3]}/refined").tolist())
        for key in sorted(tensors)
        if key.endswith("/template")
    }
    owners = tuple(tensors.pop(f"{c:03d}/owners") for c in range(n_classes))
    blocks = (tuple(tensors[key] for key in sorted(tensors) if int(key.split("/")[0]) == c) for c in range(n_classes))
    return Query(centre, tuple(blocks), owners, softness, refinements)


def _unit(blocks: torch.Tensor) -> torch.Tensor:
    """Scale (P, D, kh, kw) blocks to unit weighted length."""
    window = gaussian((blocks.shape[2], blocks.shape[3])).to(blocks)
    length = (blocks.square() * window).sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return blocks / length.clamp_min(_EPSILON)


def _cosines(
    centred: torch.Tensor,
    energy: torch.Tensor,
    blocks: torch.Tensor,
    margin: int,
    arithmetic: Arithmetic = "float32",
) -> torch.Tensor:
    """Return the cosines with (P, D, kh, kw) blocks, as (P, H, W)."""
    kh, kw = blocks.shape[-2:]
    window = gaussian((kh, kw)).to(blocks)
    lengths = smooth(energy, window).clamp_min(0).sqrt()
    factors = (each.bfloat16() if arithmetic == "bfloat16" else each for each in (centred, blocks * window))
    cosines = correlate(*factors) / lengths.clamp_min(_EPSILON)
    dy, dx = margin - kh // 2, margin - kw // 2
    return cosines[:, dy : cosines.shape[1] - dy, dx : cosines.shape[2] - dx].clamp(-1, 1)
