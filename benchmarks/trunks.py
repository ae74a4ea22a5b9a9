"""Ways to search, and trunks, side by side: same images, same draws of prototypes, one line of results for each.

``results.jsonl`` gets a line for each trunk, judge and variant; what has one is not computed again, so that a run can
be stopped at any time and goes on.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import safetensors.torch
import torch

from benchmarks.judges import Judge, Scene, Split, draw_micrographs, read_judges, read_mixed
from benchmarks.variants import Variant, fit_space, similarity_map
from simsearch.core.accuracy.metrics import match, precision_recall
from simsearch.core.feature_grid import from_level0, to_level0, working_downsampling
from simsearch.core.intensity import IMAGE_PERCENTILES, Range, pool_range, rescale
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.nn.extractor import Extractor
from simsearch.nn.peaks import find_peaks
from simsearch.nn.trunk import Trunk, fused
from simsearch.nn.trunk_file import expected_shapes, read_trunk, trunk_from_bytes
from simsearch.training.judging import blocks_at, feature_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Judges = Literal["own", "mixed", "micrographs"]
N_PROTOTYPES = 5
_DISTANCE = 0.3  # of the patch: a peak nearer than this finds an object (paper section 3.3)
_NEIGHBOURS = 1  # grid steps around a labelled object in which its similarity is the highest


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    split: Split = "test"
    n_images: int = 0
    """Judged images of each search; 0 for all."""
    n_draws: int = 10
    """How often prototypes are drawn."""
    judges: Judges = "own"
    """own: those of the split. mixed: classes of two kinds that look different. micrographs: drawn, of no kind that
    trunks were trained on."""

    @property
    def key(self) -> str:
        """Name the plan in results."""
        return f"{self.split}-{self.judges if self.judges != 'own' else self.n_images or 'all'}-{self.n_draws}"


QUICK = Plan(n_images=12, n_draws=3)


def run(data: Path, plan: Plan, trunks: Mapping[str, bytes], variants: Sequence[Variant], results: Path) -> None:
    """Measure what has no line yet: all trunks on one judge before the next."""
    done = {_key(line) for line in read_results(results)}
    for judge in _judges(data, plan):
        for name, blob in trunks.items():
            digest = hashlib.sha256(blob).hexdigest()[:12]
            line = {"plan": plan.key, "judge": judge.name, "trunk": name, "digest": digest}
            missing = [v for v in variants if _key({**line, "variant": str(v)}) not in done]
            with torch.inference_mode():
                for variant, precisions in _measure(blob, judge, missing, plan.n_draws):
                    with results.open("a") as file:
                        file.write(json.dumps({**line, "variant": str(variant), "precisions": precisions}) + "\n")
            print(f"{judge.name}, {name}: {len(missing)} measured", flush=True)


def _judges(data: Path, plan: Plan) -> Iterator[Judge]:
    if plan.judges == "mixed":
        return read_mixed(data, plan.split)
    return read_judges(data, plan.split, plan.n_images) if plan.judges == "own" else draw_micrographs(plan.split)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the lines of earlier runs; one that was cut short is not there."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def load_trunks(choices: Sequence[str]) -> dict[str, bytes]:
    """Read trunks by their names: bundled, imagenet, random or files; NAME=FILE gives a file another name."""
    named = name_trunks(choices).items()
    return {name: random_trunk() if path == "random" else read_trunk(path) for name, path in named}


def name_trunks(choices: Sequence[str]) -> dict[str, str]:
    """Tell the names of trunks, and which they are.

    Examples
    --------
    >>> name_trunks(["bundled", "runs/a.safetensors", "b=runs/a.safetensors"])
    {'bundled': 'bundled', 'a': 'runs/a.safetensors', 'b': 'runs/a.safetensors'}
    """
    parts = [choice.rpartition("=") for choice in choices]
    return {name or Path(path).stem: path for name, _, path in parts}


def random_trunk() -> bytes:
    """Make a trunk with random weights, and BatchNorm statistics of noise at many scales."""
    torch.manual_seed(0)
    trunk = Trunk().train()
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # statistics are those of all that passes
    noise = [torch.nn.functional.interpolate(torch.rand(8, 3, n, n), 128, mode="bilinear") for n in (4, 8, 16, 32, 64)]
    with torch.no_grad():
        trunk(torch.cat(noise))
    return safetensors.torch.save({k: v for k, v in trunk.state_dict().items() if k in expected_shapes()})


def _key(line: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(line[name] for name in ("plan", "judge", "digest", "variant"))


def _measure(
    blob: bytes, judge: Judge, variants: Sequence[Variant], n_draws: int
) -> Iterator[tuple[Variant, list[float]]]:
    """Compute features once for each level, and judge all variants that see them."""
    trunk = fused(trunk_from_bytes(blob, len(judge.judged[0].pixels))).to(memory_format=torch.channels_last)
    for finer in sorted({variant.finer for variant in variants}):
        seen = _see(trunk, judge, finer)
        if seen is None:
            continue  # patches would be too small, or pixels finer than the image's
        for variant in variants:
            if variant.finer == finer:
                space = fit_space(seen.maps, variant)
                maps = [space(m) for m in seen.maps]
                precisions = []
                for draw in range(n_draws):
                    picks = picks_of(judge, draw)
                    blocks = [space(block) for block in seen.blocks(picks)]
                    found = [similarity_map(m, blocks, variant).numpy() for m in maps]
                    precisions.append(average_precision(judge, seen, found, picks))
                yield variant, precisions


class Seen:
    """A judge's images as a trunk sees them at one downsampling."""

    def __init__(self, trunk: Trunk, judge: Judge, downsampling: int | None = None) -> None:
        downsampling = downsampling or working_downsampling((judge.side, judge.side))
        side = judge.side // downsampling
        self.extractor = Extractor("template", (side, side), layers=(1, 2, 3), is_centred=True, is_exact=False)
        self.downsampling = downsampling
        self._trunk, self._judge = trunk, judge
        self._ranges = _ranges(judge.judged)
        self._blocks: dict[tuple[int, int], list[torch.Tensor]] = {}
        self._others: dict[str, torch.Tensor] = {}
        views = [_view(scene, self._ranges, downsampling) for scene in judge.judged]
        self.maps = [feature_map(trunk, view, self.extractor) for view in views]

    def blocks(self, picks: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
        """Compute the blocks of prototypes, or return them as computed before."""
        for scene, index in picks:
            if (scene, index) not in self._blocks:
                self._blocks[scene, index] = self._prototype(self._judge.drawn[scene], index)
        return [block for pick in picks for block in self._blocks[pick]]

    def map_of(self, scene: Scene) -> torch.Tensor:
        """Compute the features of another image, or return them as computed before."""
        if scene.name not in self._others:
            view = _view(scene, self._ranges, self.downsampling)
            self._others[scene.name] = feature_map(self._trunk, view, self.extractor)
        return self._others[scene.name]

    def _prototype(self, scene: Scene, index: int) -> list[torch.Tensor]:
        image = _view(scene, self._ranges, self.downsampling)
        y, x = (from_level0(value, self.downsampling) for value in scene.centres[index])
        return blocks_at(self._trunk, image, self.extractor, y, x)


def _see(trunk: Trunk, judge: Judge, finer: int) -> Seen | None:
    downsampling = working_downsampling((judge.side, judge.side))
    downsampling = downsampling // 2 if finer == 1 else downsampling * 2 if finer == -1 else downsampling
    if downsampling < 1 or judge.side // downsampling < 16:
        return None
    return Seen(trunk, judge, downsampling)


def picks_of(judge: Judge, draw: int) -> list[tuple[int, int]]:
    """Draw prototypes among those that lie wholly inside their images."""
    half = judge.side / 2
    whole = [
        (s, i)
        for s, scene in enumerate(judge.drawn)
        for i, (y, x) in enumerate(scene.centres)
        if half <= y <= scene.pixels.shape[1] - half and half <= x <= scene.pixels.shape[2] - half
    ]
    return random.Random(draw).sample(whole, N_PROTOTYPES)


def _ranges(scenes: Sequence[Scene]) -> list[Range]:
    percentiles = np.array(
        [np.percentile(scene.pixels.astype(np.float64), IMAGE_PERCENTILES, axis=(1, 2)).T for scene in scenes]
    )
    return [pool_range(percentiles[:, channel]) for channel in range(percentiles.shape[1])]


def _view(scene: Scene, ranges: Sequence[Range], downsampling: int) -> NDArray[np.float32]:
    pixels = scene.pixels
    while downsampling > 1:
        pixels, downsampling = halved(pixels), downsampling // 2
    return rescale(pixels, ranges)


def average_precision(
    judge: Judge, seen: Seen, found: Sequence[NDArray[np.float32]], picks: Sequence[tuple[int, int]]
) -> float:
    """Judge the similarity that was found in the judged images."""
    if judge.task == "retrieval":
        return _retrieval(judge, seen, found, picks)
    stride, hits, scores = seen.extractor.grid.stride, [], []
    radius = max(1, round(seen.extractor.patch_shape[0] / 2 / stride))
    for scene, values in zip(judge.judged, found, strict=True):
        peaks = find_peaks(np.pad(values, radius, constant_values=-np.inf), radius, floor=-1.0)
        points = np.array([[to_level0(stride * v, seen.downsampling) for v in peak[:2]] for peak in peaks])
        hits.append(match(points.reshape(-1, 2), peaks[:, 2], scene.centres, _DISTANCE * judge.side))
        scores.append(peaks[:, 2])
    return precision_recall(hits, scores, sum(len(scene.centres) for scene in judge.judged)).average_precision


def _retrieval(
    judge: Judge, seen: Seen, found: Sequence[NDArray[np.float32]], picks: Sequence[tuple[int, int]]
) -> float:
    """Sort labelled objects by their similarity; prototypes themselves do not count."""
    stride, hits, scores = seen.extractor.grid.stride, [], []
    for index, (scene, values) in enumerate(zip(judge.judged, found, strict=True)):
        free = [i for i in range(len(scene.centres)) if (index, i) not in picks]
        points = np.concatenate([scene.centres[free], scene.others])
        scores.append(np.array([highest_near(values, point, seen.downsampling, stride) for point in points]))
        hits.append(np.arange(len(points)) < len(free))
    return precision_recall(hits, scores, sum(int(each.sum()) for each in hits)).average_precision


def highest_near(
    values: NDArray[np.float32], point: Sequence[float] | NDArray[np.float64], downsampling: float, stride: float
) -> float:
    """Return a map's highest value at a level-0 point and the grid positions around it."""
    steps = (round(from_level0(v, downsampling) / stride) for v in point)
    y, x = (min(step, n - 1) for step, n in zip(steps, values.shape, strict=True))
    around = values[max(0, y - _NEIGHBOURS) : y + _NEIGHBOURS + 1, max(0, x - _NEIGHBOURS) : x + _NEIGHBOURS + 1]
    return float(around.max())


def print_trunks(lines: Sequence[Mapping[str, Any]], plan: Plan) -> None:
    """Print the average precision of each trunk with the default variant, and its ratio to ImageNet."""
    found = _collected(lines, plan, str(Variant()))
    trunks = list(dict.fromkeys(trunk for trunk, _ in found))
    judges = list(dict.fromkeys(judge for _, judge in found))
    print("| judge | " + " | ".join(trunks) + " |\n| --- |" + " --- |" * len(trunks))
    ratios: dict[str, list[float]] = {trunk: [] for trunk in trunks}
    for judge in judges:
        cells = []
        for trunk in trunks:
            values, best = found.get((trunk, judge)), found.get(("imagenet", judge))
            if values is None:
                cells.append("-")
                continue
            cell = f"{np.mean(values):.3f} +- {np.std(values):.3f}"
            if best is not None:
                ratios[trunk].append(float(np.mean(values) / np.mean(best)))
                cell += f" ({ratios[trunk][-1]:.0%})"
            cells.append(cell)
        print(f"| {judge} | " + " | ".join(cells) + " |")
    means = [f"{np.mean(ratios[trunk]):.1%}" if ratios[trunk] else "-" for trunk in trunks]
    print("| mean ratio to ImageNet | " + " | ".join(means) + " |", flush=True)


def print_variants(lines: Sequence[Mapping[str, Any]], plan: Plan) -> None:
    """Print by how much each variant changes the average precision, for each trunk: over judges that it applies to."""
    default = _collected(lines, plan, str(Variant()))
    trunks = list(dict.fromkeys(trunk for trunk, _ in default))
    print("| variant | judges | " + " | ".join(trunks) + " |\n| --- | --- |" + " --- |" * len(trunks))
    for variant in dict.fromkeys(str(line["variant"]) for line in lines if line["plan"] == plan.key):
        found, cells, n_judges = _collected(lines, plan, variant), [], 0
        for trunk in trunks:
            pairs = [
                (np.mean(v), np.mean(default[key])) for key, v in found.items() if key[0] == trunk and key in default
            ]
            n_judges = max(n_judges, len(pairs))
            after, before = (np.mean([pair[i] for pair in pairs]) if pairs else np.nan for i in range(2))
            cells.append(f"{after:.3f} ({after - before:+.3f})" if pairs else "-")
        print(f"| {variant} | {n_judges} | " + " | ".join(cells) + " |", flush=True)


def _collected(
    lines: Sequence[Mapping[str, Any]], plan: Plan, variant: str
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Collect precisions by trunk and judge; of several measurements, the last."""
    return {
        (str(line["trunk"]), str(line["judge"])): np.array(line["precisions"], np.float64)
        for line in lines
        if line["plan"] == plan.key and line["variant"] == variant
    }
