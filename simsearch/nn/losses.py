"""Contrastive losses of the paper (section 2.4), each the mean over its anchors.

The paper sums over anchors; the mean differs by a constant factor and keeps the learning rate independent of the
size of a batch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from simsearch.errors import ShapeError

_PROJECTION_DIM = 128


def make_projector(dim: int) -> nn.Module:
    """Make the layers that project (N, dim) features, with random weights; they serve the training only."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, _PROJECTION_DIM))


def self_supervised_loss(first: torch.Tensor, second: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """NT-Xent: each patch's two views are to be similar to each other and to no other patch (equation 1).

    Parameters
    ----------
    first, second : (N, D) tensor
        Projections of two augmented views of the same N patches, in the same order; at least two patches.
    temperature : float
        The paper's tau_self.

    Returns
    -------
    () tensor

    Raises
    ------
    ShapeError
        If the views do not pair up, or there are fewer than two patches.
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) < 2:
        raise ShapeError(f"expected two views (N, D) of at least 2 patches, got {first.shape} and {second.shape}")
    n_patches = len(first)
    similarity = _similarity(torch.cat([first, second]), temperature)
    similarity.fill_diagonal_(float("-inf"))  # A(i) is all but i
    partners = torch.arange(2 * n_patches, device=first.device).roll(n_patches)
    return functional.cross_entropy(similarity, partners)


def supervised_loss(
    projections: torch.Tensor,
    labels: torch.Tensor,
    negatives: torch.Tensor | None = None,
    negative_labels: torch.Tensor | None = None,
    temperature: float = 0.07,
) -> torch.Tensor:
    """Supervised contrastive loss, with the user's negatives in the denominators of their own class (equations 2-4).

    Parameters
    ----------
    projections : (N, D) tensor
        Projections of patches, at least two of one class.
    labels : (N,) tensor
        Their classes.
    negatives : (M, D) tensor, optional
        Projections of patches that the user flagged as not belonging to a class.
    negative_labels : (M,) tensor, optional
        The class that each does not belong to.
    temperature : float
        The paper's tau_sup.

    Returns
    -------
    () tensor
        A patch that is alone in its class is no anchor.

    Raises
    ------
    ShapeError
        If there is not one label for each patch, or no two patches share a class.
    """
    if len(projections) != len(labels) or (negatives is None) != (negative_labels is None):
        raise ShapeError(f"expected a label for each of {len(projections)} patches and negatives, got {len(labels)}")
    n_patches = len(projections)
    is_self = torch.eye(n_patches, dtype=torch.bool, device=projections.device)
    is_positive = (labels[:, None] == labels) & ~is_self
    if not is_positive.any():
        raise ShapeError("expected at least two patches of one class, got none: draw larger batches")
    similarity = _similarity(projections, temperature)
    contrasts = similarity.masked_fill(is_self, float("-inf"))
    if negatives is not None and negative_labels is not None and len(negatives):
        against = _similarity(projections, temperature, negatives)
        contrasts = torch.cat([contrasts, against.masked_fill(labels[:, None] != negative_labels, float("-inf"))], 1)
    log_probability = similarity - contrasts.logsumexp(dim=1, keepdim=True)
    n_positives = is_positive.sum(dim=1)
    per_anchor = -(log_probability * is_positive).sum(dim=1) / n_positives.clamp_min(1)
    return per_anchor[n_positives > 0].mean()


def _similarity(first: torch.Tensor, temperature: float, second: torch.Tensor | None = None) -> torch.Tensor:
    unit = functional.normalize(first.float(), dim=1)
    other = unit if second is None else functional.normalize(second.float(), dim=1)
    return unit @ other.T / temperature
