"""Which trunk finds best: average precision of search peaks, and of retrieval, on images that no trunk may train on.

All trunks are judged with the same images and the same draws of five prototypes, by the template method. A draw that
is in the log is not done again, so the comparison can be run in parts.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from skimage.measure import label, regionprops

from benchmarks.bccd import read_split
from benchmarks.held_back import LABELLED_WELLS, TISSUE_TILES, is_held_back, is_reported_on
from benchmarks.search_accuracy import N_PROTOTYPES, PATCHES, centres, is_whole, ranges_of, view
from simsearch.core.feature_grid import from_level0, working_downsampling
from simsearch.core.intensity import IMAGE_PERCENTILES, pool_range, rescale
from simsearch.core.metrics import precision_recall
from simsearch.nn.extractor import Extractor, make_extractor
from simsearch.nn.similarity import Query, make_query, prototype_maps, similarity_maps
from simsearch.nn.trunk import Trunk, fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes, trunk_label, trunk_to_bytes
from simsearch.training.judging import Annotated, average_precision, blocks_at, feature_map, find_like
from simsearch.training.pretrain import begin_randomly

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_SIDE, _NUCLEUS_SIDE = 48, 32  # of patches around cells and nuclei of tissue, and around fluorescence nuclei, in pixels
_N_DRAWN_FROM = 40  # images of BCCD's training split that prototypes are drawn from
_DISTANCE = 0.3  # of a patch: the paper's three strides (section 3.3)
_SMALLEST_NUCLEUS_PX = 40  # smaller spots of the ground truth are crumbs of a nucleus
SETS = ("RBC", "WBC", "Platelets", "cells", "tissue +", "tissue -", "nuclei")
"""BCCD's classes, BBBC013's labelled cells, DAB-positive and negative nuclei of tissue, fluorescence nuclei."""
Key = tuple[str, str, int, bool]
QUICK = {"images": 12, "cells": 48, "draws": 2}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prototype can be drawn."""

    pixels: NDArray[np.float32]
    """(C, H, W) of its image, intensities in [0, 1]."""
    y: float
    x: float
    class_name: str = ""


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """Images to search in, and where prototypes are drawn; or, without images, labelled places to retrieve."""

    side: int
    """Of the square patch, in pixels."""
    images: tuple[Annotated, ...]
    places: tuple[Place, ...]


def run(data: Path, choices: Sequence[str], names: Sequence[str], n_draws: int, log: Path, *, quick: bool = False
        ) -> Iterator[tuple[str, str, list[float]]]:  # fmt: skip
    """Judge trunks, one set after the other.

    Parameters
    ----------
    data : Path
        Folder of development data.
    choices : sequence of str
        bundled, imagenet, random or files.
    names : sequence of str
        Out of `SETS`.
    n_draws : int
        How often prototypes are drawn.
    log : Path
        JSON lines; gets one for each trunk, set and draw.
    quick : bool
        Whether to judge on few images.

    Yields
    ------
    (str, str, list of float)
        Set, trunk and the average precision of each draw.
    """
    trunks = dict(_trunks(choices))
    done = _read_log(log)
    for name in names:
        judged: JudgedSet | None = None
        for trunk, blob in trunks.items():
            keys = [(trunk, name, draw, quick) for draw in range(n_draws)]
            missing = [key for key in keys if key not in done]
            if missing:
                judged = judged or read_set(data, name, quick=quick)
                network = trunk_from_bytes(blob, _n_channels(judged))
                with torch.inference_mode():
                    scores = list(score(fused(network), judged, [key[2] for key in missing]))
                for key, value in zip(missing, scores, strict=True):
                    done[key] = value
                    _append(log, key, value)
            yield name, trunk, [done[key] for key in keys]


def score(trunk: Trunk, judged: JudgedSet, draws: Iterable[int]) -> Iterator[float]:
    """Judge a trunk on a set, once for each draw."""
    extractor = make_extractor("template", (judged.side, judged.side))
    trunk = trunk.to(memory_format=torch.channels_last)
    if not judged.images:
        yield from _retrieval(trunk, judged, extractor, draws)
        return
    maps = [feature_map(trunk, image.pixels, extractor) for image in judged.images]
    for draw in draws:
        drawn = random.Random(draw).sample(judged.places, N_PROTOTYPES)
        blocks = [block for p in drawn for block in blocks_at(trunk, p.pixels, extractor, p.y, p.x)]
        yield average_precision(find_like(maps, blocks, extractor), judged.images, _DISTANCE * judged.side)


def table(rows: Iterable[tuple[str, str, list[float]]], reference: str) -> str:
    """Write mean and standard deviation over draws, and the ratio to a reference trunk, as Markdown."""
    by_trunk: dict[str, dict[str, list[float]]] = {}
    for name, trunk, values in rows:
        by_trunk.setdefault(trunk, {})[name] = values
    names = list(next(iter(by_trunk.values())))
    against = next((trunk for trunk in by_trunk if reference in trunk), None)
    lines = [f"| trunk | {' | '.join(names)} | mean ratio |", "| --- |" + " --- |" * (len(names) + 1)]
    for trunk, found in by_trunk.items():
        cells, ratios = [], []
        for name in names:
            cell = f"{np.mean(found[name]):.3f} +- {np.std(found[name]):.3f}"
            if against:
                ratios.append(float(np.mean(found[name]) / np.mean(by_trunk[against][name])))
                cell += f" ({ratios[-1]:.2f})"
            cells.append(cell)
        mean = f"{np.mean(ratios):.2f}" if ratios else ""
        lines.append(f"| {trunk} | {' | '.join(cells)} | {mean} |")
    return "\n".join(lines)


def read_set(data: Path, name: str, *, quick: bool = False) -> JudgedSet:
    """Read the images that judge, or few of them."""
    n = QUICK["images"] if quick else None
    if name in PATCHES:
        return _blood(data / "bccd", name, n)
    if name == "cells":
        return _cells(data / "bbbc013", QUICK["cells"] if quick else None)
    if name == "nuclei":
        return _nuclei(data / "dsb2018_fluorescence", n)
    return _tissue(data / "ihc_dab", 0 if name == "tissue +" else 2)


def _blood(folder: Path, name: str, n: int | None) -> JudgedSet:
    train, test = read_split(folder, "train"), read_split(folder, "test")[:n]
    ranges, downsampling = ranges_of(test), working_downsampling((PATCHES[name],) * 2)
    places = tuple(
        Place(pixels, from_level0(box.y, downsampling), from_level0(box.x, downsampling), name)
        for smear in train[:_N_DRAWN_FROM]
        for pixels in [view(smear, ranges, downsampling)]
        for box in smear.boxes
        if box.class_name == name and is_whole(box)
    )
    images = tuple(Annotated(view(smear, ranges, downsampling), centres(smear, name, downsampling)) for smear in test)
    return JudgedSet(PATCHES[name] // downsampling, images, places)


def _nuclei(folder: Path, n: int | None) -> JudgedSet:
    """Read images of one size, in which nuclei are about 15 px wide: elsewhere they are of any size."""
    at: dict[str, list[tuple[float, float]]] = {}
    with (folder / "nuclei.csv").open() as file:
        for row in csv.DictReader(file):
            if (row["height"], row["width"]) == ("256", "256") and (folder / "images" / row["image"]).exists():
                at.setdefault(row["image"], []).append((float(row["cy"]), float(row["cx"])))
    judging = [name for name in sorted(at) if is_reported_on(name)][:n]
    others = [name for name in sorted(at) if not is_held_back(name)][:n]
    pixels = _rescaled({name: _read(folder / "images" / name)[:1] for name in (*judging, *others)})
    images = tuple(Annotated(pixels[name], np.array(at[name])) for name in judging)
    places = tuple(Place(pixels[name], *yx) for name in others for yx in at[name] if _is_inside(yx, pixels[name]))
    return JudgedSet(_NUCLEUS_SIDE, images, places)


def _tissue(folder: Path, plane: int) -> JudgedSet:
    """Read tiles with nuclei that are red (0) or blue (2) in the ground truth."""

    def nuclei(name: str) -> NDArray[np.float64]:
        truth = _read(folder / f"deepliif_groundtruth/{name}.png")
        mask = (truth[plane] > 128) & (truth[1] < 128)
        found = [region.centroid for region in regionprops(label(mask)) if region.area > _SMALLEST_NUCLEUS_PX]
        return np.array(found).reshape(-1, 2)

    names = sorted(path.stem for path in (folder / "deepliif_groundtruth").glob("*.png"))
    pixels = _rescaled({name: _read(folder / f"deepliif_tiles/{name}.png") for name in names})
    places = tuple(
        Place(pixels[name], y, x)
        for name in names
        if name not in TISSUE_TILES
        for y, x in nuclei(name)
        if _is_inside((y, x), pixels[name])
    )
    return JudgedSet(_SIDE, tuple(Annotated(pixels[name], nuclei(name)) for name in TISSUE_TILES), places)


def _cells(folder: Path, n: int | None) -> JudgedSet:
    wells = {}
    for well in LABELLED_WELLS:
        (gfp,) = (folder / "images").glob(f"Channel1-*-{well}.*")
        dna = gfp.with_name(gfp.name.replace("Channel1", "Channel2"))
        wells[well.replace("-", "")] = np.concatenate([_read(gfp)[:1], _read(dna)[:1]])
    seen = _rescaled(wells)
    with (folder / "cells_piximi.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "Unknown"]
    random.Random(0).shuffle(rows)
    return JudgedSet(
        _SIDE, (), tuple(Place(seen[r["well"]], float(r["cy"]), float(r["cx"]), r["label"]) for r in rows[:n])
    )


def _retrieval(trunk: Trunk, judged: JudgedSet, extractor: Extractor, draws: Iterable[int]) -> Iterator[float]:
    """Rank labelled places by their similarity to five of a class: average precision, mean over classes."""
    blocks = [blocks_at(trunk, p.pixels, extractor, p.y, p.x) for p in judged.places]
    centre = torch.stack([own[0].mean(dim=(1, 2)) for own in blocks]).mean(dim=0)
    names = np.array([place.class_name for place in judged.places])
    for draw in draws:
        found = []
        for name in sorted(set(names)):
            drawn = random.Random(draw).sample([int(i) for i in np.flatnonzero(names == name)], N_PROTOTYPES)
            query = make_query([[block for i in drawn for block in blocks[i]]], centre)
            rest = [i for i in range(len(names)) if i not in drawn]
            similarity = np.array([_similarity(blocks[i][0], query) for i in rest])
            hits = names[rest] == name
            found.append(precision_recall([hits], [similarity], int(hits.sum())).average_precision)
        yield float(np.mean(found))


def _similarity(block: torch.Tensor, query: Query) -> float:
    """Compare one block with a query: positions around it that the query would see count as the mean vector."""
    grown = query.centre[:, None, None].repeat(1, *(2 * [2 * query.margin + 1]))
    top, left = ((grown.shape[axis] - block.shape[axis]) // 2 for axis in (1, 2))
    grown[:, top : top + block.shape[1], left : left + block.shape[2]] = block
    return float(similarity_maps(prototype_maps(grown, query))[0, 0, 0])


def _read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


def _rescaled(images: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
    """Rescale images as a search does: by percentiles of the whole set."""
    percentiles = np.array([np.percentile(pixels, IMAGE_PERCENTILES, axis=(1, 2)).T for pixels in images.values()])
    ranges = [pool_range(percentiles[:, channel]) for channel in range(percentiles.shape[1])]
    return {name: rescale(pixels, ranges) for name, pixels in images.items()}


def _is_inside(yx: tuple[float, float], pixels: NDArray[np.float32]) -> bool:
    height, width = pixels.shape[1:]
    return _SIDE / 2 <= yx[0] <= height - _SIDE / 2 and _SIDE / 2 <= yx[1] <= width - _SIDE / 2


def _n_channels(judged: JudgedSet) -> int:
    return len(judged.places[0].pixels)


def _trunks(choices: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for choice in choices:
        blob = trunk_to_bytes(begin_randomly(0), choice) if choice == "random" else read_trunk(choice)
        yield trunk_label(Path(choice).stem, hashlib.sha256(blob).hexdigest()), blob


def _read_log(path: Path) -> dict[Key, float]:
    """Read which draws are done; a line that was cut short is not."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return {(row["trunk"], row["set"], row["draw"], row["quick"]): row["average_precision"] for row in rows}


def _append(path: Path, key: Key, value: float) -> None:
    row = dict(zip(("trunk", "set", "draw", "quick"), key, strict=True)) | {"average_precision": value}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
