"""Train a trunk on one's own images, without labels."""

from __future__ import annotations

import hashlib
import random
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, get_args

from simsearch.core.boxes import Box, patch_shapes
from simsearch.core.checks.json_text import parse_json
from simsearch.core.checks.options import check_among, check_range
from simsearch.core.feature_grid import working_downsampling
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.plates.hierarchy import find_images
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.drawing import missing_picture, try_to_draw
from simsearch.io.pictures.model_card import draw_losses, write_card
from simsearch.io.places import write_whole
from simsearch.io.tables.boxes import read_boxes
from simsearch.io.tables.records.results_folder import only_writer
from simsearch.nn.extractor import make_extractor
from simsearch.nn.trunk_file import trunk_label, write_trunk
from simsearch.runtime.crops import CropOptions, CropSource, image_percentiles
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.tasks.pretrain import Judged, PretrainTask, pretrain_on_worker
from simsearch.runtime.training_log import CHECKPOINT_NAME, PATCHES_NAME, VALIDATIONS_NAME, losses_of, run_followed
from simsearch.runtime.views import View
from simsearch.runtime.worker import lent
from simsearch.training.pretrain import Method, PretrainConfig
from simsearch.workflows.find.measure import read_ranges
from simsearch.workflows.find.trunks import read_chosen_trunk
from simsearch.workflows.learn.claim import claim
from simsearch.workflows.provenance import fingerprint, image_key, write_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simsearch.core.intensity import Range
    from simsearch.io.ome_zarr.image import ImageMeta, Selection
    from simsearch.runtime import Client

_N_PROTOTYPES = 5
_JUDGED_PERCENTILES = 2  # which pair of `image_percentiles`: that of a measurement


@dataclass(frozen=True, slots=True)
class PretrainOptions:
    """How to train a trunk."""

    method: str | None = None
    """simclr, distill, or both; by default distill where there is a teacher, else simclr."""
    teacher: str | None = None
    """Whom to distil from: bundled, imagenet, a file or its URL."""
    begin: str | None = None
    """What to begin with: bundled, imagenet, a file or its URL; by default random weights."""
    steps: int = 10_000
    """Batches to learn from."""
    batch: int = 64
    """Crops in a batch."""
    rate: float = 3e-3
    """Highest learning rate."""
    crop: int = 96
    """Side of a crop that the network sees, in pixels."""
    scales: tuple[float, float] = (0.4, 4.0)
    """Least and most level-0 pixels per pixel of a crop."""
    checkpoint: int = 100
    """Steps between two checkpoints."""
    bfloat16: bool = False
    """Whether to compute in bfloat16."""
    measurement: Path | None = None
    """JSON of `simsearch measure` with the intensity ranges; by default percentiles of each image."""
    validate: Path | None = None
    """CSV with boxes (image, class, y, x, height, width) in some of the images, which are not trained on then."""
    validate_every: int = 1000
    """Steps between two validations, rounded up to a checkpoint."""
    z: Selection = None
    """Which z plane, or max for the maximum over all."""
    t: Selection = None
    """Which time point, or max for the maximum over all."""
    seed: int = 0
    """Source of all randomness."""

    def __post_init__(self) -> None:
        if self.method is not None:
            check_among("method", self.method, get_args(Method))
        check_range("seed", self.seed, 0)

    @property
    def config(self) -> PretrainConfig:
        """The schedule of training."""
        method = self.method or ("distill" if self.teacher else "simclr")
        if (method == "simclr") == bool(self.teacher):
            wanted = "no teacher" if self.teacher else "a teacher"
            raise ConfigError(
                f"expected {wanted} for the method {method}: choose --method and --teacher that go together"
            )
        return PretrainConfig(
            method=method,  # type: ignore[arg-type]  # checked above
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            crop=self.crop,
            epoch=self.checkpoint,
            bfloat16=self.bfloat16,
            validate_every=max(1, -(-self.validate_every // self.checkpoint)),
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class Validation:
    """How well the trunk found objects after some steps."""

    stage: str
    """simclr or distill."""
    step: int
    """Steps done, counted over all stages."""
    scores: Mapping[str, float]
    """Average precision of search peaks of each class."""


@dataclass(frozen=True, slots=True)
class PretrainReport:
    """What was trained."""

    trunk: Path
    """The trunk: for ``--trunk``."""
    sha256: str
    """Its identity."""
    folder: Path
    """Card, pictures and progress."""
    n_images: int
    """Images that it was trained on."""
    losses: Mapping[str, tuple[float, ...]]
    """Loss of each epoch of each stage."""
    validations: tuple[Validation, ...]
    """In the order of steps."""
    notes: tuple[str, ...] = ()
    """Which pictures are missing, and why."""


def pretrain_trunk(
    client: Client, paths: Sequence[str | Path], out: Path, options: PretrainOptions, *, observe: Observer = ignore
) -> PretrainReport:
    """Train a trunk on images of any kinds and numbers of channels.

    A training that was killed or cancelled goes on after its last checkpoint when it is started again with the same
    images and options; one that is complete is not done again.

    Parameters
    ----------
    client : distributed.Client
        The cluster; one of its workers trains. Workers can read the images and write beside `out`.
    paths : sequence of str or Path
        OME-Zarr images and plates; each path is equally likely to be looked at, and each field of a plate.
    out : Path
        Gets the trunk (``.safetensors``), and beside it its sha256 and a folder ``NAME-training`` with card, pictures
        and progress. May be in an object store.
    options : PretrainOptions
        How to train.
    observe : callable
        Gets the events; each epoch, which ends with a checkpoint, is one.

    Returns
    -------
    PretrainReport
        The same images, options and CPU give the same bytes; a GPU's sums may differ in their last digits.

    Raises
    ------
    ConfigError
        If options are wrong or do not go together.
    SourceError, TrunkError, AnnotationError
        If an image, a trunk or the truth cannot be read.
    StoreError
        If the folder cannot be written, or holds another training.
    Cancelled
        If it was cancelled.
    """
    config, out = options.config, out.absolute()
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: expected a name that ends in .safetensors, got {out.name}: rename it")
    groups = [find_images([path], z=options.z, t=options.t) for path in paths]
    judged = _judged([image for group in groups for image in group], options) if options.validate else ()
    sources = _sources(groups, judged, options)
    folder = out.with_name(f"{out.stem}-training")
    with ExitStack() as stack, store_errors(str(folder)):
        trunks = {role: read_chosen_trunk(choice) for role, choice in _choices(options).items()}
        digests = {role: stack.enter_context(lent(client, blob)) for role, blob in trunks.items()}
        task = PretrainTask(
            sources=sources,
            crops=CropOptions(config.read_side, options.scales),
            config=config,
            judged=judged,
            teacher=digests.get("teacher"),
            begin=digests.get("begin"),
            folder=str(folder),
        )
        stack.enter_context(only_writer(folder))  # once it is known that there will be a training
        if not claim(folder, out, _identity(task), "images"):
            write_trunk(run_followed(client, pretrain_on_worker, task, observe), out, write_whole)
        report = _report(out, folder, task)
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
        labels = {role: trunk_label(choice, digests[role]) for role, choice in _choices(options).items()}
        return _describe(report, task, options, labels)


def _choices(options: PretrainOptions) -> dict[str, str]:
    found = {"teacher": options.teacher, "begin": options.begin}
    return {role: choice for role, choice in found.items() if choice}


def _sources(
    groups: Sequence[Sequence[ImageMeta]], judged: Sequence[Judged], options: PretrainOptions
) -> tuple[CropSource, ...]:
    """List what is trained on: all but the images that judge."""
    held_back = {view.image.meta.name for each in judged for view in each.views}
    kept = [[image for image in group if image.name not in held_back] for group in groups]
    sources = []
    for group in kept:
        for image in group:
            ranges = read_ranges(options.measurement, image.channel_names) if options.measurement else None
            sources.append(CropSource(image, 1 / len(group), ranges))
    if not sources:
        raise ConfigError(
            f"expected images to train on, got only those that {options.validate} names: name more images"
        )
    return tuple(sources)


def _judged(images: Sequence[ImageMeta], options: PretrainOptions) -> tuple[Judged, ...]:
    """Tell what judges the trunk: template search for prototypes drawn from the boxes of each class."""
    assert options.validate is not None
    by_name = {image.name: image for image in images}
    boxes = read_boxes(options.validate, {name: image.shape for name, image in by_name.items()})
    found = []
    for class_name, shape in patch_shapes(boxes).items():
        own = [box for box in boxes if box.class_name == class_name]
        names = sorted({box.image for box in own})
        downsampling = working_downsampling(shape)
        extractor = make_extractor("template", (round(shape[0] / downsampling), round(shape[1] / downsampling)))
        views = tuple(
            View(
                scaled(by_name[name], downsampling),
                tuple(range(by_name[name].n_channels)),
                _ranges(by_name[name], options),
                extractor,
                trunk="",
            )
            for name in names
        )
        objects = tuple(tuple(box for box in own if box.image == name) for name in names)
        found.append(Judged(class_name, views, objects, _prototypes(own, names, options.seed)))
    return tuple(found)


def _ranges(image: ImageMeta, options: PretrainOptions) -> tuple[Range, ...]:
    if options.measurement:
        return read_ranges(options.measurement, image.channel_names)
    return tuple(pairs[_JUDGED_PERCENTILES] for pairs in image_percentiles(image))


def _prototypes(boxes: Sequence[Box], names: Sequence[str], seed: int) -> tuple[tuple[int, Box], ...]:
    drawn = random.Random(seed).sample(list(boxes), min(_N_PROTOTYPES, len(boxes)))
    return tuple((names.index(box.image), box) for box in drawn)


def _identity(task: PretrainTask) -> str:
    """Name a training by all that it depends on."""
    content = {
        "images": [[image_key(each.image), each.weight, each.ranges] for each in task.sources],
        "crops": asdict(task.crops),
        "config": asdict(task.config),
        "judged": [[each.class_name, asdict(box)] for each in task.judged for boxes in each.objects for box in boxes],
        "teacher": task.teacher,
        "begin": task.begin,
    }
    return fingerprint(content)


def _report(out: Path, folder: Path, task: PretrainTask) -> PretrainReport:
    return PretrainReport(
        trunk=out,
        sha256=hashlib.sha256(out.read_bytes()).hexdigest(),
        folder=folder,
        n_images=len(task.sources),
        losses=losses_of(folder),
        validations=tuple(Validation(**each) for each in parse_json((folder / VALIDATIONS_NAME).read_text())),
    )


def _describe(
    report: PretrainReport, task: PretrainTask, options: PretrainOptions, labels: Mapping[str, str]
) -> PretrainReport:
    """Write the card and the record, and tell which pictures are missing."""
    folder, config = report.folder, task.config
    notes = try_to_draw(folder / "losses.png", lambda: draw_losses(report.losses, folder / "losses.png"))
    report = replace(report, notes=(*notes, *missing_picture(folder / PATCHES_NAME)))
    facts = {
        "trunk": f"ResNet-18 up to layer3, for RGB, float16: {report.trunk.name}",
        "sha256": report.sha256,
        "method": config.method,
        "teacher": labels.get("teacher", "none"),
        "began with": labels.get("begin", "random weights"),
        "images": _listed([source.image.path for source in task.sources]),
        "crops": f"{config.crop} px at {options.scales[0]:g} to {options.scales[1]:g} px of full resolution a pixel",
        "batches": f"{config.steps} of {config.batch} crops, highest rate {config.rate:g}, seed {config.seed}",
        **{f"{stage} loss": f"{values[0]:.3f} to {values[-1]:.3f}" for stage, values in report.losses.items()},
        **{f"average precision, {name}": text for name, text in _curves(report.validations).items()},
    }
    write_card(facts, folder / "README.md")
    content = {"options": options, "config": config, "trunks": labels, "report": report}
    write_run(folder, "pretrain", {**content, "images": [source.image.path for source in task.sources]})
    return report


def _listed(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:20])
    return f"{len(paths)}: {shown}" + (", ... (all in run.json)" if len(paths) > 20 else "")


def _curves(validations: Sequence[Validation]) -> dict[str, str]:
    """Write the validations of each class as text."""
    curves: dict[str, list[str]] = {}
    for each in validations:
        for name, value in each.scores.items():
            curves.setdefault(name, []).append(f"{value:.3f} (step {each.step})")
    return {name: ", ".join(values) for name, values in curves.items()}
