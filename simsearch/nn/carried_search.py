"""The search that a model came from: the model carries it, and lets it say how sure it is of each class.

Search compares what layer2 gives, which training leaves as it is: where a class is looked for at the scale of the
network, both look at the same vectors. A class that is small beside others was looked for at a finer scale, which the
network does not see: there the search decides alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from simsearch.nn.similarity import Query, class_maps, prototype_maps, query_of_tensors, query_tensors
from simsearch.nn.trunk import LAYER_DIMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CLASSES = "classes"


@dataclass(frozen=True, slots=True)
class SearchShare:
    """How far a search decides about a class, and what its similarity means."""

    weight: float
    """What it counts, from 0 to 1; the rest is the network."""
    slope: float
    """By how much its log odds rise with similarity."""
    similarity: float
    """Where they are even."""
    finer: int = 1
    """How many times finer than the network it looks at images; where that is not 1, it decides alone."""


@dataclass(frozen=True, slots=True, eq=False)
class CarriedSearch:
    """Queries for classes of a model, and how far they decide."""

    queries: tuple[Query, ...]
    """Their vectors are those of layer2."""
    classes: tuple[tuple[int, ...], ...]
    """For each query, which classes of the model it is for; the background is 0."""
    shares: Mapping[int, SearchShare]
    """For each class."""

    def to(self, device: torch.device) -> CarriedSearch:
        """Return it on a device."""
        return CarriedSearch(tuple(query.to(device) for query in self.queries), self.classes, self.shares)

    def mixed(self, log_odds: torch.Tensor, vectors: torch.Tensor, margin: int) -> torch.Tensor:
        """Mix what a network says with what the search says.

        Parameters
        ----------
        log_odds : (classes, H, W) tensor
            Of each class by the network.
        vectors : (D, H + 2 m, W + 2 m) tensor
            What it looked at; those of layer2 come first.
        margin : int
            That m, at least half a block of each query.

        Returns
        -------
        (classes, H, W) tensor
        """
        found = log_odds.clone()
        for query, classes in self.beside():
            less = margin - query.margin
            seen = vectors[: LAYER_DIMS[2], less : vectors.shape[1] - less, less : vectors.shape[2] - less]
            said = self.said(seen, query, classes)
            for index, label in enumerate(classes):
                found[label] = torch.lerp(log_odds[label], said[index], self.shares[label].weight)
        return found

    def said(self, vectors: torch.Tensor, query: Query, classes: Sequence[int]) -> torch.Tensor:
        """Return the (classes, H, W) log odds of classes by a query for them, of vectors with its margin."""
        shares = [self.shares[label] for label in classes]
        similarities = class_maps(vectors, prototype_maps(vectors, query), query)
        slope, even = (
            similarities.new_tensor(each)[:, None, None]
            for each in ([share.slope for share in shares], [share.similarity for share in shares])
        )
        return slope * (similarities - even)

    def beside(self) -> Iterator[tuple[Query, tuple[int, ...]]]:
        """List the queries at the scale of the network, and the classes of each."""
        return (pair for pair in zip(self.queries, self.classes, strict=True) if self.shares[pair[1][0]].finer == 1)

    def alone(self) -> Iterator[tuple[Query, tuple[int, ...]]]:
        """List those at finer scales."""
        return (pair for pair in zip(self.queries, self.classes, strict=True) if self.shares[pair[1][0]].finer > 1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what it compares with, by name; `shares` are said elsewhere."""
        found: dict[str, torch.Tensor] = {}
        for index, (query, classes) in enumerate(zip(self.queries, self.classes, strict=True)):
            found |= {f"{index:03d}/{key}": value.cpu() for key, value in query_tensors(query).items()}
            found[f"{index:03d}/{_CLASSES}"] = torch.tensor(classes)
        return found


def search_of_tensors(tensors: Mapping[str, torch.Tensor], shares: Mapping[int, SearchShare]) -> CarriedSearch:
    """Undo `CarriedSearch.tensors`."""
    parts: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        parts[index][name] = value
    classes = tuple(tuple(parts[index].pop(_CLASSES).tolist()) for index in sorted(parts))
    return CarriedSearch(tuple(query_of_tensors(parts[index]) for index in sorted(parts)), classes, shares)
