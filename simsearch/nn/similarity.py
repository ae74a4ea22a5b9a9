"""Similarity maps: the Gaussian-weighted cosine between prototypes' blocks and an image's vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch.nn import functional

from simsearch.errors import ShapeError
from simsearch.nn.features import gaussian

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: the blocks of each class's prototypes, ready to be compared."""

    centre: torch.Tensor
    """(D,) vector that is subtracted from an image's vectors; zeros where nothing is."""
    blocks: tuple[tuple[torch.Tensor, ...], ...]
    """For each class, (P, D, kh, kw) blocks of unit weighted length; one tensor for each shape of block."""

    @property
    def margin(self) -> int:
        """How many vectors around a position are compared, in each direction."""
        return max(max(group.shape[-2:]) for class_blocks in self.blocks for group in class_blocks) // 2


def make_query(blocks: Sequence[Sequence[torch.Tensor]], centre: torch.Tensor) -> Query:
    """Make a query of prototypes' blocks.

    Parameters
    ----------
    blocks : for each class a sequence of (D, kh, kw) tensors
        Blocks of its prototypes, rotations included; sides are odd.
    centre : (D,) tensor
        Mean vector of the images, or zeros.
    """
    groups = []
    for class_blocks in blocks:
        shapes = sorted({tuple(block.shape[1:]) for block in class_blocks})
        stacks = [torch.stack([block for block in class_blocks if block.shape[1:] == shape]) for shape in shapes]
        groups.append(tuple(_unit(stack - centre[:, None, None]) for stack in stacks))
    return Query(centre, tuple(groups))


def prototype_maps(vectors: torch.Tensor, query: Query) -> tuple[torch.Tensor, ...]:
    """Find how similar each position is to each prototype.

    Parameters
    ----------
    vectors : (D, H + 2 m, W + 2 m) tensor
        Vectors with ``m = query.margin`` around the positions asked for.
    query : Query
        What to look for.

    Returns
    -------
    for each class, (P, H, W) tensor
        Weighted cosine in [-1, 1] of the vectors around a position with a prototype's block: both are seen as one
        long vector, in which each position counts by a Gaussian window. Zero vectors are similar to nothing: 0.

    Raises
    ------
    ShapeError
        If the vectors have not the length of the prototypes', or there are none but the margin.
    """
    d, h, w = vectors.shape
    margin = query.margin
    if d != len(query.centre) or min(h, w) <= 2 * margin:
        raise ShapeError(f"expected vectors of length {len(query.centre)} with a margin of {margin}, got {(d, h, w)}")
    centred = (vectors - query.centre[:, None, None])[None]
    energy = centred.square().sum(dim=1, keepdim=True)
    return tuple(
        torch.cat([_cosines(centred, energy, group, margin) for group in class_blocks]) for class_blocks in query.blocks
    )


def similarity_maps(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the (classes, H, W) similarity to the most similar prototype of each class, of `prototype_maps`."""
    return torch.stack([class_maps.amax(dim=0) for class_maps in maps])


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
    tensors = {"centre": query.centre.contiguous()}
    for c, class_blocks in enumerate(query.blocks):
        tensors |= {f"{c:03d}/{g:03d}": group.contiguous() for g, group in enumerate(class_blocks)}
    return safetensors.torch.save(tensors)


def query_from_bytes(blob: bytes) -> Query:
    """Undo `query_to_bytes`."""
    tensors = safetensors.torch.load(blob)
    centre = tensors.pop("centre")
    n_classes = 1 + max(int(key.split("/")[0]) for key in tensors)
    return Query(
        centre,
        tuple(tuple(tensors[key] for key in sorted(tensors) if int(key.split("/")[0]) == c) for c in range(n_classes)),
    )


def _unit(blocks: torch.Tensor) -> torch.Tensor:
    """Scale (P, D, kh, kw) blocks to unit weighted length."""
    window = gaussian((blocks.shape[2], blocks.shape[3])).to(blocks)
    length = (blocks.square() * window).sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return blocks / length.clamp_min(_EPSILON)


def _cosines(centred: torch.Tensor, energy: torch.Tensor, blocks: torch.Tensor, margin: int) -> torch.Tensor:
    """Return the cosines with (P, D, kh, kw) blocks, as (P, H, W)."""
    kh, kw = blocks.shape[-2:]
    window = gaussian((kh, kw)).to(blocks)
    products = functional.conv2d(centred, blocks * window)
    lengths = functional.conv2d(energy, window[None, None]).clamp_min(0).sqrt()
    cosines = (products / lengths.clamp_min(_EPSILON))[0]
    dy, dx = margin - kh // 2, margin - kw // 2
    return cosines[:, dy : cosines.shape[1] - dy, dx : cosines.shape[2] - dx].clamp(-1, 1)
