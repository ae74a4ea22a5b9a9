"""The paper's training in three stages (section 2.4): self-supervised, supervised contrastive, classifier.

All randomness of an epoch comes from the seed, the stage and the epoch, so that a run that goes on after a kill
ends with the same bytes as one that was never stopped. BatchNorm keeps its pretrained statistics: those of a few
patches from a few images would replace what it knows of all images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from simsearch.errors import ConfigError
from simsearch.nn.augment import self_supervised_view, supervised_view
from simsearch.nn.losses import make_projector, self_supervised_loss, supervised_loss
from simsearch.training.epochs import NO_LOG, EpochDone, EpochLog
from simsearch.training.patches import LabelledPatches, TrainingPatches, oversampled
from simsearch.training.views import Layers, Views, frozen_middle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torchvision.transforms import v2

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.nn.device import Arithmetic


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
    arithmetic: Arithmetic = "float32",
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
    arithmetic : {'float32', 'bfloat16'}
        What the trunk computes with; weights are float32.

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
        model.confine()
        projector = make_projector(model.extractor.dim).to(patches.clean.crops.device)
    _freeze(model)
    done = dict(log.checkpoint or {"stage": 0, "epoch": 0})
    if log.checkpoint:
        model.load_state_dict(done["model"])
        projector.load_state_dict(done["projector"])
    for index, stage in enumerate(_Lesson(model, projector, patches, config, log, arithmetic).stages()):
        if index < done["stage"]:
            continue
        _run(stage, index, done if index == done["stage"] else {"epoch": 0}, (model, projector), config, log)
    model.eval().requires_grad_(False)


@dataclass(frozen=True)
class _Lesson:
    """What is learned from, as views."""

    model: PatchClassifier
    projector: nn.Module
    patches: TrainingPatches
    config: TrainingConfig
    log: EpochLog
    arithmetic: Arithmetic

    def stages(self) -> Iterable[_Stage]:
        """List the stages; nothing is computed yet."""
        contrastive, config = nn.ModuleList([self.model.trunk.layer3, self.projector]), self.config
        if len(self.patches.noisy) > 1:
            yield _Stage("noisy", config.noisy, contrastive, _noisy_losses(self))
        yield _Stage("clean", config.clean, contrastive, _clean_losses(self))
        yield _Stage("classifier", config.classifier, self.model.head, _classifier_losses(self))

    @cached_property
    def noisy(self) -> Views:
        """Views of noisy patches."""
        return self._views(self.patches.noisy.crops, self_supervised_view(self.model.input_shape))

    @cached_property
    def supervised(self) -> Views:
        """Views of clean patches, of background beside objects, and of negatives, in this order."""
        crops = torch.cat([each.crops for each in (self.patches.with_beside, self.patches.negatives)])
        return self._views(crops, supervised_view(self.model.input_shape))

    def blocks(self, middle: torch.Tensor) -> torch.Tensor:
        """Pass what layer2 gave through layer3, and return the vectors of patches."""
        is_short = self.arithmetic == "bfloat16"
        middle = middle.contiguous(memory_format=torch.channels_last)  # as the layers are: a sixth faster
        with torch.autocast(middle.device.type, torch.bfloat16, enabled=is_short):
            deep = self.model.trunk.layer3(middle if is_short else middle.float())
        return self.model.blocks_of(middle, deep)

    def project(self, middle: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return what contrastive losses compare, of patches of some classes."""
        projected: torch.Tensor = self.projector(self.model.embed(self.blocks(middle), labels))
        return projected

    @cached_property
    def _middle(self) -> Layers:
        return frozen_middle(self.model.trunk, self.arithmetic)

    def _views(self, crops: torch.Tensor, augment: v2.Transform) -> Views:
        return Views(crops, augment, self._middle)


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


def _noisy_losses(lesson: _Lesson) -> Losses:
    labels, config = lesson.patches.noisy.labels, lesson.config

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for indices in _batches(lesson.patches.noisy, config.noisy, generator):
            drawn = [lesson.noisy.draw(indices) for _ in range(2)]
            first, second = (lesson.project(middle, labels[indices]) for middle in drawn)
            yield self_supervised_loss(first, second, config.noisy_temperature)

    return losses


def _clean_losses(lesson: _Lesson) -> Losses:
    clean, negatives, config = lesson.patches.clean, lesson.patches.negatives, lesson.config
    before_negatives = len(lesson.patches.with_beside)

    def project(indices: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return lesson.project(lesson.supervised.draw(indices), labels)

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for indices in _batches(clean, config.clean, generator):
            # Two views of each, so that no class is without a positive.
            labels = clean.labels[indices].repeat(2)
            projections = project(indices.repeat(2), labels)
            if config.use_negatives and len(negatives):
                drawn = oversampled(negatives.labels, min(config.clean.batch, len(negatives)), generator)
                flagged = negatives.labels[drawn]
                against = (project(before_negatives + drawn, flagged), flagged)
                yield supervised_loss(projections, labels, *against, temperature=config.clean_temperature)
            else:
                yield supervised_loss(projections, labels, temperature=config.clean_temperature)

    return losses


def _classifier_losses(lesson: _Lesson) -> Losses:
    patches, schedule = lesson.patches.with_beside, lesson.config.classifier
    blocks = lesson.supervised.through(torch.no_grad()(lesson.blocks))

    def losses(generator: torch.Generator) -> Iterator[torch.Tensor]:
        for indices in _batches(patches, schedule, generator):
            yield functional.cross_entropy(lesson.model.logits(blocks.draw(indices)), patches.labels[indices])

    return losses


def _batches(patches: LabelledPatches, schedule: Schedule, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield indices of the patches of an epoch, all classes equally likely, in batches of nearly the same size."""
    n_drawn = max(schedule.n_patches or len(patches), 2)
    order = oversampled(patches.labels, n_drawn, generator, patches.weights)
    yield from order.tensor_split(-(-len(order) // schedule.batch))


def _initialise(head: nn.Conv2d) -> None:
    nn.init.normal_(head.weight, std=0.01)
    assert head.bias is not None
    nn.init.zeros_(head.bias)


def _freeze(model: PatchClassifier) -> None:
    """Let only layer3 and the head learn (section 2.4.1)."""
    model.eval().requires_grad_(False)
    model.trunk.layer3.requires_grad_(True)
    model.head.requires_grad_(True)
