"""Objects of one class that touch: how many are found, and where, by how peaks are told apart.

    python benchmarks/touching.py discs --radii 12 16 20
    python benchmarks/touching.py bccd nuclei

Models are trained by `train_study` after a simulated user has curated; then each rule of telling peaks apart looks at
the same maps of log odds. A rule is the radius of the window in which there is one peak of a class, in grid steps, the
distance within which objects compete, as a part of the patch's shorter side, and how often a peak moves to where an
`OffsetHead` says that the middle of its object is. ``--judge test`` is for the very end.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import expit, logit

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from benchmarks.bccd import read_split
from benchmarks.offset_head import REACH, fit_offsets
from benchmarks.people_sets import read_set
from simsearch.core.accuracy.metrics import match, precision_recall
from simsearch.core.feature_grid import from_level0
from simsearch.core.peaks import strongest
from simsearch.core.tiles import Region
from simsearch.curation.state import clean_objects
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.io.tables.truth import TrueObject
from simsearch.nn.augment import crop_side
from simsearch.nn.model_file import model_from_bytes
from simsearch.nn.peaks import find_peaks
from simsearch.runtime import open_cluster
from simsearch.runtime.views import framed_maps, read_pixels
from simsearch.training.recipe import Schedule
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import StudyOptions, create_study, open_study, read_curation, study_images
from simsearch.workflows.find.model_views import model_view
from simsearch.workflows.find.peaks import peaks_of
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn import train
from simsearch.workflows.learn.train import TrainOptions, train_study

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from benchmarks.judges import Split
    from simsearch.core.boxes import Box
    from simsearch.curation.state import Patch
    from simsearch.nn.classifier import PatchClassifier
    from simsearch.nn.model_file import ModelHeader
    from simsearch.runtime import Client
    from simsearch.runtime.views import View

    Floats = NDArray[np.float64]

_DATA = Path(os.environ.get("SIMSEARCH_DATA", Path(__file__).parents[2] / "shared/data"))
_SCRATCH = Path(__file__).parent / "scratch" / "touching"
GAPS = (-0.1, 0.0, 0.1, 0.25, 0.5)
"""Between two discs, as a part of their diameter; overlapping where negative."""
_SIDE = 480
_PATCH, _RBC_PATCH = 48, 96
_N_TRAIN, _N_JUDGED, _N_DISPLAYED = 6, 10, 8
_FLOOR, _CONFIDENCE = 1e-4, 0.5
_HALF_A_MINUTE = replace(
    train.BRIEF,
    clean=Schedule(3, 32, decay_every=2, decay=0.1, n_patches=128),
    classifier=Schedule(8, 32, decay_every=5, decay=0.1, n_patches=128),
)
RULES = ((3, 0.5, 0), (2, 0.5, 0), (1, 0.5, 0), (1, 0.4, 0), (1, 0.33, 0), (1, 0.4, 1), (1, 0.4, 2))
"""The first is what simsearch did before, (1, 0.4, 0) what it does."""

Rule = tuple[int, float, int]
_WIDEST = max(radius for radius, *_ in RULES)


@dataclass(frozen=True, slots=True)
class Group:
    """Discs that touch, or one alone."""

    gap: float | None
    centres: Floats


@dataclass(frozen=True, slots=True)
class Picture:
    """An image to judge on: log odds of the class on the grid, and what is there."""

    name: str
    maps: NDArray[np.float32]
    """(1, H + 2 m, W + 2 m), m being the largest radius of the rules; -inf outside."""
    offsets: NDArray[np.float32]
    """(2, H, W) grid steps to the middle of an object."""
    groups: Sequence[Group]


def plant(rng: np.random.Generator, radius: float, n_groups: int = 26) -> tuple[NDArray[np.uint8], list[Group]]:
    """Draw discs, alone, in pairs and in clusters, and say where they are."""
    groups: list[Group] = []
    while len(groups) < n_groups and rng.random() > 1e-3:
        gap = rng.choice(GAPS) if rng.random() > 0.2 else None
        n = 1 if gap is None else int(rng.choice([2, 2, 3, 4]))
        centres = [rng.uniform(1.5 * _PATCH / 2, _SIDE - 1.5 * _PATCH / 2, 2)]
        for _ in range(200):
            if len(centres) == n:
                break
            angle, at = rng.uniform(0, 2 * np.pi), centres[rng.integers(len(centres))]
            new = at + 2 * radius * (1 + (gap or 0.0)) * np.array([np.sin(angle), np.cos(angle)])
            apart = min(np.hypot(*(new - other)) for other in centres)
            if apart > 2 * radius * (1 + (gap or 0.0)) * 0.999 and np.all((new > _PATCH / 2) & (new < _SIDE - 24)):
                centres.append(new)
        others = np.concatenate([np.empty((0, 2)), *(group.centres for group in groups)])
        far = all(np.hypot(*(others - centre).T).min(initial=np.inf) > 2 * radius + _PATCH / 2 for centre in centres)
        if far and len(centres) == n:
            groups.append(Group(gap, np.array(centres)))
    return _draw(rng, radius, np.concatenate([group.centres for group in groups])), groups


def _draw(rng: np.random.Generator, radius: float, centres: Floats) -> NDArray[np.uint8]:
    y, x = np.mgrid[:_SIDE, :_SIDE]
    image = 40 + 10 * gaussian_filter(rng.standard_normal((_SIDE, _SIDE)), 12) * 12
    for centre in centres:
        distance = np.hypot(y - centre[0], x - centre[1])
        inside = np.clip(radius + 0.5 - distance, 0, 1)
        brightness = rng.uniform(110, 150) * (1 - 0.35 * np.clip(distance / radius, 0, 1) ** 2)
        image = image * (1 - inside) + brightness * inside
    noisy: Floats = gaussian_filter(image, 0.8) + rng.normal(0, 6, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    n = len(pixels)
    template = ImageTemplate(
        n, pixels.shape[1:], "uint8", ("R", "G", "B")[:n], ("FF0000", "00FF00", "0000FF")[:n], shard=512, n_levels=1
    )
    create_image(path, template)
    write_region(path, 0, Region(0, pixels.shape[1], 0, pixels.shape[2]), pixels)
    finish_image(path, template)
    return path


def _train(
    client: Client, folder: Path, images: Sequence[Path], truth: Sequence[TrueObject], name: str, side: float
) -> Path:
    display = tuple(path.name.removesuffix(".ome.zarr") for path in images)
    study = create_study(folder / "study", images, StudyOptions(display=display))
    curation = simulate_curation(client, study, truth, Behaviour((name,), (side, side)))
    return train_study(client, study, curation, TrainOptions(selflearn=False)).model


def _pictures(
    folder: Path, model_path: Path, judged: Mapping[Path, Sequence[Group]], name: str
) -> list[tuple[Picture, View]]:
    model, header = model_from_bytes(model_path.read_bytes())
    head = fit_offsets(model, _crops(folder, model, header, name))

    def maps_of(found: torch.Tensor) -> torch.Tensor:
        return torch.cat([model.log_odds_maps(found)[1:], head.maps(found)])

    pictures = []
    for image, groups in judged.items():
        (meta,) = find_image_set([image])
        view = model_view(meta, header, "")
        cut, (height, width) = view.peak_radius, view.grid_shape
        maps = framed_maps(model.trunk, view, Region(0, height, 0, width), maps_of)[:, cut:-cut, cut:-cut].numpy()
        framed = np.pad(maps[:1], ((0, 0), (_WIDEST, _WIDEST), (_WIDEST, _WIDEST)), constant_values=-np.inf)
        pictures.append((Picture(meta.name, framed, maps[1:], groups), view))
    return pictures


def _crops(folder: Path, model: PatchClassifier, header: ModelHeader, name: str) -> torch.Tensor:
    """Read the objects that a model was trained on, with room to shift them."""
    study = open_study(folder / "study")
    views = {image.name: model_view(image, header, "") for image in study_images(study)}
    side = crop_side(max(model.input_shape))

    def crop(at: Patch) -> torch.Tensor:
        top, left = (int(from_level0(each, header.downsampling) + 0.5) - side // 2 for each in (at.y, at.x))
        return read_pixels(views[at.image], Region(top, top + side, left, left + side))

    of_class = read_curation(study)[0].state.roi_class(name)
    return torch.stack([crop(at) for at in clean_objects(of_class, header.patch_shapes[0])])


def _found(picture: Picture, view: View, rule: Rule, side: float) -> tuple[Floats, Floats]:
    """Return the places and the confidences of objects."""
    radius, fraction, n_moves = rule
    cut = _WIDEST - radius
    values = picture.maps[0, cut : picture.maps.shape[1] - cut, cut : picture.maps.shape[2] - cut]
    peaks = find_peaks(values, radius, float(logit(_FLOOR)))
    for _ in range(n_moves):
        at = np.clip(np.round(peaks[:, :2]), 0, np.array(picture.offsets.shape[1:]) - 1).astype(int)
        peaks[:, :2] = at + picture.offsets[:, *at.T].T
    table = np.column_stack([np.zeros(len(peaks)), peaks])
    table[:, 3] = expit(table[:, 3])
    columns = peaks_of(table, view, ("object",), ((side, side),))
    points = np.stack([columns.y, columns.x], axis=1)
    kept = strongest(points, columns.score, fraction * side)
    return points[kept], columns.score[kept]


def judge(pictures: Sequence[tuple[Picture, View]], rule: Rule, side: float, reach: float) -> dict[str, float]:
    """Return count bias by gap and in all, median error of centres in px, and average precision."""
    hits, scores, errors, n_true, n_high = [], [], [], [], 0
    by_gap: dict[float | None, list[int]] = {}
    for picture, view in pictures:
        points, confidences = _found(picture, view, rule, side)
        centres = np.concatenate([group.centres for group in picture.groups]).reshape(-1, 2)
        hits.append(match(points, confidences, centres, reach))
        scores.append(confidences)
        n_true.append(len(centres))
        high = points[confidences >= _CONFIDENCE]
        n_high += len(high)
        if not len(centres):
            continue
        distances = np.hypot(*(high[:, None] - centres[None]).transpose(2, 0, 1))
        nearest = distances.argmin(axis=1) if len(high) else np.empty(0, int)
        errors += [d for d in (distances.min(axis=1) if len(high) else ()) if d < reach]
        owner = np.repeat(np.arange(len(picture.groups)), [len(g.centres) for g in picture.groups])
        for index, group in enumerate(picture.groups):
            counts = by_gap.setdefault(group.gap, [0, 0])
            counts[0] += int(sum(owner[nearest] == index))
            counts[1] += len(group.centres)
    curve = precision_recall(hits, scores, sum(n_true))
    result = {"count": n_high / sum(n_true), "px": float(np.median(errors)), "AP": curve.average_precision}
    if len(by_gap) > 1:
        result |= {
            ("alone" if gap is None else f"gap {gap:g}"): a / b
            for gap, (a, b) in sorted(by_gap.items(), key=lambda item: -9 if item[0] is None else item[0])
        }
    return result


def discs(client: Client, radius: int) -> list[tuple[Picture, View]]:
    """Train on discs of a radius, and compute the maps of others."""
    folder = _SCRATCH / f"discs-{radius}"
    rng = np.random.default_rng(radius)
    planted = [plant(rng, radius) for _ in range(_N_TRAIN + _N_JUDGED)]
    paths = [_save(folder / f"d{i}.ome.zarr", pixels[None]) for i, (pixels, _) in enumerate(planted)]
    truth = [
        TrueObject(f"d{i}", "disc", y, x)
        for i, (_, groups) in enumerate(planted[:_N_TRAIN])
        for group in groups
        for y, x in group.centres
    ]
    model = folder / "model.safetensors"
    if not model.exists():
        model.write_bytes(_train(client, folder, paths[:_N_TRAIN], truth, "disc", _PATCH).read_bytes())
    judged = dict(list(zip(paths, (groups for _, groups in planted), strict=True))[_N_TRAIN:])
    return _pictures(folder, model, judged, "disc")


def bccd(client: Client, split: str, n_images: int) -> list[tuple[Picture, View]]:
    """Train on red blood cells of the training split, and compute the maps of another."""
    folder = _SCRATCH / "bccd"
    learned = read_split(_DATA / "bccd", "train")[:_N_DISPLAYED]
    judged_smears = read_split(_DATA / "bccd", split)[:n_images]
    paths = [_save(folder / f"{smear.name}.ome.zarr", smear.pixels) for smear in (*learned, *judged_smears)]
    truth = [TrueObject(s.name, "RBC", b.y, b.x) for s in learned for b in s.boxes if b.class_name == "RBC"]
    model = folder / "model.safetensors"
    if not model.exists():
        model.write_bytes(_train(client, folder, paths[:_N_DISPLAYED], truth, "RBC", _RBC_PATCH).read_bytes())
    groups = [[_alone(smear.boxes, "RBC")] for smear in judged_smears]
    judged = dict(zip(paths[_N_DISPLAYED:], groups, strict=True))
    return _pictures(folder, model, judged, "RBC")


def nuclei(client: Client, split: Split) -> tuple[list[tuple[Picture, View]], float]:
    """Train on fluorescence nuclei, and compute the maps of other images; and tell the side of a patch."""
    folder, images = _SCRATCH / "nuclei", read_set(client, _DATA, _SCRATCH, "fluorescence", split)
    ((name, side),) = images.sides.items()
    names = {path.name.removesuffix(".ome.zarr") for path in images.trained[:_N_DISPLAYED]}
    truth = [each for each in images.truth if each.image in names]
    model = folder / "model.safetensors"
    if not model.exists():
        model.write_bytes(_train(client, folder, images.trained[:_N_DISPLAYED], truth, name, side).read_bytes())
    groups = images.judged_objects()
    judged = {path: [_alone(groups[path.name.removesuffix(".ome.zarr")], name)] for path in images.judged}
    return _pictures(folder, model, judged, name), side


def _alone(objects: Iterable[Box | TrueObject], name: str) -> Group:
    return Group(None, np.array([(each.y, each.x) for each in objects if each.class_name == name]).reshape(-1, 2))


def show(title: str, pictures: Sequence[tuple[Picture, View]], side: float, reach: float) -> None:
    """Print a table, a rule a line."""
    for number, rule in enumerate(RULES):
        result = judge(pictures, rule, side, reach)
        if not number:
            print(f"\n{title}\n| window, steps | distance | moves | {' | '.join(result)} |")
            print(f"|{' --- |' * (len(result) + 3)}")
        values = " | ".join(f"{value:.3f}" for value in result.values())
        print(f"| {rule[0]} | {rule[1]:g} | {rule[2]} | {values} |", flush=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["discs", "bccd", "nuclei"])
    parser.add_argument("--radii", nargs="+", type=int, default=[12, 16, 20])
    parser.add_argument("--judge", default="val", choices=["val", "test"])
    parser.add_argument("--images", type=int, default=40, help="of BCCD to judge on")
    parser.add_argument("--brief", action="store_true", help="train for half a minute")
    options = parser.parse_args()
    if options.brief:
        train.BRIEF = _HALF_A_MINUTE
    torch.set_num_threads(2)
    with open_cluster("threads:1") as client:
        for radius in options.radii if "discs" in options.what else ():
            title = f"Discs of radius {radius}, patch {_PATCH} px: found / true, error of centres, average precision"
            show(title, discs(client, radius), _PATCH, min(radius, REACH * _PATCH))
        if "bccd" in options.what:
            title = f"BCCD, RBC, patch {_RBC_PATCH} px, {options.images} images of {options.judge}"
            show(title, bccd(client, options.judge, options.images), _RBC_PATCH, REACH * _RBC_PATCH)
        if "nuclei" in options.what:
            pictures, side = nuclei(client, options.judge)
            show(f"Fluorescence nuclei, patch {side:g} px, {options.judge}", pictures, side, REACH * side)


if __name__ == "__main__":
    main()
