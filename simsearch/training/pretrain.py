"""Training of a trunk without labels: distillation, SimCLR, or one after the other.

All randomness of a step comes from the seed, the stage and the step, so that a run that goes on after a kill ends with
the same bytes as one that was never stopped.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from simsearch.errors import ConfigError
from simsearch.nn.augment import crop_side, random_views
from simsearch.nn.losses import make_projector, self_supervised_loss
from simsearch.nn.trunk import LAYER_DIMS, Trunk
from simsearch.training.distillation import distillation_loss
from simsearch.training.epochs import NO_LOG, EpochDone, EpochLog

Method = Literal["simclr", "distill", "both"]
Crops = Callable[[int], torch.Tensor]
"""Gives the crops of a step, (N, 3, S, S) intensities in [0, 1]; safe to be called by several threads."""

_AHEAD = 3  # batches that are read while one is learned from
_WARM_UP = 0.05  # share of a stage in which the learning rate rises
_HELP_UNTIL, _HELP = 0.5, 0.6  # share of a distillation with the teacher's inputs, and of how many crops at first
_MAX_GRADIENT = 5.0


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """How a trunk is trained."""

    method: Method = "simclr"
    """distill, simclr, or both: first the one, then the other."""
    steps: int = 10_000
    """Batches to learn from."""
    batch: int = 64
    """Crops in a batch."""
    rate: float = 3e-3
    """Highest learning rate of AdamW."""
    crop: int = 96
    """Side of what the network sees in pixels."""
    epoch: int = 100
    """Steps between two checkpoints."""
    distilled: float = 0.75
    """Of both: which share of the steps distils."""
    tuning: float = 0.1
    """Of both: which part of the learning rate SimCLR has, which is to refine and not to begin anew."""
    temperature: float = 0.2
    """Of SimCLR."""
    bfloat16: bool = False
    """Whether to compute in bfloat16: faster on GPUs and on CPUs with AMX."""
    validate_every: int = 10
    """Epochs between two validations."""
    seed: int = 0
    """Source of all randomness."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.crop < 32 or self.epoch < 1 or self.validate_every < 1:
            raise ConfigError(
                f"expected at least 1 step, 2 crops of 32 px in a batch and a step between checkpoints, got "
                f"{self.steps} steps, {self.batch} crops of {self.crop} px, {self.epoch} steps between checkpoints"
            )

    @property
    def read_side(self) -> int:
        """Side of crops that can be turned, in pixels."""
        return crop_side(self.crop)

    @property
    def stages(self) -> dict[str, int]:
        """Steps of each stage."""
        if self.method != "both":
            return {self.method: self.steps}
        n_distilled = min(self.steps, max(1, round(self.distilled * self.steps)))
        return {"distill": n_distilled, "simclr": self.steps - n_distilled}


@dataclass(frozen=True, slots=True)
class Material:
    """What a trunk learns from."""

    crops: Crops
    """Of a step, counted over all stages."""
    teacher: Trunk | None = None
    """Whom distillation is from."""
    validate: Callable[[Trunk], Mapping[str, float]] | None = None
    """Judges the trunk in evaluation mode; by class."""


@dataclass(frozen=True, slots=True)
class _Pupil:
    trunk: Trunk
    projector: nn.Module

    def parameters(self) -> Iterator[nn.Parameter]:
        yield from self.trunk.parameters()
        yield from self.projector.parameters()


def pretrain(
    trunk: Trunk,
    material: Material,
    config: PretrainConfig,
    log: EpochLog = NO_LOG,
) -> list[dict[str, Any]]:
    """Train a trunk in place.

    Parameters
    ----------
    trunk : Trunk
        For RGB, with random weights or those that it begins with.
    material : Material
        What to learn from.
    config : PretrainConfig
        How to learn.
    log : EpochLog
        Who hears of epochs, and where to go on.

    Returns
    -------
    list of dict
        The validations: ``stage``, ``step`` counted over all stages, and ``scores`` by class.

    Raises
    ------
    ConfigError
        If there is no teacher to distil from, or the loss is no number.
    """
    if config.method != "simclr" and material.teacher is None:
        raise ConfigError(f"expected a teacher for the method {config.method}, got none: name one with --teacher")
    device = trunk.conv1.weight.device
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        pupil = _Pupil(trunk.requires_grad_(True).train(), make_projector(LAYER_DIMS[2] + LAYER_DIMS[3]).to(device))
    done = dict(log.checkpoint or {"stage": 0, "epoch": 0, "validations": []})
    if log.checkpoint:
        trunk.load_state_dict(done["trunk"])
        pupil.projector.load_state_dict(done["projector"])
    for index in range(done["stage"], len(config.stages)):
        here = done if index == done["stage"] else {"epoch": 0, "validations": done["validations"]}
        done["validations"] = _run(pupil, index, here, (material, config), log)
    trunk.eval().requires_grad_(False)
    return list(done["validations"])


def begin_randomly(seed: int) -> Trunk:
    """Return a trunk for RGB with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        trunk = Trunk()
        nn.init.kaiming_normal_(trunk.conv1.weight, mode="fan_out", nonlinearity="relu")
    return trunk


def _run(
    pupil: _Pupil,
    index: int,
    done: Mapping[str, Any],
    lesson: tuple[Material, PretrainConfig],
    log: EpochLog,
) -> list[dict[str, Any]]:
    """Run the epochs of a stage that are not done."""
    material, config = lesson
    stage, n_steps = list(config.stages.items())[index]
    before = sum(list(config.stages.values())[:index])
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=config.rate, weight_decay=1e-4)
    if "optimizer" in done:
        optimizer.load_state_dict(done["optimizer"])
    validations, n_epochs = list(done["validations"]), -(-n_steps // config.epoch)
    batches = _prefetched(material.crops, range(before + done["epoch"] * config.epoch, before + n_steps))
    for epoch in range(done["epoch"], n_epochs):
        steps = range(epoch * config.epoch, min(n_steps, (epoch + 1) * config.epoch))
        losses = [_step(pupil, optimizer, next(batches), lesson, (index, step)) for step in steps]
        if material.validate and ((epoch + 1) % config.validate_every == 0 or epoch + 1 == n_epochs):
            scores = material.validate(pupil.trunk.eval())
            pupil.trunk.train()
            validations.append({"stage": stage, "step": before + steps.stop, "scores": dict(scores)})
        log.observe(EpochDone(stage, epoch + 1, n_epochs, sum(losses) / len(losses)))
        log.keep(
            {
                "stage": index,
                "epoch": epoch + 1,
                "trunk": pupil.trunk.state_dict(),
                "projector": pupil.projector.state_dict(),
                "optimizer": optimizer.state_dict(),
                "validations": validations,
            }
        )
    return validations


def _step(
    pupil: _Pupil,
    optimizer: torch.optim.Optimizer,
    crops: torch.Tensor,
    lesson: tuple[Material, PretrainConfig],
    at: tuple[int, int],
) -> float:
    material, config = lesson
    stage, n_steps = list(config.stages.items())[at[0]]
    generator = torch.Generator().manual_seed((100 * config.seed + at[0]) * 10_000_000 + at[1])
    progress = at[1] / n_steps
    peak = config.rate * (config.tuning if at[0] else 1.0)
    for group in optimizer.param_groups:
        group["lr"] = _learning_rate(progress, peak)
    device = pupil.trunk.conv1.weight.device
    crops = crops.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
        if stage == "distill":
            assert material.teacher is not None
            images = random_views(crops, config.crop, generator).contiguous(memory_format=torch.channels_last)
            share = _HELP * max(0.0, 1 - progress / _HELP_UNTIL)
            loss, _ = distillation_loss(pupil.trunk, material.teacher, images, share, generator)
        else:
            loss = _contrastive_loss(pupil, crops, config, generator)
    if not torch.isfinite(loss):
        raise ConfigError(f"{stage}, step {at[1]}: expected a finite loss, got {loss.item()}: lower the rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(pupil.parameters(), _MAX_GRADIENT)
    optimizer.step()
    return loss.item()


def _contrastive_loss(
    pupil: _Pupil, crops: torch.Tensor, config: PretrainConfig, generator: torch.Generator
) -> torch.Tensor:
    views = torch.cat([random_views(crops, config.crop, generator, erases=True) for _ in range(2)])
    trunk = pupil.trunk
    images = views.contiguous(memory_format=torch.channels_last)
    middle = trunk.layer2(trunk.layer1(trunk.stem(images)))
    deep = trunk.layer3(middle)
    # A search compares vectors of both layers, so both are to tell crops apart.
    pooled = torch.cat([middle.mean(dim=(2, 3)), deep.mean(dim=(2, 3))], dim=1)
    projections = pupil.projector(pooled)
    return self_supervised_loss(projections[: len(crops)], projections[len(crops) :], config.temperature)


def _prefetched(crops: Crops, steps: range) -> Iterator[torch.Tensor]:
    """Yield the crops of steps in their order, and read those of the next ones meanwhile."""
    pending: deque[Future[torch.Tensor]] = deque()
    ahead = iter(steps)
    with ThreadPoolExecutor(_AHEAD) as pool:
        try:
            for _ in steps:
                while len(pending) < _AHEAD and (step := next(ahead, None)) is not None:
                    pending.append(pool.submit(crops, step))
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()


def _learning_rate(progress: float, peak: float) -> float:
    """One cycle: up, then down along a cosine."""
    if progress < _WARM_UP:
        return peak * (0.05 + 0.95 * progress / _WARM_UP)
    return peak * (0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) + 1e-3)
