"""From a curated study to a model (paper sections 2.3.3 and 2.4)."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.checks.options import check_among, check_range
from simsearch.core.feature_grid import from_level0
from simsearch.curation.background import N_BACKGROUND
from simsearch.curation.state import BACKGROUND, Curation, Patch, RoiClass, clean_objects, singled_out
from simsearch.curation.suggestions import beside_objects, inside_objects
from simsearch.errors import CurationError
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import write_whole
from simsearch.io.tables.peaks import read_peaks, write_peaks
from simsearch.io.tables.records.results_folder import only_writer
from simsearch.nn.classifier import KINDS, classifier_extractor
from simsearch.nn.model_file import ModelHeader, model_from_bytes
from simsearch.nn.trunk_file import trunk_label
from simsearch.runtime.events import Observer, ignore
from simsearch.runtime.tasks.labels import ANSWERED_NAME
from simsearch.runtime.tasks.train import AskedPlace, Place, TrainTask, run_training
from simsearch.runtime.training_log import CHECKPOINT_NAME, losses_of
from simsearch.runtime.views import View
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.curate.sight import study_setting
from simsearch.workflows.curate.study import MODEL_NAME, MODELS_NAME, study_images
from simsearch.workflows.curate.suggest import find_noisy
from simsearch.workflows.learn.answers import answers_of
from simsearch.workflows.learn.card import describe
from simsearch.workflows.learn.carried import shares_in_words, with_search
from simsearch.workflows.learn.claim import claim
from simsearch.workflows.learn.held_out import HeldOut, read_agreement
from simsearch.workflows.learn.sizes import Sizes, seen_sizes
from simsearch.workflows.provenance import arithmetic_key, fingerprint, image_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from simsearch.core.peaks import Peak
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.device import Arithmetic
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.query import Setting

NOISY_NAME = "noisy"
_CONFIDENCE = 0.5  # of a detection, where nobody has chosen

BRIEF = TrainingConfig(
    noisy=Schedule(10, 128, decay_every=5, decay=0.1),
    clean=Schedule(15, 32, decay_every=10, decay=0.1, n_patches=256),
    classifier=Schedule(15, 32, decay_every=10, decay=0.1, n_patches=256),
)
"""About as many steps as the paper takes with few clean patches, and a tenth of its passes over noisy ones: less costs
accuracy (benchmarks/RESULTS.md)."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How to train."""

    kind: str = "dense"
    """dense or patchwise."""
    selflearn: bool = True
    """Whether patches of images that are not displayed are learned from (+Selflearn)."""
    negatives: bool = True
    """Whether negatives are learned from (+Neg)."""
    paper: bool = False
    """Whether to train as long as the paper, with its noisy background, and without averaging of weights."""
    averaging: bool = True
    """Whether the weights of the last steps are averaged, where the paper takes the last."""
    beside: bool = True
    """Whether classes are objects: the classifier learns too that half a patch beside one is none, which the paper's
    does not. Beside a patch of an area there is more of it: False for what will be segmented."""
    search: bool = True
    """Whether the model carries the search that it came from, which says a part of its confidences; a patchwise model
    and one of `paper` or of areas do not."""
    n_noisy: int = 1000
    """At most so many noisy patches, as many of each class as there are; 0 for all."""
    n_background: int = N_BACKGROUND
    """Noisy background: so many of the most similar patches in each image, and so many others."""
    seed: int = 0
    """Source of all randomness."""

    def __post_init__(self) -> None:
        check_among("kind", self.kind, KINDS)
        check_range("seed", self.seed, 0)

    @property
    def carries_search(self) -> bool:
        """Whether the model gets the search that it came from."""
        return self.search and self.kind == "dense" and self.beside and not self.paper

    @property
    def config(self) -> TrainingConfig:
        """The schedule of training."""
        config = TrainingConfig() if self.paper else BRIEF
        averaging = config.averaging if self.averaging and not self.paper else 0.0
        return replace(config, averaging=averaging, use_negatives=self.negatives, seed=self.seed)


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What was trained."""

    model: Path
    """The model file; beside it its card, pictures, and the noisy patches."""
    sha256: str
    """Identity of the model."""
    n_patches: Mapping[str, Mapping[str, int]]
    """Number of patches by role and class."""
    losses: Mapping[str, tuple[float, ...]]
    """Loss of each epoch of each stage."""
    held_out: HeldOut | None = None
    """How well labels agree by cross-validation; None with `paper`."""
    decided_by: Mapping[str, str] = field(default_factory=dict)
    """By class in words how far the search decides that the model carries; empty without one."""
    notes: tuple[str, ...] = ()
    """Which labels disagree; which pictures are missing, and why."""


def train_study(
    client: Client,
    study: Study,
    curation: Curation,
    options: TrainOptions,
    *,
    out: Path | None = None,
    observe: Observer = ignore,
) -> TrainReport:
    """Train a model on what was curated.

    A training that was killed or cancelled goes on after its last epoch when it is started again with the same curation
    and options; one that is complete is not done again.

    Parameters
    ----------
    client : distributed.Client
        The cluster; one of its workers trains. Workers can read the images and write the study's folder, and `out`.
    study : Study
        Gets a folder in ``models``, unless there is `out`.
    curation : Curation
        What was said in it, with background or a second class.
    options : TrainOptions
        How to train.
    out : Path, optional
        Folder that gets the model and what lies beside it; may be in an object store.
    observe : callable
        Gets the events; each epoch is one.

    Returns
    -------
    TrainReport
        The same study, curation, options and machine give the same bytes.

    Raises
    ------
    CurationError
        If something needed was not said yet.
    ConfigError
        If there is no such kind of model, or patches are too small for it.
    Cancelled
        If it was cancelled.
    SourceError, StoreError, TrunkError
        If an image or the trunk cannot be read, or the folder cannot be written, or holds another training.
    """
    classes = trained_classes(curation)
    sizes = seen_sizes(curation, classes, options.kind)  # refuses what cannot be trained before anything is done
    setting = study_setting(client, study, curation, observe)
    images = {image.name: image for image in study_images(study)}
    identity = _identity(curation, images.values(), setting, options)
    folder = (out or study.folder / MODELS_NAME / identity).absolute()
    model = folder / MODEL_NAME
    with only_writer(folder), store_errors(str(folder)):
        is_done = claim(folder, model, identity, "curation") if out else model.exists()
        noisy = _noisy(client, study, curation, options, folder, images, observe) if options.selflearn else []
        header = _header(study, curation, classes, sizes, setting, options, next(iter(images.values())))
        task = _task(curation, header, noisy, images, setting, options, folder)
        if not is_done:
            blob = run_training(client, task, observe)
            if options.carries_search:
                answered = folder / ANSWERED_NAME
                blob = with_search(client, study, curation, blob, setting.arithmetic, observe, answered)
            write_whole(model, blob)
        # Of a model that was complete before: its confidence thresholds may have been others.
        task = replace(task, header=model_from_bytes(model.read_bytes(), str(model))[1])
        report = _report(folder, task)
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
        return describe(report, task, options, trunk_label(study.trunk, setting.trunk))


def trained_classes(curation: Curation) -> list[RoiClass]:
    """Return the classes that a model can learn.

    Raises
    ------
    CurationError
        If there is none, or nothing to tell it from.
    """
    classes = [each for each in curation.classes if singled_out(each) or each.positives]
    if not classes:
        raise CurationError("expected a class with a prototype, got none: draw one, or import boxes")
    if not curation.background and len(classes) < 2:
        raise CurationError(
            "expected accepted background or a second class, got neither: accept what is suggested "
            "(`simsearch study suggest --accept`)"
        )
    return classes


def _identity(curation: Curation, images: Iterable[ImageMeta], setting: Setting, options: TrainOptions) -> str:
    """Name a training by all that it depends on."""

    def places(patches: Iterable[Patch]) -> list[tuple[str, float, float]]:
        return [(patch.image, patch.y, patch.x) for patch in patches]

    said = [
        (
            c.name,
            places(c.prototypes),
            places((*c.positives, *c.confirmed)),
            places(c.negatives),
            c.similarity_threshold,
        )
        for c in curation.classes
    ]
    content: dict[str, Any] = {
        "images": [image_key(image) for image in images],
        "displayed": curation.displayed,
        "patch": curation.patch_shape,
        "classes": said,
        "background": places(curation.background),
        "not_background": places(curation.not_background),
        "channels": curation.channels,
        "ranges": setting.ranges,
        "trunk": setting.trunk,
        "options": asdict(options),
        "config": asdict(options.config),
        **arithmetic_key(_arithmetic(setting, options)),
    }
    shapes = [curation.shape_of(each) for each in curation.classes]
    differing = {} if set(shapes) == {curation.patch_shape} else {"patches": shapes}
    return fingerprint(content | differing)[:12]


def _arithmetic(setting: Setting, options: TrainOptions) -> Arithmetic:
    """Choose what the trunk computes with: as where images are looked at, but for the paper's training."""
    return "float32" if options.paper else setting.arithmetic


def _noisy(
    client: Client,
    study: Study,
    curation: Curation,
    options: TrainOptions,
    folder: Path,
    images: Mapping[str, ImageMeta],
    observe: Observer,
) -> list[Peak]:
    """Find noisy patches, or take those that an earlier run of the same training found."""
    kept = folder / NOISY_NAME / "peaks.parquet"
    if not kept.exists():  # of the files there, it comes last
        found = find_noisy(
            client, study, curation, n_background=options.n_background, paper=options.paper, observe=observe
        )
        kept.parent.mkdir(exist_ok=True)
        write_peaks(_balanced(found, options.n_noisy, options.seed), images, kept.parent)
    return read_peaks(kept)


def _balanced(peaks: Sequence[Peak], n: int, seed: int) -> list[Peak]:
    """Choose n peaks at random, of each class as many as there are up to the same number; all if n is 0."""
    if n == 0 or len(peaks) <= n:
        return list(peaks)
    rng = np.random.default_rng(seed)
    shuffled = [peaks[i] for i in rng.permutation(len(peaks))]
    by_class = {
        name: [p for p in shuffled if p.class_name == name] for name in dict.fromkeys(p.class_name for p in peaks)
    }
    chosen: list[Peak] = []
    for name in cycle(by_class):
        if len(chosen) == n:
            break
        if by_class[name]:
            chosen.append(by_class[name].pop())
    return chosen


def _header(
    study: Study,
    curation: Curation,
    classes: Sequence[RoiClass],
    sizes: Sizes,
    setting: Setting,
    options: TrainOptions,
    image: ImageMeta,
) -> ModelHeader:
    chosen = [each.confidence_threshold for each in classes]
    return ModelHeader(
        kind=options.kind,
        classes=(BACKGROUND, *(each.name for each in classes)),
        patch_shapes=sizes.patch_shapes,
        downsampling=sizes.downsampling,
        channels=curation.channels,
        ranges=setting.ranges,
        dtype=study.dtype,
        pixel_size_um=image.pixel_size_um,
        confidence_thresholds=tuple(_CONFIDENCE if value is None else value for value in chosen),
        trunk=setting.trunk,
        training={},
    )


def _task(
    curation: Curation,
    header: ModelHeader,
    noisy: Sequence[Peak],
    images: Mapping[str, ImageMeta],
    setting: Setting,
    options: TrainOptions,
    folder: Path,
) -> TrainTask:
    names = [*{p.image for p in curation.patches()}, *{peak.image for peak in noisy}]
    indices = {name: index for index, name in enumerate(sorted(set(names)))}

    single = {patch.id for each in curation.classes for patch in singled_out(each)}

    def place(at: Patch | Peak, label: int) -> Place:
        y, x = from_level0(at.y, header.downsampling), from_level0(at.x, header.downsampling)
        return Place(indices[at.image], y, x, label, getattr(at, "id", None) in single)

    clean = [place(patch, 0) for patch in curation.background]
    negatives = []
    for label, (name, shape) in enumerate(zip(header.classes[1:], header.patch_shapes, strict=True), start=1):
        roi_class = curation.roi_class(name)
        clean += [place(patch, label) for patch in clean_objects(roi_class, shape)]
        negatives += [place(patch, label) for patch in roi_class.negatives]
    beside = []
    if options.beside and not options.paper:
        beside = [place(patch, 0) for patch in beside_objects(curation, options.seed)]
        labels = {name: label for label, name in enumerate(header.classes)}
        beside += [place(at, labels[name]) for name, at in inside_objects(curation, options.seed) if name in labels]
    answers = answers_of(curation, header.classes[1:]) if options.carries_search else []
    asked = (AskedPlace(place(a.patch, header.classes.index(a.class_name)), a.is_right) for a in answers)
    extractor = classifier_extractor(header.kind, header.working_shape)
    return TrainTask(
        views=tuple(
            View(scaled(images[name], header.downsampling), setting.channels, setting.ranges, extractor, setting.trunk)
            for name in indices
        ),
        clean=tuple(clean),
        negatives=tuple(negatives),
        noisy=tuple(place(peak, header.classes.index(peak.class_name)) for peak in noisy),
        beside=tuple(beside),
        header=header,
        config=options.config,
        folder=str(folder),
        arithmetic=_arithmetic(setting, options),
        is_checked=not options.paper,
        answers=tuple(asked),
    )


def _report(folder: Path, task: TrainTask) -> TrainReport:
    def counted(places: Sequence[Place]) -> dict[str, int]:
        counts = Counter(place.label for place in places)
        return {name: counts[label] for label, name in enumerate(task.header.classes) if counts[label]}

    path = folder / MODEL_NAME
    return TrainReport(
        model=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        n_patches={"clean": counted(task.clean), "negative": counted(task.negatives), "noisy": counted(task.noisy)},
        losses=losses_of(folder),
        held_out=read_agreement(folder, task.header.classes) if task.is_checked else None,
        decided_by=shares_in_words(task.header),
    )
