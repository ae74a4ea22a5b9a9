"""Train the bundled trunk: distil layer1 to layer3 of a teacher trunk on microscopy images.

Run it with ``--data`` at a folder of development images and ``--teacher`` at a torchvision-named trunk.
A crop passes through both networks; each layer of the student learns to give what the teacher's layer gives.
While it learns, a layer gets for some crops the teacher's features as input instead of the student's own, so
that deep layers learn from the first step on; the share of such crops falls to nothing at half time.

The schedule follows the clock, not a step count: the run ends when it was told to.
"""

from __future__ import annotations

import argparse
import json
import math
import queue
import threading
import time
from pathlib import Path

import numpy as np
import skimage.data
import tifffile
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from simsearch.core.synthetic import cell_field
from simsearch.nn.trunk import Trunk

CROP = 96
Pool = dict[str, list[np.ndarray]]

# Wells with expert-labelled cells, kept for judging.
LABELLED_WELLS = ("A-01", "B-01", "A-12", "B-12")
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
        "nuclei": [read(p) for p in sorted((data / "dsb2018_fluorescence/images").glob("*.png"))],
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


def jitter(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip, turn and recolour a crop with values in [0, 1]."""
    crop = np.rot90(crop, rng.integers(4))
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < 0.2:
        crop = crop[..., rng.permutation(3)]
    if rng.random() < 0.15:
        crop = np.repeat(crop.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.08:
        crop = 1 - crop
    gain, offset = rng.uniform(0.7, 1.4, 3 if rng.random() < 0.5 else 1), rng.uniform(-0.15, 0.15)
    crop = np.clip(crop * gain + offset, 0, 1) ** rng.uniform(0.7, 1.4)
    if rng.random() < 0.2:
        crop = np.clip(crop + rng.normal(0, rng.uniform(0.01, 0.06), crop.shape), 0, 1)
    return crop


def sample_batch(pool: Pool, size: int, rng: np.random.Generator) -> torch.Tensor:
    """Cut crops of mixed scales, resized to one size.

    Returns
    -------
    (size, 3, 96, 96) tensor
        Intensities in [0, 1].
    """
    kinds = list(pool)
    weights = np.array([WEIGHTS[kind] for kind in kinds], float)
    batch = np.empty((size, CROP, CROP, 3), np.float32)
    for i, kind in enumerate(rng.choice(kinds, size, p=weights / weights.sum())):
        image = pool[kind][rng.integers(len(pool[kind]))]
        limit = min(image.shape[:2])
        side = min(limit, round(math.exp(rng.uniform(math.log(40), math.log(288)))))
        y, x = rng.integers(image.shape[0] - side + 1), rng.integers(image.shape[1] - side + 1)
        crop = Image.fromarray(image[y : y + side, x : x + side]).resize((CROP, CROP), Image.Resampling.BILINEAR)
        batch[i] = jitter(np.asarray(crop, np.float32) / 255, rng)
    return torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def produce(pool: Pool, size: int, batches: queue.Queue[torch.Tensor], seed: int) -> None:
    """Fill the queue for ever."""
    rng = np.random.default_rng(seed)
    while True:
        batches.put(sample_batch(pool, size, rng))


def layer_loss(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the squared error in units of the teacher's variance, and the mean cosine per position."""
    student, teacher = student.float(), teacher.float()
    error = functional.mse_loss(student, teacher) / teacher.var()
    return error, functional.cosine_similarity(student, teacher, dim=1).mean()


def mixed(student: torch.Tensor, teacher: torch.Tensor, share: float) -> torch.Tensor:
    """Replace the student's features of a share of the crops by the teacher's."""
    pick = torch.rand(len(student), 1, 1, 1) < share
    return torch.where(pick, teacher, student)


def step_loss(student: Trunk, teacher: Trunk, images: torch.Tensor, share: float) -> tuple[torch.Tensor, list[float]]:
    """Pass crops through both networks and compare them layer by layer."""
    loss, cosines = torch.zeros(()), []
    with torch.no_grad():
        right = teacher.stem(images)
    left = student.stem(images)
    for name in ("layer1", "layer2", "layer3"):
        left = getattr(student, name)(mixed(left, right, share))
        with torch.no_grad():
            right = getattr(teacher, name)(right)
        error, cosine = layer_loss(left, right)
        loss = loss + error + (1 - cosine)
        cosines.append(cosine.item())
    return loss, cosines


def learning_rate(progress: float, peak: float) -> float:
    """One cycle: up during the first 5 %, then down along a cosine."""
    if progress < 0.05:
        return peak * (0.05 + 0.95 * progress / 0.05)
    return peak * (0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95)) + 1e-3)


def save(student: Trunk, path: Path) -> None:
    """Write the student as float16 safetensors, whole or not at all."""
    state = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in student.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    partial = path.with_suffix(".partial")
    save_file(state, partial)
    partial.replace(path)


def main() -> None:
    """Distil for the given time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--peak-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    teacher, student = Trunk(), Trunk()
    teacher.load_state_dict({k: v.float() for k, v in load_file(options.teacher).items()}, strict=False)
    nn.init.kaiming_normal_(student.conv1.weight, mode="fan_out", nonlinearity="relu")
    teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    student.train().to(memory_format=torch.channels_last)
    checkpoint = options.out.with_suffix(".checkpoint.pt")
    optimizer = torch.optim.AdamW(student.parameters(), lr=options.peak_rate, weight_decay=1e-4)
    step, spent = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        student.load_state_dict(saved["student"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved["spent"]

    batches: queue.Queue[torch.Tensor] = queue.Queue(4)
    pool = load_pool(options.data)
    print(json.dumps({kind: len(images) for kind, images in pool.items()}), flush=True)
    threading.Thread(target=produce, args=(pool, options.batch, batches, step), daemon=True).start()
    held_out = sample_batch(pool, 256, np.random.default_rng(12345))
    begin = time.monotonic() - spent
    while (progress := (time.monotonic() - begin) / 60 / options.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, options.peak_rate)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, cosines = step_loss(student, teacher, batches.get(), share=max(0.0, 0.6 - 1.2 * progress))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            line = {"step": step, "progress": round(progress, 4), "loss": round(loss.item(), 4)}
            print(json.dumps(line | {"cosine": [round(c, 4) for c in cosines]}), flush=True)
        if step % 500 == 0:
            student.eval()
            with torch.no_grad():
                _, cosines = step_loss(student, teacher, held_out, share=0.0)
            student.train()
            print(json.dumps({"step": step, "eval_cosine": [round(c, 4) for c in cosines]}), flush=True)
            save(student, options.out)
            state = {"student": student.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step, "spent": time.monotonic() - begin}, checkpoint)
    save(student, options.out)
    print(json.dumps({"done": step}), flush=True)


if __name__ == "__main__":
    main()
