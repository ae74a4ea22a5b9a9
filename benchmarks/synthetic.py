"""What the benchmarks of scale look at: slides and plates that are cheap to write, and a model that finds so much."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import skimage.data
import torch
from scipy import ndimage
from scipy.special import logit

from simsearch.core.intensity import rescale
from simsearch.core.synthetic import cell_field
from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.extractor import needed_region, vectors
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.peaks import find_peaks
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simsearch.core.intensity import Range

CELL = 2048  # pixels along a side of what repeats on a slide: one shard
FIELD = 1024  # pixels along a side of a field
FLOOR = 0.05  # confidence: what the models find is above it
PATCH = (48, 48)
_WHITE = 255
_PIXEL_UM = (0.25, 0.25)
_CELLS_PER_FIELD = 160
_GFP_AND_DNA = ((100.0, 1500.0), (100.0, 2000.0))


def tissue_cell() -> NDArray[np.uint8]:
    """Mirror scikit-image's tissue to the (3, CELL, CELL) pixels that repeat on a slide."""
    tissue: NDArray[np.uint8] = skimage.data.immunohistochemistry()
    missing = CELL - len(tissue)
    return np.pad(tissue, ((0, missing), (0, missing), (0, 0)), mode="symmetric").transpose(2, 0, 1)


def islands(n_cells: int, share: float) -> NDArray[np.bool_]:
    """Choose which cells of a slide have tissue: a few islands, none at the far borders, whose cells are cut."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(n_cells, n_cells)), 2.5)
    smooth[-1], smooth[:, -1] = -np.inf, -np.inf
    n_occupied = max(1, round(share * n_cells**2))
    occupied: NDArray[np.bool_] = smooth >= np.sort(smooth, axis=None)[-n_occupied]
    return occupied


def write_slide(path: Path, side: int, occupied: NDArray[np.bool_]) -> Path:
    """Write an RGB slide of tissue and glass with its pyramid.

    Glass has no chunks: the arrays' fill value is white. Shards of equal pixels are hard links to one file.

    Parameters
    ----------
    path : Path
        Where.
    side : int
        Height and width in pixels.
    occupied : (n, n) bool array
        For each cell of `CELL` px whether it has tissue.
    """
    template = ImageTemplate(3, (side, side), "uint8", RGB_NAMES, RGB_COLORS, _PIXEL_UM, is_sparse=True)
    create_image(path, template)
    cell = tissue_cell()
    for level in range(len(template.level_shapes)):
        _fill_with_white(path / str(level) / "zarr.json")
        _write_level(path, template, level, occupied, cell)
        cell = halved(cell)
    finish_image(path, template)
    return path


def write_fields(path: Path, n_wells: int, n_fields: int, n_distinct: int = 8) -> Path:
    """Write a plate of synthetic cells in two channels, wells row by row of 24; repeated fields are hard links."""
    template = ImageTemplate(2, (FIELD, FIELD), "uint16", ("GFP", "DNA"), ("00FF00", "0000FF"), _PIXEL_UM)
    sources = [path.parent / f"field{index}.ome.zarr" for index in range(min(n_distinct, n_wells * n_fields))]
    for index, source in enumerate(sources):
        create_image(source, template)
        pixels = field_pixels(index)
        for level in range(len(template.level_shapes)):
            write_region(source, level, Region(0, pixels.shape[1], 0, pixels.shape[2]), pixels)
            pixels = halved(pixels)
        finish_image(source, template)
    wells = [Well(index // 24, index % 24) for index in range(n_wells)]
    for index, well in enumerate(wells):
        for field in range(n_fields):
            source = sources[(index * n_fields + field) % len(sources)]
            shutil.copytree(source, path / well.path / str(field), copy_function=os.link)
    names = [str(field) for field in range(n_fields)]
    write_plate(str(path), dict.fromkeys(wells, names), name=path.stem, version="0.5", provenance={})
    return path


def field_pixels(seed: int) -> NDArray[np.uint16]:
    """Draw a (2, FIELD, FIELD) field."""
    return cell_field(np.random.default_rng(seed), (FIELD, FIELD), n_cells=_CELLS_PER_FIELD).image


def write_model(path: Path, *, plate: bool, peaks_per_megapixel: float = 200) -> Path:
    """Write a model of two classes for slides or fields, which has learned nothing and finds so many places."""
    names: tuple[str, ...] = ("GFP", "DNA") if plate else RGB_NAMES
    ranges: tuple[Range, ...] = _GFP_AND_DNA if plate else ((0.0, 255.0),) * 3
    pixels = rescale(field_pixels(0) if plate else tissue_cell()[:, :1024, :1024], ranges)
    torch.manual_seed(0)
    blob = read_trunk("bundled")
    model = PatchClassifier(trunk_from_bytes(blob, len(names)), classifier_extractor("dense", PATCH), n_classes=2)
    _calibrate(model, pixels, peaks_per_megapixel)
    header = ModelHeader(
        kind="dense",
        classes=("background", "object"),
        patch_shapes=(PATCH,),
        downsampling=1,
        channels=names,
        ranges=ranges,
        dtype="uint16" if plate else "uint8",
        pixel_size_um=_PIXEL_UM,
        confidence_thresholds=(0.5,),
        trunk="",
        training={},
    )
    path.write_bytes(model_to_bytes(model, header))
    return path


def _calibrate(model: PatchClassifier, pixels: NDArray[np.floating], peaks_per_megapixel: float) -> None:
    """Scale a random head so that a share of the peaks in some pixels is above the floor, up to 1 - floor."""
    peaks = _peak_heights(model, pixels)
    n_kept = max(2, round(peaks_per_megapixel * pixels[0].size / 1e6))
    highest, lowest = float(peaks[0]), float(peaks[min(n_kept, len(peaks)) - 1])
    scale = 2 * float(logit(1 - FLOOR)) / (highest - lowest)
    shift = float(logit(FLOOR)) - scale * lowest
    with torch.no_grad():
        model.head.weight *= scale
        assert model.head.bias is not None
        model.head.bias *= scale
        model.head.bias[1] += shift


def _peak_heights(model: PatchClassifier, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
    extractor, shape = model.extractor, (pixels.shape[1], pixels.shape[2])
    margin = max(extractor.block_shape) // 2
    window = Region(0, extractor.grid.size(shape[0]), 0, extractor.grid.size(shape[1])).grown(margin)
    region = needed_region(extractor, window, shape)
    pad = ((0, 0), (-region.y0, region.y1 - shape[0]), (-region.x0, region.x1 - shape[1]))
    framed = torch.from_numpy(np.pad(pixels, pad, mode="edge").astype(np.float32))
    trunk = fused(trunk_from_bytes(read_trunk("bundled"), len(pixels)))
    with torch.inference_mode():
        odds = model.log_odds_maps(vectors(trunk, framed, extractor, window, region))[1].numpy()
    return np.sort(find_peaks(odds, 3, -np.inf)[:, 2])[::-1]


def _write_level(
    path: Path, template: ImageTemplate, level: int, occupied: NDArray[np.bool_], cell: NDArray[np.uint8]
) -> None:
    side, written = cell.shape[1], dict[tuple[object, ...], Path]()
    for region in template.regions(level):
        inside = occupied[region.y0 // side : -(-region.y1 // side), region.x0 // side : -(-region.x1 // side)]
        if not inside.any():
            continue
        key = (inside.tobytes(), inside.shape, region.shape)
        shard = path / str(level) / "c" / "0" / str(region.y0 // template.shard) / str(region.x0 // template.shard)
        if key in written:
            shard.parent.mkdir(parents=True, exist_ok=True)
            os.link(written[key], shard)
        else:
            write_region(path, level, region, _composed(inside, cell, region.shape))
            written[key] = shard


def _composed(inside: NDArray[np.bool_], cell: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    mask = np.kron(inside, np.ones(cell.shape[1:], bool))
    tissue = np.tile(cell, (1, *inside.shape))
    return np.where(mask, tissue, np.uint8(_WHITE))[:, : shape[0], : shape[1]]


def _fill_with_white(metadata: Path) -> None:
    content = json.loads(metadata.read_text())
    content["fill_value"] = _WHITE
    metadata.write_text(json.dumps(content))
