"""How far a training is: without torch, so that whoever watches needs none."""

from __future__ import annotations

from dataclasses import dataclass


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
