"""How near a trunk's features are to its teacher's on images of kinds that it was never trained on.

Drawn ones (`benchmarks.micrographs`), photographs and fluorescence that no trunk here has seen, faint and noisy copies
of them, and the images that judge searches on the validation split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import matplotlib.cbook
import numpy as np
import skimage.data
import tifffile
import torch
from PIL import Image

from benchmarks.judges import read_judges
from benchmarks.micrographs import UNSEEN
from simsearch.nn.trunk import LAYER_DIMS
from simsearch.nn.trunk_file import trunk_from_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.nn.trunk import Trunk

_SIDE, _CROPS = 256, 6
_PERCENTILES = (0.5, 99.5)
_FAINT, _NOISE = 0.2, 0.05  # contrast of faint copies, and standard deviation of their noise
_FLUORESCENCE = (
    "piximi_16b_4c_neuron-composite.tif",
    "piximi_8b_5c_rat_hippocampal_neuron.tif",
    "piximi_16b_1c_fluorescence.tif",
    "piximi_16b_1c_happy_cell.tif",
)
ONCE_SEEN = ("retina", "gravel", "coins", "coffee")
"""Of scikit-image: the trunk of 2026-11-26 was trained on them, later ones are not."""


class Nearness(NamedTuple):
    """Mean cosines with the teacher."""

    layer1: float
    layer2: float
    layer3: float
    centred: float
    """Of layer2 with the mean vector of the kind subtracted, which is what a search compares."""


def unseen_crops(data: Path, more: Path | None = None) -> dict[str, torch.Tensor]:
    """Return (N, 3, 256, 256) crops of intensities in [0, 1] by kind; `more` is a folder of images of another kind."""
    rng = np.random.default_rng(9)
    kinds = {name: [draw(rng, _SIDE) for _ in range(_CROPS)] for name, draw in UNSEEN.items()}
    photographs = [np.asarray(image) for image in skimage.data.stereo_motorcycle()[:2]]
    portrait = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photographs.append(np.asarray(Image.open(str(portrait))))
    kinds["photographs"] = photographs
    kinds["once seen"] = [np.asarray(getattr(skimage.data, name)()) for name in ONCE_SEEN]
    folder = data / "wsi_and_tiff"
    kinds["neurons, fluorescence"] = [p for name in _FLUORESCENCE for p in _planes(tifffile.imread(folder / name))]
    kinds["multiplexed tissue"] = _planes(tifffile.imread(folder / "small_vectra.qptiff"))
    if more:
        kinds[more.name] = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(more.glob("*.png"))]
    for judge in read_judges(data, "val", n_images=_CROPS):
        kinds.setdefault(judge.name.split(":")[0], [_shown(scene.pixels) for scene in judge.judged])
    crops = {kind: torch.stack([_crop(rng, images) for _ in range(_CROPS)]) for kind, images in kinds.items()}
    for kind in ("photographs", "neurons, fluorescence", "blood"):
        crops[f"{kind}, faint"] = _faint(crops[kind])
    return crops


@torch.inference_mode()
def nearness(student: Trunk, teacher: Trunk, crops: torch.Tensor) -> Nearness:
    """Compare what two trunks give for (N, 3, H, W) crops."""
    found: list[float] = []
    middle, centred = [crops, crops], 1.0
    for name in ("stem", *(f"layer{index}" for index in LAYER_DIMS)):
        middle = [getattr(trunk, name)(x) for trunk, x in zip((student, teacher), middle, strict=True)]
        if name != "stem":
            found.append(_cosine(*middle))
        if name == "layer2":
            centred = _cosine(*(x - x.mean(dim=(0, 2, 3), keepdim=True) for x in middle))
    return Nearness(found[0], found[1], found[2], centred)


def run(data: Path, trunks: Mapping[str, bytes], teacher: bytes, more: Path | None = None) -> None:
    """Print the nearness of trunks to a teacher, kind by kind."""
    reference, crops = trunk_from_bytes(teacher, 3), unseen_crops(data, more)
    for name, blob in trunks.items():
        print(f"\n{name}: cosine with the teacher\n| kind | layer1 | layer2 | layer3 | layer2, centred |")
        print("| --- | --- | --- | --- | --- |")
        table = {kind: nearness(trunk_from_bytes(blob, 3), reference, found) for kind, found in crops.items()}
        for kind, row in table.items():
            print(f"| {kind} | " + " | ".join(f"{value:.4f}" for value in row) + " |")
        print("| lowest | " + " | ".join(f"{min(column):.4f}" for column in zip(*table.values(), strict=True)) + " |")
        means = " | ".join(f"{np.mean(column):.4f}" for column in zip(*table.values(), strict=True))
        print(f"| mean | {means} |", flush=True)


def _cosine(student: torch.Tensor, teacher: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(student, teacher, dim=1).mean())


def _planes(pixels: NDArray[np.generic]) -> list[NDArray[np.uint8]]:
    """Split (C, H, W) or (H, W) into grey images."""
    return [_shown(plane[None]) for plane in pixels.reshape(-1, *pixels.shape[-2:])]


def _shown(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Show (C, H, W) of one to three channels as (H, W, 3), each stretched between its percentiles."""
    low, high = np.percentile(pixels.astype(np.float64), _PERCENTILES, axis=(1, 2), keepdims=True)
    planes = np.clip(255 * (pixels.astype(np.float64) - low) / np.maximum(high - low, 1e-6), 0, 255).astype(np.uint8)
    if len(planes) == 1:
        planes = np.repeat(planes, 3, axis=0)
    if len(planes) == 2:
        planes = np.concatenate([planes, np.zeros_like(planes[:1])])
    image: NDArray[np.uint8] = planes.transpose(1, 2, 0)
    return image


def _crop(rng: np.random.Generator, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    image = images[int(rng.integers(len(images)))]
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    short = [max(0, _SIDE - size) for size in image.shape[:2]]
    image = np.pad(image, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
    top, left = (int(rng.integers(size - _SIDE + 1)) for size in image.shape[:2])
    crop = image[top : top + _SIDE, left : left + _SIDE].transpose(2, 0, 1)
    return torch.from_numpy(crop / np.float32(255))


def _faint(crops: torch.Tensor) -> torch.Tensor:
    """Show crops in grey, in little contrast and noise."""
    grey = crops.mean(dim=1, keepdim=True)
    noise = torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
    return (0.5 + _FAINT * (grey - 0.5) + _NOISE * noise).clamp(0, 1).expand(-1, 3, -1, -1)
