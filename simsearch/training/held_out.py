"""What a quick classifier says of patches that it was not shown: cross-validation over images.

The vectors of patches come from the trunk as it is before training, so that nothing of a label is in those of others.
A linear classifier on them is fitted in its dual form: there are fewer patches than numbers in the vectors of one.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from simsearch.nn.augment import middle
from simsearch.nn.device import fast_inference, with_weights_for
from simsearch.nn.trunk import fused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.nn.device import Arithmetic

N_FOLDS = 5
"""Parts of the images; each is judged by what the others taught."""
MOST_JUDGED = 100
"""Patches of a class that are fitted to and judged."""
_RIDGE = 1e-3  # finds most of planted wrong labels (benchmarks/RESULTS.md)
_STEPS = 60
_BATCH = 64


def rotated_vectors(model: PatchClassifier, crops: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
    """Compute the vectors that patches cover, by a trunk that is not trained yet.

    Parameters
    ----------
    model : PatchClassifier
        With that trunk.
    crops : (N, C, S, S) tensor
        A patch in the middle of each.
    arithmetic : {'float32', 'bfloat16'}
        What the trunk computes with.

    Returns
    -------
    (4, N, F) tensor
        In four rotations, weighted by the window of a patch, of unit length.
    """
    trunk = fused(deepcopy(model.trunk))
    with_weights_for(arithmetic, trunk)
    window = model.windows.amax(dim=0).sqrt()
    batches = []
    for batch in crops.split(_BATCH):
        seen, turned = middle(batch, model.input_shape), []
        for turns in range(4):
            view = torch.rot90(seen, turns, (2, 3)) if seen.shape[2] == seen.shape[3] else seen
            with fast_inference(crops.device, arithmetic):
                features = trunk.middle(view.contiguous(memory_format=torch.channels_last))
                blocks = model.blocks_of(features, trunk.layer3(features)) * window
            turned.append(functional.normalize(blocks.flatten(1).float().cpu(), dim=1))
        batches.append(torch.stack(turned))
    return torch.cat(batches, dim=1)


def folds_of(
    images: Sequence[int], y: Sequence[float], labels: Sequence[int], n_folds: int = N_FOLDS
) -> NDArray[np.int64]:
    """Divide patches into parts that share no image, or where there is one image alone into strips of it.

    Parameters
    ----------
    images : (N,) sequence of int
        Which image each patch is on.
    y : (N,) sequence of float
        Its row.
    labels : (N,) sequence of int
        Its class.
    n_folds : int
        How many parts, as far as there are images.

    Returns
    -------
    (N,) array
        The part of each. Patches of each class are spread over as many as possible.

    Examples
    --------
    >>> folds_of([0, 0, 1, 1, 2], [1, 2, 1, 2, 1], [0, 1, 0, 1, 1], n_folds=2).tolist()
    [0, 0, 1, 1, 0]
    """
    image, label = np.asarray(images), np.asarray(labels)
    if len(np.unique(image)) == 1:
        ranks = np.argsort(np.argsort(y, kind="stable"), kind="stable")
        return np.asarray(ranks * n_folds // len(ranks))
    n_labels = label.max() + 1
    counts = {each: np.bincount(label[image == each], minlength=n_labels) for each in np.unique(image)}
    share = 1 / np.maximum(np.bincount(label, minlength=n_labels), 1)
    filled, chosen = np.zeros((n_folds, n_labels)), {}
    for each in sorted(counts, key=lambda at: (-(counts[at] * share).sum(), at)):
        grown = np.square((filled + counts[each]) * share) - np.square(filled * share)
        chosen[each] = int(grown.sum(axis=1).argmin())
        filled[chosen[each]] += counts[each]
    return np.array([chosen[each] for each in image])


def products(rotated: torch.Tensor) -> torch.Tensor:
    """Return the (R, N, R, N) cosines between (R, N, F) vectors of unit length: all that a linear classifier sees."""
    flat = rotated.flatten(0, 1)
    gram: torch.Tensor = (flat @ flat.T).unflatten(0, rotated.shape[:2]).unflatten(2, rotated.shape[:2])
    return gram


def held_out_logits(gram: torch.Tensor, labels: torch.Tensor, folds: NDArray[np.int64]) -> torch.Tensor:
    """Ask a classifier about each patch that was fitted to the other folds, all classes being equally likely.

    Parameters
    ----------
    gram : (R, N, R, N) tensor
        `products` of the patches in some rotations.
    labels : (N,) tensor
        Their classes; below zero that of a patch which is asked about, and not fitted to.
    folds : (N,) array
        Of which part each is.

    Returns
    -------
    (N, C) tensor
        Minus infinity for classes that the other folds do not have; NaN where they have fewer than two.
    """
    n_classes = int(labels.max()) + 1
    found = torch.full((len(labels), n_classes), torch.nan)
    for fold in np.unique(folds):
        is_asked = torch.from_numpy(folds == fold)
        shown, asked = (~is_asked & (labels >= 0)).nonzero()[:, 0], is_asked.nonzero()[:, 0]
        known = labels[shown].unique()
        if len(known) < 2:
            continue
        targets = torch.searchsorted(known, labels[shown]).repeat(len(gram))
        known_to = gram[:, :, :, shown].flatten(2)  # how like the fitted ones all are
        weights, bias = _fit(known_to[:, shown].flatten(0, 1), targets, len(known))
        logits = torch.full((len(asked), n_classes), -torch.inf)
        logits[:, known] = (known_to[:, asked] @ weights).mean(dim=0) + bias
        found[asked] = logits
    return found


def probabilities_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the (N, C) probabilities of classes, NaN for patches whose own class was not known (`held_out_logits`)."""
    is_known = logits[torch.arange(len(labels)), labels].isfinite()
    return logits.softmax(dim=1).masked_fill(~is_known[:, None], torch.nan)


def log_odds_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the (N,) log odds of a class against all others, NaN where it was not known (`held_out_logits`).

    Examples
    --------
    >>> log_odds_of(torch.tensor([[0.0, 2.0], [1.0, -torch.inf]]), torch.tensor([1, 1]))
    tensor([2., nan])
    """
    rows = torch.arange(len(labels))
    own, others = logits[rows, labels], logits.clone()
    others[rows, labels] = -torch.inf
    return (own - others.logsumexp(dim=1)).masked_fill(~own.isfinite(), torch.nan)


def few_of_each(labels: Sequence[int], most: int = MOST_JUDGED) -> list[int]:
    """Choose at most some patches of each class, evenly.

    Examples
    --------
    >>> few_of_each([0, 1, 1, 1, 1, 1], most=3)
    [0, 1, 3, 5]
    """
    label = np.asarray(labels)
    rows = [np.flatnonzero(label == each) for each in np.unique(label)]
    return sorted(
        int(row) for own in rows for row in own[np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(int)]
    )


def _fit(gram: torch.Tensor, targets: torch.Tensor, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit a multinomial logistic classifier in its dual form; return coefficients of the samples, and biases."""
    shares = 1 / (torch.bincount(targets, minlength=n_classes)[targets] * n_classes)
    weights = torch.zeros(len(gram), n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        through = gram @ weights
        losses = functional.cross_entropy(through + bias, targets, reduction="none")
        loss: torch.Tensor = (shares * losses).sum() + _RIDGE / 2 * (weights * through).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach(), bias.detach()
