"""What a model is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from simsearch.errors import ShapeError


@dataclass(frozen=True, slots=True)
class LabelledPatches:
    """Crops with a class each."""

    crops: torch.Tensor
    """(N, C, S, S) intensities in [0, 1], a patch in the middle of each; wide enough to be turned."""
    labels: torch.Tensor
    """(N,) class of each; 0 is background."""
    weights: torch.Tensor | None = None
    """(N,) how often each is drawn beside others of its class; None where all are alike."""

    def __post_init__(self) -> None:
        if self.crops.ndim != 4 or len(self.crops) != len(self.labels):
            raise ShapeError(f"expected (N, C, S, S) crops and N labels, got {tuple(self.crops.shape)} and "
                             f"{len(self.labels)}")  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class TrainingPatches:
    """What a person has approved, and what was found with it."""

    clean: LabelledPatches
    """Positives of each class and background."""
    negatives: LabelledPatches
    """Patches flagged as not belonging to the class that their label names; may be empty."""
    noisy: LabelledPatches
    """Patches found in images that were not displayed, labelled by the class that found them; may be empty."""
    beside: LabelledPatches | None = None
    """Background beside objects, from which the classifier learns where their middles are; and places in objects, from
    which it learns that no smaller one is there."""

    @property
    def with_beside(self) -> LabelledPatches:
        """What the classifier learns from."""
        if self.beside is None:
            return self.clean
        weights = self.clean.weights
        if weights is not None:
            weights = torch.cat([weights, weights.new_ones(len(self.beside))])
        return LabelledPatches(
            torch.cat([self.clean.crops, self.beside.crops]),
            torch.cat([self.clean.labels, self.beside.labels]),
            weights,
        )


def oversampled(
    labels: torch.Tensor, n_drawn: int, generator: torch.Generator, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Draw indices so that all classes are equally likely (weighted oversampling, section 2.4.2).

    Parameters
    ----------
    labels : (N,) tensor
        Class of each patch, at least one.
    n_drawn : int
        How many to draw, with replacement.
    generator : torch.Generator
        Source of randomness.
    weights : (N,) tensor, optional
        How often each patch is drawn beside others of its class; all alike by default.

    Returns
    -------
    (n_drawn,) tensor
    """
    _, inverse, counts = torch.unique(labels.cpu(), return_inverse=True, return_counts=True)  # where the generator is
    shares = 1.0 / counts[inverse].double()
    if weights is not None:
        own = weights.double().cpu()
        shares = own / torch.zeros(len(counts)).double().index_add_(0, inverse, own)[inverse]
    drawn = torch.multinomial(shares, n_drawn, replacement=True, generator=generator)
    return drawn.to(labels.device)
