"""Training of trunks without labels."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch

from simsearch.errors import ConfigError
from simsearch.training.distillation import distillation_loss
from simsearch.training.epochs import EpochDone, EpochLog
from simsearch.training.pretrain import Material, PretrainConfig, begin_randomly, pretrain

if TYPE_CHECKING:
    from simsearch.nn.trunk import Trunk

TINY = {"steps": 5, "batch": 4, "crop": 48, "epoch": 2, "validate_every": 2}


def crops(step: int) -> torch.Tensor:
    """Give spots of random size at random places."""
    rng = torch.Generator().manual_seed(step)
    y, x, radius = torch.rand(3, 4, 1, 1, generator=rng)
    at = torch.linspace(0, 1, 68)
    spots = ((at[:, None] - y) ** 2 + (at - x) ** 2 < (0.1 + 0.2 * radius) ** 2).float()
    return spots[:, None].expand(-1, 3, -1, -1) * torch.rand(4, 3, 1, 1, generator=rng)


@pytest.fixture(scope="module")
def teacher() -> Trunk:
    return begin_randomly(7).eval().requires_grad_(False)


def train(config: PretrainConfig, teacher: Trunk | None, checkpoint: dict[str, Any] | None = None) -> dict[str, Any]:
    """Train, and tell all that came of it."""
    trunk, kept, events = begin_randomly(config.seed), [], []
    material = Material(crops, teacher, lambda trunk: {"spot": float(trunk.bn1.running_mean.sum())})
    log = EpochLog(events.append, lambda content: kept.append(copy.deepcopy(content)), checkpoint)
    validations = pretrain(trunk, material, config, log)
    return {"state": trunk.state_dict(), "validations": validations, "kept": kept, "events": events}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_both_distils_first_and_goes_on_from_any_checkpoint(teacher: Trunk) -> None:
    config = PretrainConfig(method="both", **TINY)  # type: ignore[arg-type]
    assert config.stages == {"distill": 4, "simclr": 1}
    whole = train(config, teacher)
    assert [(e.stage, e.epoch, e.n_epochs) for e in whole["events"]] == [
        ("distill", 1, 2), ("distill", 2, 2), ("simclr", 1, 1),
    ]  # fmt: skip
    assert [(each["stage"], each["step"]) for each in whole["validations"]] == [("distill", 4), ("simclr", 5)]
    assert not same(whole["kept"][1]["trunk"], whole["state"])
    for n_done, checkpoint in enumerate(whole["kept"], start=1):
        resumed = train(config, teacher, checkpoint)
        assert same(resumed["state"], whole["state"])
        assert resumed["validations"] == whole["validations"]
        assert [e.loss for e in resumed["events"]] == [e.loss for e in whole["events"][n_done:]]


def test_another_seed_gives_another_trunk(teacher: Trunk) -> None:
    config = PretrainConfig(method="simclr", **{**TINY, "steps": 1})  # type: ignore[arg-type]
    other = PretrainConfig(method="simclr", **{**TINY, "steps": 1}, seed=1)  # type: ignore[arg-type]
    assert same(train(config, None)["state"], train(config, None)["state"])
    assert not same(train(config, None)["state"], train(other, None)["state"])


def test_a_student_comes_nearer_to_its_teacher(teacher: Trunk) -> None:
    held_out, rng = crops(1000), torch.Generator().manual_seed(0)
    student = begin_randomly(0)
    with torch.no_grad():
        before, _ = distillation_loss(student.eval(), teacher, held_out, 0.0, rng)
    events: list[EpochDone] = []
    config = PretrainConfig(method="distill", steps=30, batch=4, crop=48, epoch=30)
    pretrain(student, Material(crops, teacher), config, EpochLog(events.append))
    with torch.no_grad():
        after, cosines = distillation_loss(student, teacher, held_out, 0.0, rng)
    assert after < 0.8 * before
    assert cosines[0] > 0.5


def test_a_teacher_is_no_nearer_to_anybody_than_to_itself(teacher: Trunk) -> None:
    loss, cosines = distillation_loss(teacher, teacher, crops(0), 0.0, torch.Generator())
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert cosines.tolist() == pytest.approx([1, 1, 1])


def test_the_teachers_features_replace_all_or_none(teacher: Trunk) -> None:
    """With all inputs from the teacher, a student that differs in its stem alone gives what the teacher gives."""
    student = copy.deepcopy(teacher)
    torch.nn.init.zeros_(student.conv1.weight)
    helped, _ = distillation_loss(student, teacher, crops(0), 1.0, torch.Generator())
    alone, _ = distillation_loss(student, teacher, crops(0), 0.0, torch.Generator())
    assert helped.item() == pytest.approx(0, abs=1e-5)
    assert alone > 1


def test_distillation_needs_a_teacher() -> None:
    with pytest.raises(ConfigError, match="expected a teacher for the method distill, got none"):
        pretrain(begin_randomly(0), Material(crops), PretrainConfig(method="distill", steps=1))


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    material = Material(lambda step: crops(step) * torch.nan)
    with pytest.raises(ConfigError, match="simclr, step 0: expected a finite loss, got nan: lower the rate"):
        pretrain(begin_randomly(0), material, PretrainConfig(steps=1, crop=48))


def test_what_fails_to_be_read_ends_the_training() -> None:
    def fail(step: int) -> torch.Tensor:
        if step == 1:
            raise OSError("gone")
        return crops(step)

    with pytest.raises(OSError, match="gone"):
        pretrain(begin_randomly(0), Material(fail), PretrainConfig(steps=3, crop=48))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 1}, {"crop": 16}, {"epoch": 0}])
def test_schedules_that_train_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected at least 1 step"):
        PretrainConfig(**wrong)  # type: ignore[arg-type]
