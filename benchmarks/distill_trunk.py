"""Train a trunk to ship: on development images in memory, with what `simsearch pretrain` does on any.

Run it with ``--data`` at a folder of development images and ``--teacher`` at a torchvision-named trunk; a run that was
stopped goes on from its checkpoint. What judges trunks (`benchmarks.held_back`) is not trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from typing import TYPE_CHECKING

from benchmarks.held_back import LABELLED_WELLS, is_held_back
from simsearch.core.synthetic import cell_field
from simsearch.io.places import write_whole
from simsearch.nn.device import pick_device
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes, trunk_to_bytes, write_trunk
from simsearch.training.distillation import distillation_loss
from simsearch.training.epochs import EpochDone, EpochLog
from simsearch.training.pretrain import Material, PretrainConfig, begin_randomly, pretrain

if TYPE_CHECKING:
    from simsearch.nn.trunk import Trunk

Images = dict[str, list[np.ndarray]]

# Without those that judge features (`benchmarks.unseen.ONCE_SEEN`).
SKIMAGE_BRIGHTFIELD = ("immunohistochemistry", "skin", "hubble_deep_field")
SKIMAGE_GREY = ("human_mitosis", "cell", "microaneurysms", "mitosis")
SKIMAGE_TEXTURE = ("brick", "grass", "moon", "camera", "text", "page", "clock")
SKIMAGE_PHOTO = ("astronaut", "cat", "chelsea", "rocket", "colorwheel")


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
    stretched: np.ndarray = np.clip((image - low) / max(high - low, 1), 0, 1) * 255
    return stretched.astype(np.uint8)


def read_images(data: Path) -> Images:
    """Read all training images, by kind. Nothing that later judges the trunk is among them."""
    bccd = data / "bccd"
    train = (bccd / "ImageSets/Main/train.txt").read_text().split()
    pool: Images = {
        "blood": [read(bccd / f"JPEGImages/{name}.jpg") for name in train],
        "nuclei": [
            read(p) for p in sorted((data / "dsb2018_fluorescence/images").glob("*.png")) if not is_held_back(p.name)
        ],
        "stained": [read(p) for p in sorted((data / "dsb2018_brightfield/images").glob("*.png"))],
        "slide": [read(data / "wsi_and_tiff/CMU-1-Small-Region.svs")],
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
    "procedural": 1,  # in a pool of its own
}


@dataclass(frozen=True, slots=True)
class Pool:
    """Training images at three sizes, row after row in one tensor, so that a GPU can cut crops itself."""

    pixels: torch.Tensor
    """(P, 3) uint8"""
    places: torch.Tensor
    """(sizes, images, 3) where an image begins in `pixels`, its height and its width; each size is half the last."""
    chances: np.ndarray
    """How often each image is taken; they sum to one."""


_SIZES = 3


def make_pool(images: Images, device: torch.device) -> Pool:
    """Put images where crops are cut."""
    total = sum(WEIGHTS[kind] for kind in images)
    chances = [WEIGHTS[kind] / total / len(found) for kind, found in images.items() for _ in found]
    pixels, places, begin = [], [], 0
    for image in (image for found in images.values() for image in found):
        sized, at = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float(), []
        for _ in range(_SIZES):
            h, w = sized.shape[-2:]
            pixels.append(sized[0].round().byte().flatten(1).T)
            at.append((begin, h, w))
            begin, sized = begin + h * w, functional.avg_pool2d(sized, 2)
        places.append(at)
    return Pool(torch.cat(pixels).to(device), torch.tensor(places).transpose(0, 1).contiguous(), np.array(chances))


def sample_batch(
    pool: Pool, size: int, side: int, seed: tuple[int, ...], spans: tuple[float, float] = (40, 288)
) -> torch.Tensor:
    """Cut square crops of mixed scales, resized to one size.

    Parameters
    ----------
    pool : Pool
        What to cut from.
    size, side : int
        How many crops, and their side in pixels.
    seed : tuple of int
        Of all randomness.
    spans : (float, float)
        Narrowest and widest square of an image that becomes a crop, in pixels; all logarithms are equally likely.

    Returns
    -------
    (size, 3, side, side) tensor
        Intensities in [0, 1], on the device of the pool.
    """
    rng, device = np.random.default_rng(seed), pool.pixels.device
    chosen = torch.from_numpy(rng.choice(len(pool.chances), size, p=pool.chances))
    narrowest, widest = map(math.log, spans)
    span = torch.from_numpy(np.exp(rng.uniform(narrowest, widest, size))).minimum(pool.places[0, chosen, 1:].amin(1))
    corner = torch.from_numpy(rng.uniform(size=(size, 2))) * (pool.places[0, chosen, 1:] - span[:, None])
    level = (span / side).log2().round().clamp(0, _SIZES - 1).long()
    begin, *shape = pool.places[level, chosen].to(device).T
    span, corner, level = span.to(device), corner.to(device), level.to(device)
    steps = (torch.arange(side, device=device) + 0.5) / side
    low, high, weight = [], [], []
    for axis in range(2):  # the middles of a crop's pixels between those of the image's
        at = (corner[:, axis, None] + steps * span[:, None]) / 2.0 ** level[:, None] - 0.5
        last = shape[axis][:, None] - 1
        at = at.clamp_min(0).minimum(last)
        low.append(at.long())
        high.append((at.long() + 1).minimum(last))
        weight.append(at - at.long())
    width, wy, wx = shape[1][:, None, None], weight[0][:, :, None, None], weight[1][:, None, :, None]

    def seen(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return pool.pixels[begin[:, None, None] + y[:, :, None] * width + x[:, None, :]].float()

    top = torch.lerp(seen(low[0], low[1]), seen(low[0], high[1]), wx.float())
    bottom = torch.lerp(seen(high[0], low[1]), seen(high[0], high[1]), wx.float())
    return torch.lerp(top, bottom, wy.float()).permute(0, 3, 1, 2) / 255


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
    parser.add_argument("--begin", help="a trunk to go on from; by default random weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=("distill", "simclr", "both"), default="distill")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--tuning", type=float, default=0.1, help="of both: SimCLR's part of the rate")
    parser.add_argument("--distilled", type=float, default=0.75, help="of both: share of the steps")
    parser.add_argument("--spans", type=float, nargs=2, default=(40, 288), help="narrowest and widest crop in pixels")
    parser.add_argument("--crop", type=int, default=96, help="side of what the network sees in pixels")
    parser.add_argument("--epoch", type=int, default=100, help="steps between two checkpoints")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    device, seed = pick_device(), 0
    config = PretrainConfig(
        method=options.method, steps=options.steps, batch=options.batch, rate=options.rate, crop=options.crop,
        epoch=options.epoch, tuning=options.tuning, distilled=options.distilled, bfloat16=options.bfloat16, seed=seed,
    )  # fmt: skip
    teacher = trunk_from_bytes(read_trunk(options.teacher), 3).to(device).to(memory_format=torch.channels_last)
    student = trunk_from_bytes(read_trunk(options.begin), 3) if options.begin else begin_randomly(seed)
    student = student.to(device).to(memory_format=torch.channels_last)
    images = read_images(options.data)
    print(json.dumps({kind: len(found) for kind, found in images.items()}), flush=True)
    pool = make_pool(images, device)
    held_out = sample_batch(pool, 256, config.crop, (12345,))
    kept = options.out.with_suffix(".checkpoint.pt")
    checkpoint = torch.load(kept, map_location=device, weights_only=True) if kept.exists() else None

    began = time.monotonic()

    def keep(content: dict[str, object]) -> None:
        partial = kept.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(kept)

    def observe(event: EpochDone) -> None:
        print(json.dumps({**asdict(event), "seconds": round(time.monotonic() - began, 1)}), flush=True)

    def validate(trunk: Trunk) -> dict[str, float]:
        found = cosines(trunk, teacher, held_out)
        print(json.dumps(found), flush=True)
        return found

    crops = Material(
        lambda step: sample_batch(pool, config.batch, config.read_side, (seed, step), tuple(options.spans)),
        None if options.method == "simclr" else teacher,
        validate,
    )
    pretrain(student, crops, config, EpochLog(observe, keep, checkpoint))
    blob = trunk_to_bytes(student, "distill_trunk")
    print(json.dumps({"sha256": write_trunk(blob, options.out, write_whole)}), flush=True)


if __name__ == "__main__":
    main()
