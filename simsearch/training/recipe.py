"""The paper's training in three stages (section 2.4): self-supervised, supervised contrastive, classifier.

All randomness of an epoch comes from the seed, the stage and the epoch, so that a run that goes on after a kill
ends with the same bytes as one that was never stopped. BatchNorm keeps its pretrained statistics: those of a few
patches from a few images would replace what it knows of all images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from simsearch.errors import ConfigError
from simsearch.nn.augment import apply_each, self_supervised_view, supervised_view
from simsearch.nn.losses import make_projector, self_supervised_loss, supervised_loss
from simsearch.training.epochs import NO_LOG, EpochDone, EpochLog
from simsearch.training.patches import LabelledPatches, TrainingPatches, oversampled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simsearch.nn.classifier import PatchClassifier


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a stage learns."""

    epochs: int
    """Passes over the patches; 0 leaves the stage out."""
    batch: int
    """Patches at a time."""
    decay_every: int
    """Epochs after which the learning rate falls."""
    decay: float
    """What it is multiplied with."""
    rate: float = 1e-3
    """Learning rate of Adam."""
    n_patches: int | None = None
    """Patches drawn in an epoch; by default as many as there are."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a model is trained. The defaults are the paper's (section 3.4), but for weight averaging."""

    noisy: Schedule = field(default_factory=lambda: Schedule(100, 128, decay_every=50, decay=0.05))
    """Self-supervised training on noisy patches."""
    clean: Schedule = field(default_factory=lambda: Schedule(50, 32, decay_every=25, decay=0.1))
    """Supervised contrastive training on clean patches."""
    classifier: Schedule = field(default_factory=lambda: Schedule(50, 32, decay_every=25, decay=0.1))
    """Training of the head on the frozen trunk; the paper gives no numbers."""
    noisy_temperature: float = 0.5
    """Temperature of equation 1."""
    clean_temperature: float = 0.07
    """Temperature of equations 2 to 4."""
    use_negatives: bool = True
    """Whether the user's negatives enter the denominator (equation 3)."""
    averaging: float = 0.98
    """Weights are averaged over steps with this decay, which steadies what a fixed number of steps ends with;
    0 takes the last weights, as the paper does."""
    seed: int = 0
    """Source of all randomness."""


Losses = Callable[[torch.Generator], Iterator[torch.Tensor]]


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    schedule: Schedule
    learned: nn.Module
    losses: Losses  # of the steps of one epoch


def train(
    model: PatchClassifier,
    patches: TrainingPatches,
    config: TrainingConfig,
    log: EpochLog = NO_LOG,
) -> None:
    """Train a classifier in place.

    Parameters
    ----------
    model : PatchClassifier
        With a pretrained trunk.
    patches : TrainingPatches
        What to learn from.
    config : TrainingConfig
        How to learn.
    log : EpochLog
        Who hears of epochs, and where to go on.

    Raises
    ------
    ConfigError
        If there are no clean patches of two classes.
    """
    if len(patches.clean.labels.unique()) < 2:
        raise ConfigError("expected clean patches of at least two classes (background is one), got fewer: mark more")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        _initialise(model.head)
        projector = make_projector(model.extractor.dim).to(patches.clean.crops.device)
    _freeze(model)
    done = dict(log.checkpoint or {"stage": 0, "epoch": 0})
    if log.checkpoint:
        model.load_state_dict(done["model"])
        projector.load_state_dict(done["projector"])
    for index, stage in enumerate(_stages(model, projector, patches, config)):
        if index < done["stage"]:
            continue
        _run(stage, index, done if index == done["stage"] else {"epoch": 0}, (model, projector), config, log)
    model.eval().requires_grad_(False)


def _stages(
    model: PatchClassifier, projector: nn.Module, patches: TrainingPatches, config: TrainingConfig
) -> Iterable[_Stage]:
    contrastive = nn.ModuleList([model.trunk.layer3, projector])
    if len(patches.noisy) > 1:
        yield _Stage("noisy", config.noisy, contrastive, _noisy_losses(model, projector, patches.noisy, config))
    yield _Stage("clean", config.clean, contrastive, _clean_losses(model, projector, patches, config))
    yield _Stage("classifier", config.classifier, model.head, _classifier_losses(model, _with_beside(patches), config))


def _with_beside(patches: TrainingPatches) -> LabelledPatches:
    clean, beside = patches.clean, patches.beside
    if beside is None:
        return clean
    return LabelledPatches(torch.cat([clean.crops, beside.crops]), torch.cat([clean.labels, beside.labels]))


def _run(
    stage: _Stage,
    index: int,
    done: Mapping[str, Any],
    modules: tuple[PatchClassifier, nn.Module],
    config: TrainingConfig,
    log: EpochLog,
) -> None:
    """Run the epochs of a stage that are not done, then replace its weights by their average."""
    schedule = stage.schedule
    optimizer = torch.optim.Adam(stage.learned.parameters(), lr=schedule.rate)
    averaged = AveragedModel(stage.learned, multi_avg_fn=get_ema_multi_avg_fn(config.averaging))
    if "optimizer" in done:
        optimizer.load_state_dict(done["optimizer"])
        averaged.load_state_dict(done["averaged"])
    for epoch in range(done["epoch"], schedule.epochs):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * schedule.decay ** (epoch // schedule.decay_every)
        losses = _epoch(stage, optimizer, averaged, seed=(100 * config.seed + index) * 10_000 + epoch)
        log.observe(EpochDone(stage.name, epoch + 1, schedule.epochs, sum(losses) / len(losses)))
        model, projector = modules
        log.keep(
            {
                "stage": index,
                "epoch": epoch + 1,
                "model": model.state_dict(),
                "projector": projector.state_dict(),
                "optimizer": optimizer.state_dict(),
                "averaged": averaged.state_dict(),
            }
        )
    if config.averaging and schedule.epochs:
        stage.learned.load_state_dict(averaged.module.state_dict())


def _epoch(stage: _Stage, optimizer: torch.optim.Optimizer, averaged: AveragedModel, seed: int) -> list[float]:
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # of the augmentations
        for loss in stage.losses(torch.Generator().manual_seed(seed)):
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            averaged.update_parameters(stage.learned)
            losses.append(loss.item())
    return losses


def _noisy_losses(
    model: PatchClassifier, projector: nn.Module, patches: LabelledPatches, config: TrainingConfig
) -> Losses:
    view = self_supervised_view(model.input_shape)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for batch in _batches(patches, config.noisy, generator):
            views = [projector(model.embed(model.blocks(apply_each(view, batch.crops)))) for _ in range(2)]
            yield self_supervised_loss(views[0], views[1], config.noisy_temperature)

    return losses


def _clean_losses(
    model: PatchClassifier, projector: nn.Module, patches: TrainingPatches, config: TrainingConfig
) -> Losses:
    view = supervised_view(model.input_shape)

    def project(crops: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = projector(model.embed(model.blocks(apply_each(view, crops))))
        return projected

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for batch in _batches(patches.clean, config.clean, generator):
            # Two views of each, so that no class is without a positive.
            projections, labels = project(batch.crops.repeat(2, 1, 1, 1)), batch.labels.repeat(2)
            if config.use_negatives and len(patches.negatives):
                n_drawn = min(config.clean.batch, len(patches.negatives))
                drawn = patches.negatives.drawn(oversampled(patches.negatives.labels, n_drawn, generator))
                against = (project(drawn.crops), drawn.labels)
                yield supervised_loss(projections, labels, *against, temperature=config.clean_temperature)
            else:
                yield supervised_loss(projections, labels, temperature=config.clean_temperature)

    return losses


def _classifier_losses(model: PatchClassifier, patches: LabelledPatches, config: TrainingConfig) -> Losses:
    view = supervised_view(model.input_shape)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for batch in _batches(patches, config.classifier, generator):
            with torch.no_grad():
                blocks = model.blocks(apply_each(view, batch.crops))
            yield functional.cross_entropy(model.logits(blocks), batch.labels)

    return losses


def _batches(patches: LabelledPatches, schedule: Schedule, generator: torch.Generator) -> Iterator[LabelledPatches]:
    """Yield the patches of an epoch, all classes equally likely, in batches of nearly the same size."""
    order = oversampled(patches.labels, max(schedule.n_patches or len(patches), 2), generator)
    for indices in order.tensor_split(-(-len(order) // schedule.batch)):
        yield patches.drawn(indices)


def _initialise(head: nn.Conv2d) -> None:
    nn.init.normal_(head.weight, std=0.01)
    assert head.bias is not None
    nn.init.zeros_(head.bias)


def _freeze(model: PatchClassifier) -> None:
    """Let only layer3 and the head learn (section 2.4.1)."""
    model.eval().requires_grad_(False)
    model.trunk.layer3.requires_grad_(True)
    model.head.requires_grad_(True)
