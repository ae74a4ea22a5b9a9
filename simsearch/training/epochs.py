"""How far a training is: without torch, so that whoever watches needs none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Checkpoint = dict[str, Any]
"""What a training needs to go on from the end of an epoch."""


@dataclass(frozen=True, slots=True)
class EpochDone:
    """An epoch of a stage is over."""

    stage: str
    """noisy, clean or classifier; of a trunk simclr or distill."""
    epoch: int
    """How many epochs are done."""
    n_epochs: int
    """How many there will be."""
    loss: float
    """Mean over its steps."""
    seconds: float = 0.0
    """How long it took; 0 where nobody looked at the clock."""


def _forget(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class EpochLog:
    """Who hears of epochs, and where a training goes on."""

    observe: Callable[[EpochDone], None] = _forget
    """Gets an event after each epoch; what it raises cancels the training."""
    keep: Callable[[Checkpoint], None] = _forget
    """Gets, after each epoch, what is needed to go on from there."""
    checkpoint: Mapping[str, Any] | None = None
    """What `keep` got last, to go on from; None for a new training."""


NO_LOG = EpochLog()
"""For a new training that nobody follows."""
