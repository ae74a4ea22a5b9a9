"""What a campaign tries: each command that writes, on images of seconds, from what stands there before it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tests.faults.commands import Ended, Workshop, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SIDE = 112
IMAGES = "abc"
CLASSES = ("nuclear", "cytoplasmic")
THREADS = ("--cluster", "threads:1")
INPUTS = "../../inputs"
"""From the trial folder, where all commands work."""


@dataclass(frozen=True)
class Scenario:
    """A command, and what stands in its folder before."""

    name: str
    arguments: tuple[str, ...]
    """Of the command line, without a cluster."""
    before: tuple[tuple[str, ...], ...] = ()
    """Commands that make what stands there."""
    wholes: tuple[str, ...] = ()
    """Folders that read as finished when they are there; those with a run.json do anyway."""
    has_cluster: bool = True
    refused_again: bool = False
    """Whether a second command is refused, because the first has done it."""
    says_more: bool = False
    """Whether a second command says something again that was said."""
    is_slow: bool = False
    """Whether it takes long as a program of its own, whose training nobody can shorten."""

    def command(self, cluster: Sequence[str] = THREADS) -> list[str]:
        """Write the command line."""
        return [*self.arguments, *(cluster if self.has_cluster else ())]


def _inputs(names: str) -> tuple[str, ...]:
    return tuple(f"{INPUTS}/{name}.ome.zarr" for name in names)


_CHUNKS = ("--chunk", "32", "--shard", "64")
_BOXES = ("--prototypes", f"{INPUTS}/boxes.csv")
_TRUNK = ("--trunk", f"{INPUTS}/trunk.safetensors")
_MODEL = f"{INPUTS}/model.safetensors"
_PLATE = (
    "convert", f"{INPUTS}/wells", "plate.ome.zarr", "--plate-map", f"{INPUTS}/map.csv",
    "--plate-pattern", r"(?P<well>[A-Z]\d\d)\.npy", "--channel-names", "GFP,DNA", *_CHUNKS,
)  # fmt: skip
_SEARCH = ("search", *_inputs("ab"), *_BOXES, *_TRUNK, "--out", "found", "--tile", "8")
_DETECT = ("detect", _MODEL, *_inputs("a"), f"{INPUTS}/plate.ome.zarr", "--out", "found", "--tile", "8")
_SEGMENT = ("segment", _MODEL, *_inputs("ab"), "--out", "areas", "--in-results")
_CREATE = ("study", "create", "study", "--images", *_inputs(IMAGES), "--display", "a,b", *_TRUNK)
_MEASURED = ("--measure", f"{INPUTS}/measure.json")
_IMPORT = ("study", "import", "study", f"{INPUTS}/said.csv", "--user", "ada")
_SUGGEST = ("study", "suggest", "study", "--background", "1", "--user", "ada")
_CURATED = ((*_CREATE, *_MEASURED), _IMPORT, (*_SUGGEST, "--accept", *THREADS))
_PRETRAIN = (
    "pretrain", *_inputs("ab"), "--out", "own.safetensors", "--steps", "3", "--batch", "2", "--crop", "32",
    "--scales", "0.5", "1", "--checkpoint", "1",
)  # fmt: skip

SCENARIOS = (
    Scenario("convert image", ("convert", f"{INPUTS}/slide.npy", "out.ome.zarr", *_CHUNKS), wholes=("out.ome.zarr",),
             refused_again=True),
    Scenario("convert plate", _PLATE, wholes=("plate.ome.zarr",), refused_again=True),
    Scenario("convert --overwrite", ("convert", f"{INPUTS}/other.npy", "out.ome.zarr", "--overwrite", *_CHUNKS),
             before=(("convert", f"{INPUTS}/slide.npy", "out.ome.zarr", *_CHUNKS, *THREADS),),
             wholes=("out.ome.zarr",)),
    Scenario("measure", ("measure", *_inputs("ab"), "--out", "measure.json")),
    Scenario("measure again", ("measure", *_inputs("abc"), "--out", "measure.json"),
             before=(("measure", *_inputs("a"), "--out", "measure.json", *THREADS),)),
    Scenario("search", _SEARCH),
    Scenario("search --overwrite", (*_SEARCH, "--overwrite"), before=((*_SEARCH, "--floor", "0.3", *THREADS),)),
    Scenario("detect", _DETECT),
    Scenario("detect --overwrite", (*_DETECT, "--overwrite"), before=((*_DETECT, "--floor", "0.3", *THREADS),)),
    Scenario("segment", _SEGMENT),
    Scenario("segment --overwrite", (*_SEGMENT, "--overwrite"), before=((*_SEGMENT, "--no-tissue-mask", *THREADS),)),
    Scenario("rethreshold", ("rethreshold", "found", "--confidence", "nuclear=0.9"), before=((*_DETECT, *THREADS),),
             has_cluster=False),
    Scenario("evaluate", ("evaluate", "found/peaks.parquet", "--truth", f"{INPUTS}/boxes.csv", "--out", "scores"),
             before=((*_SEARCH, *THREADS),), has_cluster=False),
    Scenario("train", ("train", "study", "--background", "1"), before=_CURATED, is_slow=True),
    Scenario("pretrain", _PRETRAIN, is_slow=True),
    Scenario("study create", (*_CREATE, *_MEASURED), has_cluster=False, refused_again=True),
    Scenario("study import", _IMPORT, before=_CURATED[:1], has_cluster=False),
    Scenario("study suggest", (*_SUGGEST, "--accept"), before=_CURATED[:2], says_more=True),
    Scenario("study suggest --out", (*_SUGGEST, "--out", "suggested.csv"), before=_CURATED[:2]),
    Scenario("study export table", ("study", "export", "study", "said.csv", "--overwrite"), before=_CURATED,
             has_cluster=False),
    Scenario("study export GeoJSON", ("study", "export", "study", "said", "--overwrite"), before=_CURATED,
             has_cluster=False),
)  # fmt: skip


def make_inputs(shop: Workshop) -> None:
    """Write all that commands read: images, a plate, boxes, a trunk, a model and a measurement."""
    shop.inputs.mkdir(parents=True)
    shop.trial.mkdir(parents=True)
    shop.call(lambda: _write_inputs(shop.inputs))
    for arguments in (_PLATE, ("measure", *_inputs(IMAGES), "--out", "measure.json")):
        succeed(shop, [*arguments, *THREADS])
    for path in shop.trial.iterdir():
        path.rename(shop.inputs / path.name)


def _write_inputs(folder: Path) -> None:
    from simsearch.core.synthetic import CYTOPLASM, NUCLEUS, cell_field

    rng = np.random.default_rng(0)
    names = {NUCLEUS: CLASSES[0], CYTOPLASM: CLASSES[1]}
    rows: list[tuple[object, ...]] = []
    for image in IMAGES:
        field = cell_field(rng, (SIDE, SIDE), n_cells=7, no_gfp_fraction=0)
        save_image(folder / f"{image}.ome.zarr", field.image)
        inner = [c for c in field.cells if min(c.y, c.x) >= 20 and max(c.y, c.x) < SIDE - 20]
        if image != IMAGES[-1]:  # which no study displays
            rows += [(image, names[cell.class_name], cell.y, cell.x, 32, 32) for cell in inner[:3]]
    columns = ("image", "class", "y", "x", "height", "width")
    save_table(folder / "boxes.csv", [columns, *rows])
    save_table(folder / "said.csv", [("role", *columns), *(("prototype", *row) for row in rows)])
    (folder / "wells").mkdir()
    for well in ("A01", "A02", "B01"):
        np.save(folder / "wells" / f"{well}.npy", cell_field(rng, (64, 72), n_cells=4).image)
    for name in ("slide", "other"):
        np.save(folder / f"{name}.npy", cell_field(rng, (90, 150), n_cells=6).image)
    (folder / "map.csv").write_text("well,drug,dose,unit\nA01,a,1,nM\nA02,a,2,nM\nB01,DMSO,0,nM\n")
    save_networks(folder)


def save_table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def save_image(path: Path, pixels: np.ndarray, channel_names: tuple[str, ...] = ("GFP", "DNA")) -> None:
    """Write pixels of (C, H, W) as OME-Zarr."""
    from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region

    template = ImageTemplate(
        n_channels=len(pixels), shape=pixels.shape[1:], dtype=str(pixels.dtype), channel_names=channel_names,
        channel_colors=("00FF00", "0000FF")[: len(pixels)], pixel_size_um=(0.5, 0.5), chunk=32, shard=64, n_levels=1,
    )  # fmt: skip
    create_image(path, template)
    for region in template.regions(0):
        write_region(path, 0, region, pixels[(slice(None), *region.slices)])
    finish_image(path, template)


def save_networks(folder: Path, classes: Sequence[str] = CLASSES, name: str = "model") -> None:
    """Write a trunk of random weights, and a model with it that has learned nothing but has an opinion."""
    import safetensors.torch
    import torch
    import torchvision

    from simsearch.nn.classifier import PatchClassifier, classifier_extractor
    from simsearch.nn.model_file import ModelHeader, model_to_bytes
    from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

    torch.manual_seed(5)
    trunk = folder / "trunk.safetensors"
    if not trunk.exists():
        network = torchvision.models.resnet18(weights=None)
        safetensors.torch.save_file(network.state_dict(), trunk)
    header = ModelHeader(
        kind="dense", classes=("background", *classes), patch_shapes=((32.0, 32.0),) * len(classes), downsampling=1,
        channels=("GFP", "DNA"), ranges=((100.0, 1500.0),) * 2, dtype="uint16", pixel_size_um=(0.5, 0.5),
        confidence_thresholds=(0.5,) * len(classes), trunk="", training={},
    )  # fmt: skip
    extractor = classifier_extractor("dense", (32, 32))
    model = PatchClassifier(trunk_from_bytes(read_trunk(str(trunk)), 2), extractor, 1 + len(classes))
    with torch.no_grad():
        model.head.weight *= 20
        model.head.bias.zero_()
    (folder / f"{name}.safetensors").write_bytes(model_to_bytes(model, header))


def shorten_training() -> None:
    """Let all trainings of this process and its copies take a second."""
    from simsearch.runtime import compute
    from simsearch.training.recipe import Schedule, TrainingConfig
    from simsearch.workflows.learn import train

    def schedule(n_epochs: int) -> Schedule:
        return Schedule(n_epochs, 4, decay_every=2, decay=0.1, n_patches=4)

    brief = TrainingConfig(noisy=replace(schedule(1), n_patches=None), clean=schedule(2), classifier=schedule(2))
    train.BRIEF = brief  # type: ignore[misc]  # a constant for all others
    compute.CPU_COUNT = 1


def template_of(shop: Workshop, scenario: Scenario) -> Path:
    """Return a folder with what stands there before a command, which is made the first time."""
    template = shop.root / "templates" / scenario.name.replace(" ", "_")
    if not template.exists():
        reset(shop, None)
        for arguments in scenario.before:
            cluster = () if "--cluster" in arguments or arguments[0] == "study" else THREADS
            succeed(shop, [*arguments, *cluster])
        shutil.copytree(shop.trial, template)
    return template


def succeed(shop: Workshop, arguments: Sequence[str]) -> Ended:
    """Run a command that nothing disturbs."""
    ended = shop.run(arguments)
    if ended.code or ended.outside:
        raise RuntimeError(f"expected {describe(arguments)} to work, got {ended.errors} {ended.outside}")
    return ended


def reset(shop: Workshop, template: Path | None) -> None:
    """Put a template in place of what is in the trial folder."""
    for path in shop.trial.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if template:
        shutil.copytree(template, shop.trial, dirs_exist_ok=True)
