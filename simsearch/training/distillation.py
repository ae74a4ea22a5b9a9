"""Distillation: a trunk learns to give, layer by layer, what a teacher gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from simsearch.nn.trunk import Trunk

LAYERS = ("layer1", "layer2", "layer3")


def distillation_loss(
    student: Trunk, teacher: Trunk, images: torch.Tensor, share: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pass images through both networks and compare them layer by layer.

    Parameters
    ----------
    student, teacher : Trunk
        For as many channels as the images have.
    images : (N, C, H, W) tensor
        Intensities in [0, 1].
    share : float
        Share of the images of which a layer of the student gets the teacher's features as input instead of the
        student's own, so that deep layers learn from the first step on.
    generator : torch.Generator
        Chooses them; on the CPU.

    Returns
    -------
    loss : () tensor
        Sum over layers of the squared error in units of the teacher's variance, and one minus the mean cosine.
    cosines : (3,) tensor
        Mean cosine of each layer.
    """
    with torch.no_grad():
        right = teacher.stem(images)
    left = student.stem(images)
    losses, cosines = [], []
    for name in LAYERS:
        left = student.get_submodule(name)(_mixed(left, right, share, generator))
        with torch.no_grad():
            right = teacher.get_submodule(name)(right)
        error, cosine = _compared(left, right)
        losses.append(error + 1 - cosine)
        cosines.append(cosine.detach())
    return torch.stack(losses).sum(), torch.stack(cosines)


def _compared(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = student.float(), teacher.float()
    error = functional.mse_loss(student, teacher) / teacher.var().clamp_min(1e-12)
    return error, functional.cosine_similarity(student, teacher, dim=1).mean()


def _mixed(student: torch.Tensor, teacher: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    picked = torch.rand(len(student), 1, 1, 1, generator=generator) < share
    return torch.where(picked.to(student.device), teacher.to(student.dtype), student)
