"""What answers add to a search: a linear template that tells what was confirmed from what was flagged.

Regularised linear discriminant analysis of blocks, solved in its dual form: there are fewer blocks than numbers in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from simsearch.nn.features import gaussian
from simsearch.nn.similarity import Query, Refinement, soft_maximum

if TYPE_CHECKING:
    from collections.abc import Sequence

_RIDGE = 1.0  # chosen on validation images, as are the next two (benchmarks/RESULTS.md)
_MOST = 0.5  # weight of the template after very many answers
_HALF_WAY = 10  # answers after which it has half of that
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a person said of suggestions for a class, as blocks."""

    confirmed: Sequence[Sequence[torch.Tensor]]
    """For each suggestion that is of the class its rotations, of (D, kh, kw) or with sides exchanged."""
    flagged: Sequence[torch.Tensor]
    """(D, kh, kw) of each that is not."""

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.confirmed) + len(self.flagged)


def refine(query: Query, index: int, answers: Answers, background: torch.Tensor) -> Refinement | None:
    """Fit a template to answers.

    Prototypes and what was confirmed stand against what was flagged, and against random blocks, which count as much as
    all flags together. The template's values are shifted and stretched so that random blocks and positives have, in the
    middle, the similarity that they have without it: thresholds keep their meaning.

    Parameters
    ----------
    query : Query
        The prototypes.
    index : int
        Of the class.
    answers : Answers
        What was said; their order does not matter.
    background : (n, D, kh, kw) tensor
        Random blocks of the images, with sides as an unturned patch has.

    Returns
    -------
    Refinement or None
        None without answers, or without random blocks.
    """
    if not answers.n or not len(background):
        return None
    shape, centre = background.shape[2:], query.centre[:, None, None]
    window = gaussian((shape[0], shape[1])).to(query.centre)
    known = [group for group in query.blocks[index] if group.shape[2:] == shape]
    turned = [block - centre for rotations in answers.confirmed for block in rotations if block.shape[1:] == shape]
    positives = _units(torch.cat([*known, *([torch.stack(turned)] if turned else [])]), window)
    negatives = _units(torch.stack(list(answers.flagged)) - centre, window) if answers.flagged else positives[:0]
    random_ones = _units(background - centre, window)
    template = _discriminant((positives, negatives, random_ones))
    middle, high = (_unrefined(query, index, blocks, window) for blocks in (random_ones, positives))
    low_value, high_value = (random_ones @ template).median(), (positives @ template).mean()
    scale = float((high.mean() - middle.median()) / (high_value - low_value).clamp_min(_EPSILON))
    return Refinement(
        block=(template.reshape(-1, *shape) / window.sqrt())[None],
        scale=scale,
        shift=float(middle.median() - scale * low_value),
        weight=_MOST * answers.n / (answers.n + _HALF_WAY),
    )


def _units(blocks: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Return (n, D kh kw) rows of unit length, whose products are weighted cosines."""
    rows = (blocks * window.sqrt()).flatten(1)
    units: torch.Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(_EPSILON)
    return units


def _discriminant(groups: Sequence[torch.Tensor]) -> torch.Tensor:
    """Tell the first group from all others; each counts as one, however many rows it has."""
    rows = torch.cat(list(groups))
    wanted = torch.cat([torch.full((len(g),), -1.0 if i else 1.0) for i, g in enumerate(groups)]).to(rows)
    weights = torch.cat([torch.full((len(g),), 1 / max(1, len(g))) for g in groups]).to(rows)
    shares = weights / weights.sum()
    centred = rows - shares @ rows
    gram = centred @ centred.T + _RIDGE * torch.diag(1 / (weights * len(rows)))
    template = centred.T @ torch.linalg.solve(gram, wanted - shares @ wanted)
    unit: torch.Tensor = template / template.norm()
    return unit


def _unrefined(query: Query, index: int, rows: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Return the similarity of rows to the prototypes of a class, as far as blocks of their shape tell."""
    groups, owners = query.blocks[index], query.owners[index]
    starts = torch.tensor([len(group) for group in groups]).cumsum(0).tolist()
    best: dict[int, torch.Tensor] = {}
    for group, end in zip(groups, starts, strict=True):
        if group.shape[2:] != window.shape:
            continue
        found = rows @ _units(group, window).T
        for column, owner in enumerate(owners[end - len(group) : end].tolist()):
            best[owner] = torch.maximum(best.get(owner, found[:, column]), found[:, column])
    return soft_maximum(torch.stack(list(best.values())), query.softness)
