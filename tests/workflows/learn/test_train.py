"""A study is trained: reproducibly, on a worker that may be killed, and once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.core.tiles import Region
from simsearch.curation.actions import AddClass, apply
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import BACKGROUND, Curation, Patch
from simsearch.errors import Cancelled, ConfigError, CurationError, SourceError
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.io.tables.held_out import read_held_out
from simsearch.io.tables.peaks import read_peaks
from simsearch.nn.model_file import model_from_bytes
from simsearch.nn.trunk_file import BUNDLED_SHA256
from simsearch.runtime import compute, training_log
from simsearch.runtime.tasks import train as train_tasks
from simsearch.runtime.training_log import CHECKPOINT_NAME, PROGRESS_NAME, cancel_training, read_progress
from simsearch.runtime.views import View, read_pixels
from simsearch.training.epochs import EpochDone
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.curate.study import Study, StudyOptions, create_study, read_curation
from simsearch.workflows.curate.trained import read_trained
from simsearch.workflows.learn import card
from simsearch.workflows.learn import train as train_module
from simsearch.workflows.learn.train import TrainOptions, TrainReport, train_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client

    from simsearch.runtime.events import Event
    from tests.workflows.conftest import Cells

    Copied = Callable[[Study], Study]

CLASSES = (BACKGROUND, CYTOPLASM, NUCLEUS)
MINI = TrainingConfig(
    noisy=Schedule(1, 4, decay_every=5, decay=0.1),
    clean=Schedule(2, 4, decay_every=10, decay=0.1, n_patches=4),
    classifier=Schedule(3, 4, decay_every=10, decay=0.1, n_patches=4),
    averaging=0.8,
)
EPOCHS = [("noisy", 1), ("clean", 1), ("clean", 2), ("classifier", 1), ("classifier", 2), ("classifier", 3)]
OPTIONS = TrainOptions(n_background=1, n_noisy=4)


def state(study: Study) -> Curation:
    return read_curation(study)[0].state


class Watch:
    """Keeps the epochs that it is told of."""

    def __init__(self, then: Callable[[int], None] = lambda n: None) -> None:
        self.epochs: list[EpochDone] = []
        self._then = then

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, EpochDone):
            self.epochs.append(event)
            self._then(len(self.epochs))

    @property
    def names(self) -> list[tuple[str, int]]:
        """Return their stages and numbers."""
        return [(event.stage, event.epoch) for event in self.epochs]


@pytest.fixture
def mini(tiny_training: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a second: what comes out is of no use."""
    monkeypatch.setattr(train_module, "BRIEF", MINI)


@pytest.fixture
def run(client: Client, curated: Study, copied: Copied, mini: None) -> Callable[..., TrainReport]:
    """Train in a copy of the curated study; keywords change the options."""

    def run(observe: Callable[[Event], None] = lambda event: None, **changes: object) -> TrainReport:
        study = copied(curated)
        shutil.rmtree(study.folder / "models", ignore_errors=True)
        return train_study(client, study, state(study), replace(OPTIONS, **changes), observe=observe)  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="module")
def whole(client: Client, curated: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainReport]:
    """Train in one go, as `run` does."""
    folder = shutil.copytree(curated.folder, tmp_path_factory.mktemp("whole") / "study")
    shutil.rmtree(folder / "models", ignore_errors=True)
    n_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "BRIEF", MINI)
        patch.setattr(compute, "CPU_COUNT", 1)
        yield train_study(client, replace(curated, folder=folder), state(curated), OPTIONS)
    torch.set_num_threads(n_threads)


# What is learned


def test_classes_are_told_apart_on_cells_that_were_never_seen(trained: TrainReport, cells: Cells) -> None:
    model, header = model_from_bytes(trained.model.read_bytes())
    assert header.classes == CLASSES
    unseen = cells.in_images("ghi", margin=12)
    views = {
        path[-len("g.ome.zarr")]: View(scaled(describe_image(path)), (0, 1), header.ranges, model.extractor, "")
        for path in cells.unseen
    }
    half = model.input_shape[0] // 2
    crops = [
        read_pixels(views[o.image], Region(round(o.y) - half, round(o.y) + half, round(o.x) - half, round(o.x) + half))
        for o in unseen
    ]
    found = model(torch.stack(crops)).argmax(dim=1).tolist()
    right = sum(header.classes[label] == o.class_name for label, o in zip(found, unseen, strict=True))
    assert right > 0.8 * len(unseen)  # who guesses is right for half


def test_the_report_tells_what_was_learned_from(trained: TrainReport, curated: Study) -> None:
    curation = state(curated)
    assert trained.sha256 == hashlib.sha256(trained.model.read_bytes()).hexdigest()
    assert {stage: len(losses) for stage, losses in trained.losses.items()} == {
        "noisy": 1, "clean": 2, "classifier": 12,
    }  # fmt: skip
    assert trained.losses["classifier"][-1] < trained.losses["classifier"][0]
    assert trained.n_patches["negative"] == {CYTOPLASM: 2, NUCLEUS: 2}
    clean = trained.n_patches["clean"]
    assert clean[BACKGROUND] == len(curation.background)
    for roi_class in curation.classes:
        n_drawn, n_accepted = len(roi_class.prototypes), len(roi_class.positives)
        assert n_accepted <= clean[roi_class.name] <= n_drawn + n_accepted  # what was drawn and found is one object
    noisy = read_peaks(trained.model.parent / "noisy" / "peaks.parquet")
    assert sum(trained.n_patches["noisy"].values()) == len(noisy) > 5
    assert {peak.image for peak in noisy} == {"e", "f"}


def test_model_card_and_record_are_beside_the_model(trained: TrainReport) -> None:
    folder = trained.model.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock", "README.md", "answered.csv", "held_out.csv", "losses.png", "losses.svg", "model.safetensors",
        "noisy", "patches.png", "progress.jsonl", "run.json",
    ]  # fmt: skip
    card = (folder / "README.md").read_text(encoding="utf-8")
    for fact in (trained.sha256, "background, GFP in cytoplasm, GFP in nucleus", "40 x 40 px", "uint16, 0.5 x 0.5 um",
                 "12 epochs, loss", "2 epochs, loss"):  # fmt: skip
        assert fact in card
    with Image.open(folder / "patches.png") as sheet:
        # Three classes as approved, two of them as flagged, three of them as found.
        assert sheet.height == 8 * (72 + 4 + 26)
        assert np.asarray(sheet).std() > 10
    with Image.open(folder / "losses.png") as losses:
        assert losses.width > 2 * losses.height
    run = json.loads((folder / "run.json").read_text())
    assert run["workflow"] == "train"
    assert run["trunk"] == f"bundled@{BUNDLED_SHA256[:16]}"
    assert run["options"]["kind"] == "dense"
    assert run["config"]["clean"]["epochs"] == 2
    assert run["report"]["sha256"] == trained.sha256
    _, header = model_from_bytes(trained.model.read_bytes())
    assert header.training["classifier"]["epochs"] == 12
    assert header.training["n_noisy"] == sum(trained.n_patches["noisy"].values())
    assert (header.dtype, header.pixel_size_um, header.channels) == ("uint16", (0.5, 0.5), ("GFP", "DNA"))


def test_labels_that_disagree_are_named_and_learned_from_less(
    client: Client, curated: Study, copied: Copied, mini: None
) -> None:
    study = copied(curated)
    shutil.rmtree(study.folder / "models", ignore_errors=True)
    said = state(study)
    cytoplasm, nucleus = said.classes
    taken, rest = nucleus.positives[:2], nucleus.positives[2:]
    wrong = replace(cytoplasm, positives=(*cytoplasm.positives, *taken)), replace(nucleus, positives=rest)
    report = train_study(client, study, replace(said, classes=wrong), replace(OPTIONS, selflearn=False))
    assert report.held_out is not None
    rows = read_held_out(report.model.with_name("held_out.csv"), CLASSES)
    doubtful = {(row.y, row.x) for row in rows if row.is_doubtful}
    assert {(p.y, p.x) for p in taken} & doubtful
    assert [row.is_doubtful for row in rows] == sorted((row.is_doubtful for row in rows), reverse=True)
    assert report.held_out.n_doubtful == len(doubtful) <= len(taken) + 2
    assert f"{len(doubtful)} patch" in report.notes[0]
    # 0.69 is what nobody errs but who labelled: both wrong ones are the surest of the 13 that look like a nucleus.
    assert report.held_out.classes[NUCLEUS].average_precision > 0.69
    (model,) = read_trained(study)
    assert model.n_doubtful == len(doubtful)
    assert model.held_out[NUCLEUS] == asdict(report.held_out.classes[NUCLEUS])
    assert report.model.with_name("held_out.csv") in model.files


# Seeds and options


def test_the_same_seed_gives_the_same_bytes_wherever_the_study_is(
    whole: TrainReport, run: Callable[..., TrainReport]
) -> None:
    again, other = run(), run(seed=1)
    assert again.model.parent != whole.model.parent
    assert again.model.parent.name == whole.model.parent.name
    assert again.sha256 == whole.sha256
    assert again.losses == whole.losses
    assert other.sha256 != whole.sha256


def test_without_selflearning_there_is_no_noisy_stage(
    whole: TrainReport, run: Callable[..., TrainReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "draw_losses", lambda *_: 1 / 0)  # pictures never cost a model
    monkeypatch.setattr(train_tasks, "draw_patches", lambda *_: 1 / 0)
    report = run(selflearn=False)
    assert [note.partition(" was not drawn")[0] for note in report.notes] == ["losses.png", "patches.png"]
    assert (report.model.parent / "run.json").exists()
    assert list(report.losses) == ["clean", "classifier"]
    assert report.n_patches["noisy"] == {}
    assert not (report.model.parent / "noisy").exists()
    assert list(whole.losses) == ["noisy", "clean", "classifier"]
    assert sum(whole.n_patches["noisy"].values()) == 4  # as many as were asked for


@pytest.mark.parametrize("option", ["negatives", "beside"])
def test_what_is_switched_off_makes_a_difference(
    whole: TrainReport, run: Callable[..., TrainReport], option: str
) -> None:
    report = run(**{option: False})
    assert report.sha256 != whole.sha256
    assert report.model.parent.name != whole.model.parent.name
    stages = [stage for stage, losses in report.losses.items() if losses != whole.losses[stage]]
    first = {"negatives": "clean", "beside": "classifier"}  # what was before is the same
    assert stages[0] == first[option]


def test_the_papers_schedule_is_for_who_asks_for_it() -> None:
    paper = TrainOptions(paper=True, seed=4).config
    assert paper == replace(TrainingConfig(), averaging=0.0, seed=4)
    assert TrainOptions().config.averaging > TrainOptions(averaging=False).config.averaging == 0
    assert TrainOptions().config.noisy.epochs < paper.noisy.epochs
    assert not TrainOptions(negatives=False).config.use_negatives


# Going on


def test_what_is_complete_is_not_done_again(
    client: Client, whole: TrainReport, curated: Study, mini: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> bytes:
        raise AssertionError("it is trained again")

    monkeypatch.setattr(train_module, "run_training", refuse)
    monkeypatch.setattr(train_module, "find_noisy", refuse)
    study = replace(curated, folder=whole.model.parents[2])
    before = whole.model.stat().st_mtime_ns
    assert train_study(client, study, state(study), OPTIONS) == whole
    assert whole.model.stat().st_mtime_ns == before


class Slow:
    """Lets a training in this process take its time until it is cancelled, and tells what it goes on from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun_after: list[int] = []
        observe, begin = training_log.TrainingLog.observe, training_log.TrainingLog.__init__

        def slowly(log: training_log.TrainingLog, event: EpochDone) -> None:
            observe(log, event)
            for _ in range(100):
                if self.is_hasty or (log._folder / "cancel").exists():
                    break
                time.sleep(0.01)

        def noted(log: training_log.TrainingLog, folder: Path, device: torch.device) -> None:
            begin(log, folder, device)
            self.begun_after.append(len(log._epochs))

        self.is_hasty = False
        monkeypatch.setattr(training_log.TrainingLog, "observe", slowly)
        monkeypatch.setattr(training_log.TrainingLog, "__init__", noted)


def test_a_training_that_was_cancelled_goes_on_to_the_same_bytes(
    client: Client, whole: TrainReport, curated: Study, copied: Copied, mini: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, slow = copied(curated), Slow(monkeypatch)
    folder = study.folder / "models" / whole.model.parent.name

    def cancel(n_epochs: int) -> None:
        if n_epochs == 2:
            threading.Thread(target=cancel_training, args=(folder,)).start()

    first = Watch(cancel)
    with pytest.raises(Cancelled, match="training was cancelled; run the same command again to go on"):
        train_study(client, study, state(study), OPTIONS, observe=first)
    n_done = len(first.epochs)
    assert first.names == EPOCHS[:n_done]
    assert 2 <= n_done < len(EPOCHS)
    assert not (folder / "model.safetensors").exists()

    leave_half_written(folder, EPOCHS[n_done])
    slow.is_hasty = True
    second = Watch()
    report = train_study(client, study, state(study), OPTIONS, observe=second)
    assert slow.begun_after == [0, n_done]
    assert second.names == EPOCHS
    assert [event.loss for event in second.epochs[:n_done]] == [event.loss for event in first.epochs]
    assert report.sha256 == whole.sha256
    assert report.losses == whole.losses
    assert [(event.stage, event.epoch) for event in read_progress(folder)] == EPOCHS


def leave_half_written(folder: Path, epoch: tuple[str, int]) -> None:
    """Leave what a kill leaves: an epoch after the checkpoint, the beginning of another, files cut short."""
    n_before = len(read_progress(folder))
    after = EpochDone(*epoch, n_epochs=9, loss=9.0)
    with (folder / PROGRESS_NAME).open("a") as file:
        file.write(json.dumps(asdict(after)) + '\n{"stage": "cl')
    assert len(read_progress(folder)) == n_before + 1
    for name in (CHECKPOINT_NAME, "model.safetensors"):
        (folder / f"{name}.partial").write_bytes(b"half")


@pytest.mark.cluster
def test_a_training_whose_worker_is_killed_goes_on_to_the_same_bytes(
    one_process: Client, curated: Study, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "BRIEF", replace(MINI, classifier=replace(MINI.classifier, epochs=12)))
    killed, undisturbed = copied(curated), copied(curated)
    options = replace(OPTIONS, selflearn=False)
    expected = train_study(one_process, undisturbed, state(undisturbed), options)
    folder = killed.folder / "models" / expected.model.parent.name
    (pid,) = one_process.run(os.getpid).values()

    def kill(n_epochs: int) -> None:
        if n_epochs == 3:
            kill_and_mark(pid, folder)

    watch = Watch(kill)
    report = train_study(one_process, killed, state(killed), options, observe=watch)
    assert report.sha256 == expected.sha256
    names = [("clean", 1), ("clean", 2), *(("classifier", epoch) for epoch in range(1, 13))]
    assert watch.names == names  # each epoch is told once
    assert [(e.stage, e.epoch) for e in read_progress(folder)] == names  # and stands there once
    assert report.losses["clean"] == (MARK, expected.losses["clean"][1])  # the first was not done again
    assert report.losses["classifier"] == expected.losses["classifier"]
    assert not (folder / CHECKPOINT_NAME).exists()
    (other,) = one_process.run(os.getpid).values()
    assert other != pid


MARK = 123.0


def kill_and_mark(pid: int, folder: Path) -> None:
    """Kill a worker, and before another takes its place write into the checkpoint that there was one."""
    os.kill(pid, signal.SIGKILL)
    for _ in range(1000):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.001)
    checkpoint: dict[str, Any] = torch.load(folder / CHECKPOINT_NAME, weights_only=True)
    checkpoint["epochs"][0]["loss"] = MARK
    torch.save(checkpoint, folder / CHECKPOINT_NAME)


# What is missing


def test_a_class_alone_needs_background(client: Client, curated: Study, copied: Copied) -> None:
    study = copied(curated)
    bare = replace(state(study), background=(), classes=state(study).classes[:1])
    with pytest.raises(CurationError, match=r"expected accepted background or .*: accept .*study suggest --accept"):
        train_study(client, study, bare, TrainOptions())


def test_two_classes_need_no_background_and_a_patchwise_model_learns_them_too(
    client: Client, curated: Study, copied: Copied, mini: None
) -> None:
    study = copied(curated)
    options = replace(OPTIONS, kind="patchwise", selflearn=False, beside=False)
    report = train_study(client, study, replace(state(study), background=()), options)
    assert set(report.n_patches["clean"]) == {CYTOPLASM, NUCLEUS}
    model, header = model_from_bytes(report.model.read_bytes())
    assert (header.kind, header.classes) == ("patchwise", CLASSES)
    assert model.head.kernel_size == (1, 1)


def test_without_classes_nothing_is_trained(client: Client, cells: Cells, tmp_path: Path) -> None:
    study = create_study(tmp_path / "study", cells.paths, StudyOptions())
    for curation in (study.initial, apply(study.initial, AddClass(NUCLEUS, "#000000"))):
        with pytest.raises(CurationError, match="expected a class with a prototype, got none: draw one"):
            train_study(client, study, curation, TrainOptions())
    assert not (study.folder / "models").exists()


def test_models_that_cannot_be_are_not_begun(client: Client, curated: Study, copied: Copied, cells: Cells) -> None:
    study = copied(curated)
    shutil.rmtree(study.folder / "models", ignore_errors=True)
    with pytest.raises(ConfigError, match="dense or patchwise, got 'sparse'"):
        train_study(client, study, state(study), TrainOptions(kind="sparse"))
    small = apply(study.initial, AddClass(NUCLEUS, "#000000"))
    small = apply(small, AddPrototypes(NUCLEUS, (Patch.at("a", 50, 50),), (14.0, 14.0)))
    small = replace(small, background=(Patch.at("a", 100, 100),))
    with pytest.raises(ConfigError, match="expected patches of at least 16 px"):
        train_study(client, study, small, TrainOptions())
    assert not (study.folder / "models").exists()


def test_an_image_that_cannot_be_read_is_no_trouble_of_the_folder(
    client: Client, curated: Study, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise SourceError("f: expected an image, got none: check the path")

    monkeypatch.setattr(train_module, "find_noisy", fail)
    study = copied(curated)
    with pytest.raises(SourceError, match=r"^f: expected an image, got none: check the path$"):
        train_study(client, study, state(study), TrainOptions(seed=77))
