"""Go on distilling a trunk until it is its teacher on images of any kind: block by block, with frozen statistics.

What differs from `benchmarks.distill_trunk`, whose development images are half of what it sees: the other half is
drawn anew all the time (`benchmarks.procedural`); crops are mixed, faint, blurred and noisy; every residual block is
compared, each crop in units of its own variation, so that faint crops count as much as others; and BatchNorm
normalises by statistics that no longer change, since those of a batch of so many kinds are another function every
time. It follows the clock: the rate has come down when the minutes are over, however busy the machine is.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.distill_trunk import Pool, make_pool, read_images, sample_batch
from benchmarks.natural_steps import NaturalSteps
from benchmarks.procedural import draw
from benchmarks.unseen import nearness, unseen_crops
from simsearch.io.places import write_whole
from simsearch.nn.augment import crop_side, random_views
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes, trunk_to_bytes, write_trunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.nn.trunk import Trunk

_DRAWN, _DRAWN_SIDE, _DRAWN_FOR = 500, 288, 400  # images drawn at a time, their side, and for how many steps
_KNOWN_SPANS, _DRAWN_SPANS = (90.0, 640.0), (90.0, 288.0)
"""Of crops in pixels; what is seen of one is 35 to 70 % as wide."""
_WARM_UP = 0.02
_HELP, _HELP_UNTIL = 0.5, 0.7  # share of crops with the teacher's inputs at first, and until when there are any
_FLOOR = 0.2  # of a crop's own variation, in units of the batch's: what is flat has nothing to tell
_STEM = 0.5
_BLOCKS = {"layer1.0": 0.5, "layer1.1": 1.0, "layer2.0": 1.0, "layer2.1": 3.0, "layer3.0": 0.5, "layer3.1": 1.0}
"""How much each residual block counts: searches compare what layer2 gives."""
_MAX_GRADIENT = 1.0
_DEEP_DAMPING = 0.3  # of layer3, whose second moments are of fewer windows than they have rows
_SMALLEST_GAIN = 0.01  # of a BatchNorm that a convolution is divided by


def block_loss(
    student: Trunk, teacher: Trunk, images: torch.Tensor, share: float, generator: torch.Generator
) -> torch.Tensor:
    """Pass images through both trunks and compare them block by block.

    Parameters
    ----------
    student, teacher : Trunk
        Both in evaluation mode.
    images : (N, 3, H, W) tensor
        Intensities in [0, 1].
    share : float
        Share of the images of which a block of the student gets the teacher's features as input.
    generator : torch.Generator
        Chooses them; on the CPU.
    """
    with torch.no_grad():
        right = teacher.stem(images)
    left = student.stem(images)
    total = _STEM * _difference(left, right)
    for name, weight in _BLOCKS.items():
        is_helped = (torch.rand(len(images), 1, 1, 1, generator=generator) < share).to(images.device)
        left = student.get_submodule(name)(torch.where(is_helped, right.to(left.dtype), left))
        with torch.no_grad():
            right = teacher.get_submodule(name)(right)
        total = total + weight * _difference(left, right)
    return total


def _difference(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Error of each image in units of its own variation, and one minus the mean cosine."""
    student, teacher = student.float(), teacher.float()
    error = (student - teacher).square().mean(dim=(1, 2, 3))
    own = teacher.var(dim=(2, 3)).mean(dim=1)
    relative = (error / (own + _FLOOR * own.mean()).clamp_min(1e-12) + 1e-6).sqrt().mean()  # none outweighs all others
    return relative + 1 - functional.cosine_similarity(student, teacher, dim=1).mean()


def disturbed(crops: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mix, blur, fade and grey crops at random; the teacher sees the same.

    Parameters
    ----------
    crops : (N, 3, S, S) tensor
        Intensities in [0, 1].
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    (N, 3, S, S) tensor
    """
    n, crops = len(crops), crops.clone()

    def some(share: float) -> torch.Tensor:
        return torch.nonzero(torch.rand(n, generator=generator) < share)[:, 0]

    def scale(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return (math.log(low) + math.log(high / low) * torch.rand(len(like), 1, 1, 1, generator=generator)).exp()

    at = some(0.2)
    crops[at] = torch.lerp(crops[at], crops[(at + 1) % n], torch.rand(len(at), 1, 1, 1, generator=generator))
    at = some(0.06)
    crops[at] *= crops[(at + 1) % n]
    at = some(0.35)
    crops[at] = crops[at].mean(dim=1, keepdim=True)
    for width in (3, 5):
        at = some(0.12)
        crops[at] = functional.avg_pool2d(crops[at], width, 1, width // 2, count_include_pad=False)
    at = some(0.25)
    crops[at] = crops[at].clamp(0, 1) ** scale(at, 0.4, 2.0)
    at = some(0.4)
    middle, new = crops[at].mean(dim=(1, 2, 3), keepdim=True), torch.rand(len(at), 1, 1, 1, generator=generator)
    target = torch.where(torch.rand(len(at), 1, 1, 1, generator=generator) < 0.5, middle, 0.15 + 0.7 * new)
    crops[at] = target + scale(at, 0.08, 1.0) * (crops[at] - middle)
    return crops.clamp(0, 1)


def noisy(views: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add noise to four of ten views: of each pixel or of grains, in grey or in colours, more where it is bright."""
    n = len(views)
    strength = (math.log(0.01) + math.log(20.0) * torch.rand(n, 1, 1, 1, generator=generator)).exp()
    strength = strength * (torch.rand(n, 1, 1, 1, generator=generator) < 0.4)
    noise = torch.randn(views.shape, generator=generator)
    noise = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.7, noise[:, :1], noise)
    grains = 3 * functional.avg_pool2d(noise, 3, 1, 1)
    noise = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.3, grains, noise)
    counted = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.5, views.clamp_min(0.02).sqrt(), 1.0)
    return (views + strength * counted * noise).clamp(0, 1)


@lru_cache(maxsize=2)
def _drawn(epoch: int) -> Pool:
    images = [draw(np.random.default_rng((epoch, index)), _DRAWN_SIDE) for index in range(_DRAWN)]
    return make_pool({"procedural": images}, torch.device("cpu"))


def make_views(pool: Pool, step: int, batch: int, crop: int) -> torch.Tensor:
    """Return the (batch, 3, crop, crop) images of a step: half of the pool, half drawn."""
    generator, side = torch.Generator().manual_seed(step), crop_side(crop)
    known = sample_batch(pool, batch // 2, side, (0, step), _KNOWN_SPANS)
    drawn = sample_batch(_drawn(step // _DRAWN_FOR), batch - batch // 2, side, (1, step), _DRAWN_SPANS)
    views = disturbed(random_views(torch.cat([known, drawn]), crop, generator), generator)
    return noisy(views, generator).contiguous(memory_format=torch.channels_last)


def rate_at(progress: float, peak: float) -> float:
    """Return the learning rate: up, then down along a cosine to nothing."""
    if progress < _WARM_UP:
        return peak * (0.05 + 0.95 * progress / _WARM_UP)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - _WARM_UP) / (1 - _WARM_UP)))) + 1e-3 * peak


class Optimizers(NamedTuple):
    """What changes the student."""

    natural: NaturalSteps
    plain: torch.optim.Optimizer | None
    """Of layer3 while what comes before it changes: its second moments take long to invert."""


def folded(trunk: Trunk, layers: Sequence[str] = ("conv1", "bn1", "layer1", "layer2")) -> Trunk:
    """Fold the BatchNorms of some layers into convolutions with a bias: what is trained has no other scale."""
    whole = fused(copy.deepcopy(trunk))
    for name in layers:
        setattr(trunk, name, getattr(whole, name))
    return trunk


@torch.no_grad()
def unfolded(trained: Trunk, begun: Trunk) -> Trunk:
    """Give what was folded and trained the BatchNorm statistics that it began with: the same function.

    Parameters
    ----------
    trained : Trunk
        From `folded`.
    begun : Trunk
        What it was before; it is changed.
    """
    for name, norm in _norms(begun).items():
        source, target = trained.get_submodule(name), begun.get_submodule(name)
        assert isinstance(source, nn.Conv2d)
        assert isinstance(target, nn.Conv2d)
        if source.bias is None:
            continue
        norm.weight.copy_(torch.where(norm.weight.abs() < _SMALLEST_GAIN, _SMALLEST_GAIN, norm.weight))
        variance, middle = (getattr(norm, each) for each in ("running_var", "running_mean"))
        gain = norm.weight / (variance + norm.eps).sqrt()
        target.weight.copy_(source.weight / gain[:, None, None, None])
        norm.bias.copy_(source.bias + gain * middle)
    if isinstance(trained.get_submodule("layer3.0.bn1"), nn.BatchNorm2d):  # it was not folded
        begun.layer3.load_state_dict(trained.layer3.state_dict())
    return begun


def _norms(trunk: Trunk) -> dict[str, nn.BatchNorm2d]:
    """Return the BatchNorm behind each convolution."""
    pairs = {"conv1": "bn1"}
    for block in _BLOCKS:
        pairs |= {f"{block}.conv1": f"{block}.bn1", f"{block}.conv2": f"{block}.bn2"}
    pairs |= {f"{layer}.0.downsample.0": f"{layer}.0.downsample.1" for layer in ("layer2", "layer3")}
    found = {name: trunk.get_submodule(norm) for name, norm in pairs.items()}
    return {name: norm for name, norm in found.items() if isinstance(norm, nn.BatchNorm2d)}


def _begin(trunk: Trunk, options: argparse.Namespace) -> tuple[Trunk, Optimizers]:
    """Choose what is trained: all, or layer3 alone, which leaves all before it as it is to the last bit."""
    if options.deep:
        student = folded(trunk, ["layer3"]).to(memory_format=torch.channels_last).requires_grad_(False)
        student.layer3.requires_grad_(True)
        return student, Optimizers(
            NaturalSteps(dict(student.layer3.named_modules()), options.rate, _DEEP_DAMPING), None
        )
    student = folded(trunk).to(memory_format=torch.channels_last).requires_grad_(True)
    early = {name: module for name, module in student.named_modules() if not name.startswith("layer3")}
    plain = torch.optim.AdamW(student.layer3.parameters(), lr=options.deep_rate, betas=(0.9, 0.99), weight_decay=0.0)
    return student, Optimizers(NaturalSteps(early, options.rate), plain)


def refine(options: argparse.Namespace) -> None:
    """Train until the minutes are over; goes on from a checkpoint, with the optimizers' memory of steps lost."""
    teacher = fused(trunk_from_bytes(read_trunk(options.teacher), 3)).to(memory_format=torch.channels_last)
    first = read_trunk(options.begin)
    student, optimizers = _begin(trunk_from_bytes(first, 3), options)
    pool = make_pool(read_images(options.data), torch.device("cpu"))
    watched = unseen_crops(options.data, options.more)
    kept, step, spent = options.out.with_suffix(".checkpoint.pt"), 0, 0.0
    if kept.exists():
        checkpoint = torch.load(kept, weights_only=True)
        student.load_state_dict(checkpoint["trunk"])
        step, spent = checkpoint["step"], checkpoint["spent"]
    began, losses, budget = time.monotonic() - spent, [], 60 * options.minutes
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(make_views, pool, step, options.batch, options.crop)
        while (spent := time.monotonic() - began) < budget:
            views = following.result()
            following = ahead.submit(make_views, pool, step + 1, options.batch, options.crop)
            optimizers.natural.rate = rate_at(spent / budget, options.rate)
            for group in optimizers.plain.param_groups if optimizers.plain else []:
                group["lr"] = rate_at(spent / budget, options.deep_rate)
            losses.append(_step(student, teacher, optimizers, views, (step, spent / budget)))
            step += 1
            if step % options.every == 0:
                content = {"trunk": student.state_dict(), "step": step, "spent": time.monotonic() - began}
                torch.save(content, kept.with_suffix(".partial"))
                kept.with_suffix(".partial").replace(kept)
                _tell(student, teacher, watched, {"step": step, "minutes": spent / 60, "loss": float(np.mean(losses))})
                losses = []
    blob = trunk_to_bytes(unfolded(student, trunk_from_bytes(first, 3)), "refine_trunk")
    _tell(trunk_from_bytes(blob, 3), teacher, watched, {"step": step})
    print(json.dumps({"sha256": write_trunk(blob, options.out, write_whole)}), flush=True)


def _step(student: Trunk, teacher: Trunk, optimizers: Optimizers, views: torch.Tensor, at: tuple[int, float]) -> float:
    step, progress = at
    share = _HELP * max(0.0, 1 - progress / _HELP_UNTIL)
    with torch.autocast("cpu", torch.bfloat16):
        loss = block_loss(student, teacher, views, share, torch.Generator().manual_seed(step))
    student.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.layer3.parameters(), _MAX_GRADIENT)
    for each in optimizers:
        if each is not None:
            each.step()
    return float(loss.item())


def _tell(student: Trunk, teacher: Trunk, watched: dict[str, torch.Tensor], facts: dict[str, float]) -> None:
    found = {kind: nearness(student, teacher, crops[:1]) for kind, crops in watched.items()}
    line = {key: round(float(value), 4) for key, value in facts.items()}
    print(json.dumps({**line, **{kind: [round(v, 4) for v in row] for kind, row in found.items()}}), flush=True)


def main() -> None:
    """Read options, and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--begin", default="bundled")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--crop", type=int, default=96, help="side of what the network sees in pixels")
    parser.add_argument("--rate", type=float, default=0.03, help="share by which a step changes what a layer gives")
    parser.add_argument("--deep", action="store_true", help="train layer3 alone")
    parser.add_argument("--deep-rate", type=float, default=5e-4, help="of layer3, by AdamW")
    parser.add_argument("--every", type=int, default=200, help="steps between two checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--more", type=Path, help="a folder of PNG images to watch the features on; not trained on")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    refine(options)


if __name__ == "__main__":
    main()
