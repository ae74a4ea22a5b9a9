"""Train a trunk to ship: on development images in memory, with what `simsearch pretrain` does on any.

Run it with ``--data`` at a folder of development images and ``--teacher`` at a torchvision-named trunk; a run that was
stopped goes on from its checkpoint. What judges trunks (`benchmarks.held_back`) is not trained on. The bundled trunk
was made by an earlier version of this, whose schedule followed the clock; its card says how.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import skimage.data
import tifffile
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from typing import TYPE_CHECKING

from benchmarks.held_back import LABELLED_WELLS, is_held_back
from simsearch.core.synthetic import cell_field
from simsearch.nn.device import pick_device
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes, trunk_to_bytes, write_trunk
from simsearch.training.distillation import distillation_loss
from simsearch.training.pretrain import Material, PretrainConfig, begin_randomly, pretrain

if TYPE_CHECKING:
    from simsearch.nn.trunk import Trunk
    from simsearch.training.epochs import EpochDone

Pool = dict[str, list[np.ndarray]]

SKIMAGE_BRIGHTFIELD = ("immunohistochemistry", "retina", "skin", "hubble_deep_field")
SKIMAGE_GREY = ("human_mitosis", "cell", "microaneurysms", "mitosis")
SKIMAGE_TEXTURE = ("brick", "grass", "gravel", "coins", "moon", "camera", "text", "page", "clock")
SKIMAGE_PHOTO = ("astronaut", "cat", "chelsea", "coffee", "rocket", "colorwheel")


def read(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8."""
    return np.asarray(Image.open(path).convert("RGB"))


def skimage_images(names: tuple[str, ...]) -> list[np.ndarray]:
    """Return those named images that scikit-image ships inside its wheel."""
    shipped = Path(skimage.data.__file__).parent
    found = []
    for name in names:
        if not any(shipped.glob(f"{name}.*")) and name not in ("immunohistochemistry",):
            continue
        image = np.asarray(getattr(skimage.data, name)())
        if image.dtype == np.uint8 and image.ndim in (2, 3):
            image = image[..., :3] if image.ndim == 3 else np.stack([image] * 3, -1)
            found.append(image)
    return found


def two_channel(gfp: np.ndarray, dna: np.ndarray) -> list[np.ndarray]:
    """Show a two-channel field as a colour image and each channel as grey."""
    zero = np.zeros_like(gfp)
    return [
        np.stack([zero, gfp, dna], -1),
        np.stack([gfp, dna, gfp], -1),
        np.stack([gfp] * 3, -1),
        np.stack([dna] * 3, -1),
    ]


def stretch(image: np.ndarray) -> np.ndarray:
    """Rescale the intensities between the 1st and the 99.8th percentile."""
    low, high = np.percentile(image, (1, 99.8))
    return (np.clip((image - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)


def load_pool(data: Path) -> Pool:
    """Read all training images, by kind. Nothing that later judges the trunk is among them."""
    bccd = data / "bccd"
    train = (bccd / "ImageSets/Main/train.txt").read_text().split()
    pool: Pool = {
        "blood": [read(bccd / f"JPEGImages/{name}.jpg") for name in train],
        "nuclei": [
            read(p) for p in sorted((data / "dsb2018_fluorescence/images").glob("*.png")) if not is_held_back(p.name)
        ],
        "stained": [read(p) for p in sorted((data / "dsb2018_brightfield/images").glob("*.png"))],
        "slide": [tifffile.imread(data / "wsi_and_tiff/CMU-1-Small-Region.svs")],
        "brightfield": skimage_images(SKIMAGE_BRIGHTFIELD),
        "grey": skimage_images(SKIMAGE_GREY),
        "texture": skimage_images(SKIMAGE_TEXTURE),
        "photo": skimage_images(SKIMAGE_PHOTO),
    }
    pool["nuclei"] = [stretch(image) for image in pool["nuclei"]]
    wells = [p for p in sorted((data / "bbbc013/images").glob("Channel1-*.png")) if not p.stem.endswith(LABELLED_WELLS)]
    plate = []
    for gfp in wells:
        dna = gfp.with_name(gfp.name.replace("Channel1", "Channel2"))
        plate += two_channel(stretch(read(gfp)[..., 0]), stretch(read(dna)[..., 0]))
    pool["plate"] = plate
    rng = np.random.default_rng(1)
    synthetic = []
    for _ in range(24):
        field = cell_field(rng, shape=(512, 512), n_cells=60, nuclear_fraction=rng.uniform()).image
        synthetic += two_channel(*[stretch(channel) for channel in field])
    pool["synthetic"] = synthetic
    return {kind: images for kind, images in pool.items() if images}


WEIGHTS = {
    "blood": 4,
    "nuclei": 3,
    "stained": 3,
    "slide": 2,
    "plate": 3,
    "synthetic": 1,
    "brightfield": 2,
    "grey": 1,
    "texture": 1,
    "photo": 2,
}


def sample_batch(pool: Pool, size: int, side: int, seed: tuple[int, ...]) -> torch.Tensor:
    """Cut crops of mixed scales, 40 to 288 px, resized to one size.

    Returns
    -------
    (size, 3, side, side) tensor
        Intensities in [0, 1].
    """
    rng, kinds = np.random.default_rng(seed), list(pool)
    weights = np.array([WEIGHTS[kind] for kind in kinds], float)
    batch = np.empty((size, side, side, 3), np.float32)
    for i, kind in enumerate(rng.choice(kinds, size, p=weights / weights.sum())):
        image = pool[kind][rng.integers(len(pool[kind]))]
        span = min(*image.shape[:2], round(math.exp(rng.uniform(math.log(40), math.log(288)))))
        y, x = rng.integers(image.shape[0] - span + 1), rng.integers(image.shape[1] - span + 1)
        crop = Image.fromarray(image[y : y + span, x : x + span]).resize((side, side), Image.Resampling.BILINEAR)
        batch[i] = np.asarray(crop, np.float32) / 255
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def cosines(student: Trunk, teacher: Trunk, images: torch.Tensor) -> dict[str, float]:
    """Tell how near each layer of a student is to its teacher's."""
    with torch.no_grad():
        _, found = distillation_loss(student, teacher, images, 0.0, torch.Generator())
    return {f"layer{index}": round(value, 4) for index, value in enumerate(found.tolist(), start=1)}


def main() -> None:
    """Train, and write the trunk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=("distill", "simclr", "both"), default="distill")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    device, seed = pick_device(), 0
    config = PretrainConfig(
        method=options.method, steps=options.steps, batch=options.batch, rate=options.rate, epoch=100,
        bfloat16=options.bfloat16, seed=seed,
    )  # fmt: skip
    teacher = trunk_from_bytes(read_trunk(options.teacher), 3).to(device).to(memory_format=torch.channels_last)
    student = begin_randomly(seed).to(device).to(memory_format=torch.channels_last)
    pool = load_pool(options.data)
    print(json.dumps({kind: len(images) for kind, images in pool.items()}), flush=True)
    held_out = sample_batch(pool, 256, config.crop, (12345,)).to(device)
    kept = options.out.with_suffix(".checkpoint.pt")
    checkpoint = torch.load(kept, map_location=device, weights_only=True) if kept.exists() else None

    def keep(content: dict[str, object]) -> None:
        partial = kept.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(kept)

    def observe(event: EpochDone) -> None:
        print(json.dumps(asdict(event)), flush=True)

    def validate(trunk: Trunk) -> dict[str, float]:
        found = cosines(trunk, teacher, held_out)
        print(json.dumps(found), flush=True)
        return found

    crops = Material(
        lambda step: sample_batch(pool, config.batch, config.read_side, (seed, step)),
        None if options.method == "simclr" else teacher,
        validate,
    )
    pretrain(student, crops, config, observe=observe, keep=keep, checkpoint=checkpoint)
    print(json.dumps({"sha256": write_trunk(trunk_to_bytes(student, "distill_trunk"), options.out)}), flush=True)


if __name__ == "__main__":
    main()
