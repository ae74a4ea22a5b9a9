"""Image sets with known objects, which judge trunks and what a search does with them.

Each comes in two splits. ``test`` decides what is reported: no trunk was trained on it, or it is said in RESULTS.md
which was. ``val`` is what choices are made by.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.bccd import read_split
from benchmarks.held_back import TISSUE_TILES, is_held_back, is_reported_on
from benchmarks.micrographs import SIDES, micrograph
from benchmarks.search_accuracy import PATCHES
from simsearch.core.synthetic import cell_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Split = Literal["test", "val"]
Task = Literal["search", "retrieval"]

_TISSUE = {"test": (("34_3", "799_2"), TISSUE_TILES), "val": (("34_3",), ("799_2",))}
"""Tiles that prototypes are drawn from, and those that are judged: both of the latter have nuclei of both kinds."""
_NUCLEI = {"DAB-positive nuclei": 0, "negative nuclei": 2}  # channel of the ground truth
CELLS = ("CytoplasmicGFP", "NuclearGFP", "NoGFP")
"""Kinds of cells by where their GFP is."""
_SMALLEST_NUCLEUS = 30  # pixels: less is a rest beside a boundary


@dataclass(frozen=True, slots=True)
class Scene:
    """An image with objects of one class, and for retrieval also of others."""

    name: str
    pixels: NDArray[np.generic]
    """(C, H, W)"""
    centres: NDArray[np.float64]
    """(N, 2) y and x of the objects of the class."""
    others: NDArray[np.float64]
    """(M, 2) y and x of other objects; without any for searches."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A question to a trunk: where objects like these are."""

    name: str
    task: Task
    """search: peaks against centres. retrieval: labelled objects in the order of their similarity."""
    side: int
    """Of the square patch in level-0 pixels."""
    drawn: tuple[Scene, ...]
    """Where prototypes are drawn from."""
    judged: tuple[Scene, ...]
    """Where they are looked for; the same scenes for retrieval, where prototypes themselves do not count."""


def read_mixed(data: Path, split: Split) -> Iterator[Judge]:
    """Read judges whose class is of two kinds of cells that look different: the question is to find both."""
    for name in CELLS:
        yield _cells(data, name, is_all_but=True) if split == "test" else _drawn_cells(name, is_all_but=True)


def draw_micrographs(split: Split) -> Iterator[Judge]:
    """Draw judges like sections in an electron microscope, in good and in faint contrast; of each an organelle."""
    rng = np.random.default_rng({"val": 55, "test": 56}[split])
    for title, contrast in (("micrographs", 0.7), ("faint micrographs", 0.25)):
        drawn = [micrograph(rng, 512, contrast=contrast) for _ in range(8)]
        for kind, side in SIDES.items():
            scenes = [Scene(str(i), each.image[None], each.centres[kind], _NONE) for i, each in enumerate(drawn)]
            yield Judge(f"{title}: {kind}", "search", side, tuple(scenes[:3]), tuple(scenes[3:]))


def read_judges(data: Path, split: Split, n_images: int = 0) -> Iterator[Judge]:
    """Read the judges of a split one after the other; with `n_images`, each with at most so many judged images."""
    makers: list[Callable[[], Judge]] = [partial(_blood, data, split, name) for name in PATCHES]
    makers.append(partial(_fluorescence, data, split))
    makers += [partial(_tissue, data, split, name) for name in _NUCLEI if split == "test" or "negative" in name]
    makers += [partial(_cells, data, name) if split == "test" else partial(_drawn_cells, name) for name in CELLS]
    for make in makers:
        judge = make()
        if n_images and judge.task == "search":
            judge = Judge(judge.name, judge.task, judge.side, judge.drawn, judge.judged[:n_images])
        yield judge


def _blood(data: Path, split: Split, class_name: str) -> Judge:
    def scenes(of: str) -> tuple[Scene, ...]:
        return tuple(
            Scene(each.name, each.pixels, _points((b.y, b.x) for b in each.boxes if b.class_name == class_name), _NONE)
            for each in read_split(data / "bccd", of)
        )

    return Judge(f"blood: {class_name}", "search", PATCHES[class_name], scenes("train"), scenes(split))


def _fluorescence(data: Path, split: Split) -> Judge:
    """Take images of one size, in which nuclei are about 15 px wide: elsewhere they are of any size."""
    folder = data / "dsb2018_fluorescence"
    centres: dict[str, list[tuple[float, float]]] = {}
    with (folder / "nuclei.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if (row["width"], row["height"]) == ("256", "256") and (folder / "images" / row["image"]).exists():
                centres.setdefault(row["image"], []).append((float(row["cy"]), float(row["cx"])))

    def scene(name: str) -> Scene:
        grey = np.asarray(Image.open(folder / "images" / name).convert("L"))
        return Scene(name, grey[None], _points(centres[name]), _NONE)

    names = sorted(centres)
    judged = [name for name in names if is_held_back(name) and is_reported_on(name) == (split == "test")]
    others = [name for name in names if not is_held_back(name)]
    return Judge("fluorescence: nuclei", "search", 32, tuple(map(scene, others)), tuple(map(scene, judged)))


def _tissue(data: Path, split: Split, class_name: str) -> Judge:
    def scene(name: str) -> Scene:
        folder = data / "ihc_dab"
        pixels = np.asarray(Image.open(folder / f"deepliif_tiles/{name}.png").convert("RGB")).transpose(2, 0, 1)
        truth = np.asarray(Image.open(folder / f"deepliif_groundtruth/{name}.png").convert("RGB"))
        inside = (truth[..., _NUCLEI[class_name]] > 128) & (truth[..., 1] < 128)
        labels, n_found = ndimage.label(inside)
        kept = [i for i in range(1, n_found + 1) if np.count_nonzero(labels == i) >= _SMALLEST_NUCLEUS]
        return Scene(name, pixels, _points(ndimage.center_of_mass(inside, labels, kept)), _NONE)

    drawn, judged = (tuple(map(scene, names)) for names in _TISSUE[split])
    return Judge(f"tissue: {class_name}", "search", 48, drawn, judged)


def _cells(data: Path, class_name: str, is_all_but: bool = False) -> Judge:
    folder = data / "bbbc013"
    with (folder / "cells_piximi.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "Unknown"]
    scenes = []
    for well in sorted({row["well"] for row in rows}):
        here = [row for row in rows if row["well"] == well]
        files = [(folder / "images" / here[0][key]).with_suffix(".png") for key in ("image_gfp", "image_dna")]
        pixels = np.stack([np.asarray(Image.open(path).convert("L")) for path in files])
        is_of = {row["cell"]: (row["label"] == class_name) != is_all_but for row in here}
        points = {row["cell"]: (float(row["cy"]), float(row["cx"])) for row in here}
        scenes.append(_sorted_scene(well, pixels, list(points.values()), list(is_of.values())))
    return Judge(f"translocation: {_title(class_name, is_all_but)}", "retrieval", 48, tuple(scenes), tuple(scenes))


def _drawn_cells(class_name: str, is_all_but: bool = False) -> Judge:
    """Synthetic cells of the same three kinds, by which choices are made."""
    rng = np.random.default_rng(77)
    names = {"CytoplasmicGFP": "GFP in cytoplasm", "NuclearGFP": "GFP in nucleus", "NoGFP": "no GFP"}
    scenes = []
    for index in range(4):
        field = cell_field(rng, (512, 512), n_cells=60)
        is_of = [(cell.class_name == names[class_name]) != is_all_but for cell in field.cells]
        scenes.append(_sorted_scene(str(index), field.image, [(c.y, c.x) for c in field.cells], is_of))
    return Judge(f"drawn cells: {_title(class_name, is_all_but)}", "retrieval", 48, tuple(scenes), tuple(scenes))


def _title(class_name: str, is_all_but: bool) -> str:
    return f"all but {class_name}" if is_all_but else class_name


def _sorted_scene(
    name: str, pixels: NDArray[np.generic], points: Sequence[tuple[float, float]], is_of: Sequence[bool]
) -> Scene:
    pairs = list(zip(points, is_of, strict=True))
    return Scene(name, pixels, _points(p for p, of in pairs if of), _points(p for p, of in pairs if not of))


def _points(points: Iterator[tuple[float, float]] | Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    return np.array(list(points), np.float64).reshape(-1, 2)


_NONE = np.empty((0, 2))
