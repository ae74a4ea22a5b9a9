"""Image sets for whole studies: several classes in one, with what is there."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.bccd import read_split
from benchmarks.judges import CELLS, Judge, Scene, Split, read_judges
from benchmarks.search_accuracy import PATCHES
from simsearch.core.boxes import Box
from simsearch.core.synthetic import cell_field
from simsearch.curation.state import Patch
from simsearch.io.tables.truth import TrueObject
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.curation.state import Curation
    from simsearch.runtime import Client

DISTANCE = 0.3
"""Of a patch: what is found nearer than this is the object (paper section 3.3)."""
DRAWN = {"GFP in cytoplasm": "CytoplasmicGFP", "GFP in nucleus": "NuclearGFP", "no GFP": "NoGFP"}
"""Kinds of synthetic cells, by the names of the real ones."""
_N_DISPLAYED, _N_TRAINED, _N_JUDGED, _N_ENOUGH, _CELL = 8, 40, 24, 7, 48.0


@dataclass(frozen=True, slots=True)
class StudySet:
    """Images to curate and learn from, others to judge on, and what is known of both."""

    sides: Mapping[str, float]
    """Classes, and the side of the square patch of each in level-0 pixels."""
    trained: Sequence[Path]
    """Images of the study."""
    truth: Sequence[TrueObject]
    """Objects on them."""
    judged: Sequence[Path]
    """Images that are judged on."""
    judged_truth: Sequence[TrueObject]
    """Objects on these."""
    is_complete: bool = True
    """Whether all objects are labelled: a place without one is then of no class."""
    is_sorted: bool = False
    """Whether labelled objects are judged by how sure one is of their class, since others have no label."""
    shown: tuple[str, ...] = ()
    """Names of displayed images, where they are not drawn."""
    _by_image: dict[str, list[TrueObject]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for each in self.truth:
            self._by_image[each.image].append(each)

    def displayed(self, draw: int) -> tuple[str, ...]:
        """Draw images to display, so that each class has objects enough on them."""
        if self.shown:
            return self.shown
        chance, names = random.Random(draw), sorted(self._by_image)
        while True:
            chosen = sorted(chance.sample(names, min(_N_DISPLAYED, len(names))))
            shown = [each for name in chosen for each in self._by_image[name]]
            if all(sum(o.class_name == name for o in shown) > _N_ENOUGH for name in self.sides):
                return tuple(chosen)

    def prototypes(self, name: str, curation: Curation, draw: int, n: int) -> list[Patch]:
        """Draw objects of a class that lie wholly inside their images."""
        side, of_class = (
            self.sides[name],
            [each for image in curation.displayed for each in self._by_image[image] if each.class_name == name],
        )
        whole = [o for o in of_class if Box(o.image, name, o.y, o.x, side, side).is_inside(curation.shapes[o.image])]
        return [Patch.at(o.image, o.y, o.x) for o in random.Random(f"{name} {draw}").sample(whole, n)]

    def truth_at(self, class_name: str, place: Patch) -> str | None:
        """Tell of which class a place is; of none (an empty word), or None where that is not known."""
        distances = [(np.hypot(o.y - place.y, o.x - place.x), o.class_name) for o in self._by_image[place.image]]
        near = [(gap, name) for gap, name in distances if gap < DISTANCE * self.sides[name]]
        if class_name in {name for _, name in near}:
            return class_name
        if near:
            return min(near)[1]
        return "" if self.is_complete else None

    def judged_objects(self) -> dict[str, list[TrueObject]]:
        """Return the objects of each judged image, also of those without any."""
        found: dict[str, list[TrueObject]] = {path.name.removesuffix(".ome.zarr"): [] for path in self.judged}
        for each in self.judged_truth:
            found[each.image].append(each)
        return found


def read_set(client: Client, data: Path, scratch: Path, name: str, split: Split) -> StudySet:
    """Read a set, and convert its images where that was not done."""
    return SETS[name](client, data, scratch / "images" / f"{name}-{split}", split)


def _blood(client: Client, data: Path, folder: Path, split: Split) -> StudySet:
    trained, judged = read_split(data / "bccd", "train")[:_N_TRAINED], read_split(data / "bccd", split)[:_N_JUDGED]
    pixels = [{each.name: each.pixels for each in smears} for smears in (trained, judged)]
    truth = [[TrueObject(b.image, b.class_name, b.y, b.x) for each in s for b in each.boxes] for s in (trained, judged)]
    paths = [_converted(client, each, folder) for each in pixels]
    return StudySet(PATCHES, paths[0], truth[0], paths[1], truth[1], is_complete=False)


def _judged(prefix: str, client: Client, data: Path, folder: Path, split: Split) -> StudySet:
    """Take the images of judges of one kind, each of which knows one class."""
    judges = {j.name.removeprefix(prefix): j for j in read_judges(data, split) if j.name.startswith(prefix)}
    sides = {name: float(judge.side) for name, judge in judges.items()}
    trained, judged = (
        {name: scenes_of(judge)[:n] for name, judge in judges.items()}
        for n, scenes_of in ((_N_TRAINED, _drawn), (_N_JUDGED, _found))
    )
    paths, truth = zip(*(_scenes(client, scenes, folder) for scenes in (trained, judged)), strict=True)
    return StudySet(sides, paths[0], truth[0], paths[1], truth[1])


def _scenes(client: Client, scenes: Mapping[str, Sequence[Scene]], folder: Path) -> tuple[list[Path], list[TrueObject]]:
    """Take the images of classes, which all have the same, and the objects of each class on them."""
    pixels = {scene.name: scene.pixels for scene in next(iter(scenes.values()))}
    truth = [TrueObject(s.name, name, y, x) for name, each in scenes.items() for s in each for y, x in s.centres]
    return _converted(client, pixels, folder), truth


def _drawn(judge: Judge) -> tuple[Scene, ...]:
    return judge.drawn


def _found(judge: Judge) -> tuple[Scene, ...]:
    return judge.judged


def _cells(client: Client, data: Path, folder: Path, split: Split) -> StudySet:
    """Take a row of wells to learn from and another to judge; drawn cells of the same kinds to choose by."""
    return _drawn_fields(client, folder) if split == "val" else _labelled_wells(client, data / "bbbc013", folder)


def _drawn_fields(client: Client, folder: Path) -> StudySet:
    fields = {f"{seed:02}": cell_field(np.random.default_rng(seed), (512, 512), n_cells=60) for seed in range(16)}
    paths = _converted(client, {name: each.image for name, each in fields.items()}, folder)
    truth = [[TrueObject(name, DRAWN[c.class_name], c.y, c.x) for c in each.cells] for name, each in fields.items()]
    n = _N_DISPLAYED + 2
    kept, others = (list(chain.from_iterable(part)) for part in (truth[:n], truth[n:]))
    return StudySet(dict.fromkeys(CELLS, _CELL), paths[:n], kept, paths[n:], others)


def _labelled_wells(client: Client, data: Path, folder: Path) -> StudySet:
    with (data / "cells_piximi.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in CELLS]
    truth = [TrueObject(row["well"], row["label"], float(row["cy"]), float(row["cx"])) for row in rows]
    kept, others = ([o for o in truth if o.image.startswith(row)] for row in "AB")
    trained, judged = (_converted(client, _wells(data / "images", row), folder) for row in "AB")
    labelled = {f"{each.image}.ome.zarr" for each in others}
    judged = [path for path in judged if path.name in labelled]
    shown = tuple(sorted({each.image for each in kept}))
    sides = dict.fromkeys(CELLS, _CELL)
    return StudySet(sides, trained, kept, judged, others, is_complete=False, is_sorted=True, shown=shown)


def _wells(folder: Path, row: str) -> dict[str, NDArray[np.uint8]]:
    """Read the wells of a row: GFP and DNA."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob(f"Channel*-{row}-*")):
        files[f"{row}{path.stem.rpartition('-')[2]}"].append(path)
    return {
        well: np.stack([np.asarray(Image.open(path).convert("L")) for path in paths]) for well, paths in files.items()
    }


def _converted(client: Client, pixels: Mapping[str, NDArray[np.generic]], folder: Path) -> list[Path]:
    """Write images as OME-Zarr, those that are not there."""
    paths = [folder / f"{name}.ome.zarr" for name in pixels]
    if not all((path / "zarr.json").exists() for path in paths):
        raw = folder / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for name, each in pixels.items():
            np.save(raw / f"{name}.npy", each)
        channels = {3: ("Red", "Green", "Blue"), 2: ("GFP", "DNA"), 1: ("grey",)}[len(next(iter(pixels.values())))]
        options = ConvertOptions(channel_names=channels, overwrite=True)
        convert(client, [raw / f"{name}.npy" for name in pixels], folder, options)
    return paths


SETS: dict[str, Callable[[Client, Path, Path, Split], StudySet]] = {
    "blood": _blood,
    "fluorescence": partial(_judged, "fluorescence: "),
    "tissue": partial(_judged, "tissue: "),
    "cells": _cells,
}
"""What may be asked for."""
