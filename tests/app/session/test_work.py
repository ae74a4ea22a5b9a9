"""A whole loop without a browser: draw, accept, train, predict, detect; what was interrupted goes on."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from simsearch.app.session.live import LiveStudy
from simsearch.core.synthetic import CYTOPLASM, NUCLEUS, CellField
from simsearch.curation.actions import AddClass, Batch, SetConfidenceThreshold, SetSimilarityThreshold
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes, FlagNegatives
from simsearch.curation.outlines import AddRegion
from simsearch.curation.state import Patch, clean_objects
from simsearch.errors import ConfigError, CurationError
from simsearch.runtime import compute
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.curate.live.search import LiveSearch
from simsearch.workflows.curate.study import Study, open_study, read_curation
from simsearch.workflows.learn import train
from simsearch.workflows.learn.train import TrainOptions
from simsearch.workflows.run.predict import NOTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client

    from simsearch.app.session.snapshot import JobView

PATCH = (40.0, 40.0)
CLASSES = {CYTOPLASM: "#e69f00", NUCLEUS: "#56b4e9"}
TINY = TrainingConfig(
    noisy=Schedule(1, 8, decay_every=5, decay=0.1, rate=3e-4),
    clean=Schedule(2, 16, decay_every=10, decay=0.1, rate=3e-4, n_patches=16),
    classifier=Schedule(6, 16, decay_every=8, decay=0.1, rate=1e-2, n_patches=24),
    averaging=0.8,
)


@pytest.fixture(autouse=True)
def tiny_training(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Train for seconds, with one thread: two that wait for each other are slow on a busy machine."""
    monkeypatch.setattr(train, "BRIEF", TINY)
    monkeypatch.setattr(compute, "CPU_COUNT", 1)
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


def wait(is_so: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    for _ in range(12_000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("nothing came of it")


def job(live: LiveStudy, job_id: str) -> JobView:
    return next(each for each in live.snapshot.jobs if each.id == job_id)


def done(live: LiveStudy, job_id: str) -> JobView:
    wait(lambda: job(live, job_id).is_over)
    assert job(live, job_id).state == "done", job(live, job_id).message
    return job(live, job_id)


def draw(live: LiveStudy, fields: dict[str, CellField]) -> None:
    """Draw two boxes of each class around cells of the displayed images."""
    live.act("ada", Batch("classes", tuple(AddClass(name, color) for name, color in CLASSES.items())))
    for name in CLASSES:
        cells = [(image, cell) for image in "abc" for cell in fields[image].cells if cell.class_name == name]
        inside = [Patch.at(i, c.y, c.x) for i, c in cells if min(c.y, c.x) > 25 and max(c.y, c.x) < 150]
        live.act("ada", AddPrototypes(name, tuple(inside[:2]), PATCH))


def suggested(live: LiveStudy) -> bool:
    """Tell whether suggestions are those of all that was said."""
    suggestions = live.snapshot.suggestions
    return suggestions.state == "ready" and set(suggestions.by_class) == set(CLASSES) and bool(suggestions.easy)


def curate(live: LiveStudy, fields: dict[str, CellField]) -> None:
    draw(live, fields)
    wait(lambda: suggested(live))
    found = live.snapshot.suggestions
    for name, peaks in found.by_class.items():
        live.act("ada", SetSimilarityThreshold(name, found.suggested_thresholds[name]))
        best = [Patch.at(found.images[i], y, x) for i, y, x in zip(peaks.image[:6], peaks.y, peaks.x, strict=False)]
        live.act("ada", AcceptClass(name, tuple(best)))
    live.act("ada", AcceptBackground(live.snapshot.suggestions.easy))


@pytest.fixture(scope="module")
def curated(
    client: Client,
    cell_images: tuple[str, ...],
    cell_fields: dict[str, CellField],
    tmp_path_factory: pytest.TempPathFactory,
) -> Study:
    """Let a person curate a study. Not to be changed but by what is computed."""
    from simsearch.workflows.curate.study import StudyOptions, create_study

    study = create_study(tmp_path_factory.mktemp("loop") / "study", cell_images, StudyOptions(display=("a", "b", "c")))
    with LiveStudy(client, study) as live:
        curate(live, cell_fields)
    return study


def test_train_predict_and_detect_as_jobs(client: Client, curated: Study) -> None:
    with LiveStudy(client, curated) as live:
        trained = done(live, live.start_training("ada", TrainOptions(n_background=2, selflearn=False)))
        (model,) = live.snapshot.models
        assert trained.result == model.path
        assert {stage: len(losses) for stage, losses in trained.epochs.items()} == {"clean": 2, "classifier": 6}
        assert set(model.classes) == set(CLASSES)
        assert model.losses == trained.epochs
        assert model.files[0] == model.path

        assert live.predictions(model.id) is None
        done(live, live.start_prediction("ada", model.id))
        predictions = live.predictions(model.id)
        assert predictions is not None
        assert predictions.images == ("a", "b", "c")
        assert {name: estimate.n_objects for name, estimate in predictions.estimates.items()} == {
            each.name: len(clean_objects(each, PATCH)) for each in live.snapshot.curation.classes
        }
        assert predictions.note == NOTE

        for name in CLASSES:
            live.act("ada", SetConfidenceThreshold(name, 0.3))
        detected = done(live, live.start_detection("ada", model.id))
        (result,) = live.results()
        assert live.snapshot.n_results == 1
        assert detected.result == result.folder
        assert (result.kind, result.n_images, result.model) == ("detect", 4, model.sha256)
        assert result.confidence_thresholds == dict.fromkeys(CLASSES, 0.3)
        with (result.folder / "objects.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert Counter(row["class"] for row in rows) == Counter(result.n_objects)
        assert min(float(row["confidence"]) for row in rows) >= 0.3
        assert result.folder / "objects.csv" == result.files[0]

        # The same again is found done, and is no other result.
        done(live, live.start_detection("ada", model.id))
        assert len(live.results()) == 1
        live.act("ada", AddRegion("b", "corner", ((-0.5, -0.5), (-0.5, 119.5), (119.5, 119.5), (119.5, -0.5))))
        done(live, live.start_detection("ada", model.id, in_regions=True))
        inside = next(each for each in live.results() if each.regions)
        assert [(each.image, each.name, each.pixels) for each in inside.regions] == [("b", "corner", 120.0 * 120)]
        assert (inside.n_images, inside.regions[0].counts) == (1, inside.n_objects)
        assert inside.folder / "regions.csv" in inside.files
        with pytest.raises(ConfigError, match="expected a model out of"):
            live.start_detection("ada", "no such")
        with pytest.raises(ConfigError, match="expected images of the study"):
            live.start_detection("ada", model.id, ["no such"])


def test_a_training_goes_on_after_the_server_was_stopped_with_what_was_said_by_then(
    client: Client, curated: Study
) -> None:
    options = TrainOptions(n_background=2, selflearn=False, seed=1)
    with LiveStudy(client, curated) as live:
        before = len(live.snapshot.models)
        job_id = live.start_training("ada", options)
        assert live.start_training("ada", options) == job_id  # a second click is no second training
        wait(lambda: sum(map(len, job(live, job_id).epochs.values())) >= 2)
    with LiveStudy(client, curated) as live:
        assert job(live, job_id).state == "interrupted"
        (at, said) = (live.snapshot.curation.displayed, live.snapshot.history.n_actions)
        live.act("ada", SetSimilarityThreshold(CYTOPLASM, 0.9))  # would make another training
        assert live.resume("ada", job_id) == job_id
        with pytest.raises(ConfigError, match="expected a job that was interrupted"):
            live.resume("ada", job_id)
        losses = done(live, job_id).epochs
        assert {stage: len(values) for stage, values in losses.items()} == {"clean": 2, "classifier": 6}
        assert len(live.snapshot.models) == before + 1
        live.undo("ada")
        assert (live.snapshot.curation.displayed, live.snapshot.history.n_actions) == (at, said)
    with LiveStudy(client, curated) as live:
        assert not [each for each in live.snapshot.jobs if each.state == "interrupted"]


def test_what_was_interrupted_can_be_dismissed(client: Client, curated: Study) -> None:
    with LiveStudy(client, curated) as live:
        job_id = live.start_training("ada", TrainOptions(n_background=2, selflearn=False, seed=2))
    with LiveStudy(client, curated) as live:
        live.dismiss(job_id)
        assert job_id not in [each.id for each in live.snapshot.jobs]
    with LiveStudy(client, curated) as live:
        assert job_id not in [each.id for each in live.snapshot.jobs]


def test_a_training_is_cancelled_and_forgotten(client: Client, curated: Study) -> None:
    with LiveStudy(client, curated) as live:
        job_id = live.start_training("ada", TrainOptions(n_background=2, selflearn=False, seed=3))
        live.cancel(job_id)
        wait(lambda: job(live, job_id).is_over)
        assert job(live, job_id).state == "cancelled"
    with LiveStudy(client, curated) as live:
        assert not [each for each in live.snapshot.jobs if each.id == job_id]


def test_a_job_that_fails_says_why(client: Client, fresh_study: Study) -> None:
    with LiveStudy(client, fresh_study) as live:
        job_id = live.start_training("ada", TrainOptions())
        wait(lambda: job(live, job_id).is_over)
        assert job(live, job_id).state == "failed"
        assert job(live, job_id).message.startswith("Draw one, or import boxes. ")


def test_thresholds_compute_nothing_and_an_answer_counts_at_once(
    live: LiveStudy, cell_fields: dict[str, CellField]
) -> None:
    draw(live, cell_fields)
    wait(lambda: suggested(live))
    before = live.snapshot.suggestions
    peaks = before.by_class[CYTOPLASM]
    patch = Patch.at(before.images[peaks.image[-1]], float(peaks.y[-1]), float(peaks.x[-1]))
    live.act("ada", SetSimilarityThreshold(CYTOPLASM, 0.5))
    live.act("ada", AddClass("third", "#009e73"))
    wait(lambda: live.snapshot.suggestions.state == "ready")
    after = live.snapshot.suggestions
    assert after.version == before.version
    assert after.by_class[CYTOPLASM] is peaks
    assert np.all(np.diff(peaks.score) <= 0)
    live.act("ada", FlagNegatives(CYTOPLASM, (patch,)))
    wait(lambda: live.snapshot.suggestions.version > before.version)
    assert live.snapshot.suggestions.state == "ready"
    assert live.snapshot.suggestions.by_class[NUCLEUS].score.max() == before.by_class[NUCLEUS].score.max()


def test_what_is_asked_for_is_not_done_in_the_thread_that_asks(
    live: LiveStudy, cell_fields: dict[str, CellField], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.current_thread()
    worked: dict[str, threading.Thread] = {}

    def note(what: str) -> Callable[..., None]:
        def work(*_: object, **__: object) -> None:
            worked[what] = threading.current_thread()
            raise CurationError("expected nothing more")

        return work

    monkeypatch.setattr(LiveSearch, "find", note("suggestions"))
    monkeypatch.setattr("simsearch.app.session.live.do_request", note("training"))
    draw(live, cell_fields)
    live.start_training("ada", TrainOptions())
    wait(lambda: set(worked) == {"suggestions", "training"})
    assert asked not in worked.values()


def test_channels_are_reported_once_measured(live: LiveStudy) -> None:
    assert live.channel_report() is None
    wait(lambda: live.channel_report() is not None)
    report = live.channel_report()
    assert report is not None
    assert report.channel_names == ("GFP", "DNA")
    assert report.correlation.shape == (2, 2)
    assert report.histograms.sum(axis=1).tolist() == [3 * 176 * 176] * 2
    assert all(
        edges[0] < low < high < edges[-1] for edges, (low, high) in zip(report.edges, report.ranges, strict=True)
    )


_KILLED = """
    import sys
    from pathlib import Path
    from simsearch.app.session.live import LiveStudy
    from simsearch.curation.actions import AddClass, RecolorClass
    from simsearch.runtime import open_cluster
    from simsearch.workflows.curate.study import open_study

    with open_cluster("threads") as client, LiveStudy(client, open_study(Path(sys.argv[1]))) as live:
        live.act("ada", AddClass("one", "#000000"))
        for number in range(1, 10**6):
            live.act("ada", RecolorClass("one", f"#{number:06x}"))
            print(number, flush=True)
"""


def test_a_kill_in_the_middle_of_an_action_loses_nothing_that_was_acknowledged(
    client: Client, fresh_study: Study
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(fresh_study.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    acknowledged = int([line for line in lines if line.endswith("\n")][-1])
    said = int(read_curation(open_study(fresh_study.folder))[0].state.roi_class("one").color[1:], 16)
    assert said in (acknowledged, acknowledged + 1)
    with LiveStudy(client, fresh_study) as live:
        assert int(live.snapshot.curation.roi_class("one").color[1:], 16) == said
        live.act("bob", AddClass("two", "#ffffff"))
        live.undo("ada")
