"""Background, Train, Confidence and Results: what they draw of a state, and what they do about what people say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from simsearch.app.components.background_gallery import background_part
from simsearch.app.components.confidence_choice import (
    ConfidenceChoice,
    chosen_or_given,
    estimate_part,
    found_columns,
    progress_part,
)
from simsearch.app.components.results.board import ResultBoard
from simsearch.app.components.results.parts import run_part
from simsearch.app.components.training import model_part, problems, roles, training_part
from simsearch.app.pages.background import background_page
from simsearch.app.pages.confidence import confidence_page
from simsearch.app.pages.results import results_page
from simsearch.app.pages.train import train_page
from simsearch.app.server.downloads import download_key
from simsearch.app.session.judging_background import accept_background, answer, free_background, toggle_background
from simsearch.app.session.snapshot import JobView, Suggestions
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass, SetConfidenceThreshold, SetSimilarityThreshold
from simsearch.curation.background import Question
from simsearch.curation.confidence import estimate_confidence
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes, FlagNegatives
from simsearch.curation.state import Patch
from simsearch.errors import CurationError
from simsearch.workflows.curate.trained import TrainedModel
from simsearch.workflows.learn.train import TrainOptions
from simsearch.workflows.run.image_counts import ImageCounts
from simsearch.workflows.run.predict import Predictions
from simsearch.workflows.run.results import AreaResult, DoseFit, PlateResult, ResultView, WellResult
from tests.app.drawing import drawn, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.actions import Action

EASY, DIFFICULT = Patch.at("b", 30.0, 30.0), Patch.at("a", 120.0, 120.0)
PEAKS = RankedPeaks(
    np.array([0, 1, 0], np.int32),
    np.array([60.0, 50.0, 120.0]),
    np.array([60.0, 50.0, 120.0]),
    np.array([0.9, 0.6, 0.3], np.float32),
)
MODEL = TrainedModel(
    "abc123", Path("/nowhere/model.safetensors"), "f" * 64, "dense", ("cell",), {"cell": (24.0, 20.0)}, {"cell": 0.5},
    "2026-01-01T00:00:00+00:00", {"clean": {"cell": 3, "background": 2}, "noisy": {}}, {"clean": (2.0, 1.0)},
)  # fmt: skip


class Told:
    """A study that remembers what it was asked to do, with suggestions, models and jobs of the test's choice."""

    def __init__(self, live: Any, **changes: object) -> None:  # noqa: ANN401  a LiveStudy, of which a part is used
        self._live, self._changes, self.asked = live, changes, list[tuple[object, ...]]()
        self.study = live.study

    @property
    def snapshot(self) -> Snapshot:
        """The curation as it is, and the test's changes."""
        return replace(self._live.snapshot, **self._changes)

    def act(self, user: str, action: Action) -> None:
        """Do it, and remember it."""
        self._live.act(user, action)

    def __getattr__(self, name: str) -> Callable[..., str]:
        return lambda *args, **options: self.asked.append((name, *args, *sorted(options.items()))) or "job"


@pytest.fixture
def marked(context: PageContext) -> PageContext:
    """Draw a box, choose a threshold, and flag a negative."""
    context.act(AddClass("cell", "#e69f00"))
    context.act(AddPrototypes("cell", (Patch.at("a", 60, 60),), (24.0, 20.0)))
    context.act(SetSimilarityThreshold("cell", 0.5))
    context.act(FlagNegatives("cell", (Patch.at("a", 120, 60),)))
    return context


def told(context: PageContext, **changes: object) -> tuple[PageContext, Told]:
    live = Told(context.live, **changes)
    return replace(context, live=live), live


BESIDE, KEPT, NEARLY = Patch.at("a", 60, 90), Patch.at("a", 150, 150), Patch.at("a", 120, 120)
BACKGROUND = Suggestions(difficult=(DIFFICULT,), easy=(EASY,), state="ready", version=3)
ASKED = replace(BACKGROUND, beside=(BESIDE,), kept=(KEPT,), asked=(Question("cell", NEARLY),), background_rounds=2)


def test_what_is_suggested_as_background_is_shown_and_counted(marked: PageContext) -> None:
    context, live = told(marked, suggestions=BACKGROUND)
    page = background_page(context)
    wire = page.roots["background"]
    page.update(live.snapshot)
    patches = drawn(wire, "patches")
    assert [each["id"] for each in patches["difficult"]] == [DIFFICULT.id]
    assert patches["easy"] == [{"id": EASY.id, "image": 1, "y": 30.0, "x": 30.0}]
    assert "/24/20?c=0,00FF00" in patches["crop"]
    about = drawn(wire, "about")
    assert (about["n_free"], about["n_accepted"], about["is_accepted"]) == (2, 0, False)
    assert about["open_classes"] == ["cell"]


def test_a_click_says_that_it_is_no_background_and_another_takes_it_back(marked: PageContext) -> None:
    context, live = told(marked, suggestions=BACKGROUND)
    page = background_page(context)
    say(page.roots["background"], "toggle", id=EASY.id)
    assert live.snapshot.curation.not_background == (EASY,)
    assert free_background(live.snapshot) == [DIFFICULT]
    page.update(live.snapshot)
    assert [each["id"] for each in drawn(page.roots["background"], "patches")["flagged"]] == [EASY.id]
    say(page.roots["background"], "toggle", id=EASY.id)
    assert live.snapshot.curation.not_background == ()
    with pytest.raises(CurationError, match="one that is no more"):
        toggle_background(live, "ada", "unknown")


def test_accepting_takes_all_that_is_not_flagged(marked: PageContext) -> None:
    context, live = told(marked, suggestions=BACKGROUND)
    page = background_page(context)
    say(page.roots["background"], "toggle", id=DIFFICULT.id)
    say(page.roots["background"], "accept")
    assert live.snapshot.curation.background == (EASY,)
    assert background_part(live.snapshot)["is_accepted"]
    _, busy = told(marked, suggestions=replace(BACKGROUND, state="computing"))
    with pytest.raises(CurationError, match="wait until they are computed"):
        accept_background(busy, "ada")


def test_what_looks_like_a_class_is_asked_about_and_yes_makes_it_one(marked: PageContext) -> None:
    context, live = told(marked, suggestions=ASKED)
    page = background_page(context)
    wire = page.roots["background"]
    page.update(live.snapshot)
    patches = drawn(wire, "patches")
    (asked,) = patches["asked"]
    assert "/24/20?c=0" in asked.pop("crop")
    assert asked == {"id": NEARLY.id, "image": 0, "y": 120.0, "x": 120.0, "class": "cell", "color": "#e69f00"}
    assert [[each["id"] for each in patches[kind]] for kind in ("beside", "kept")] == [[BESIDE.id], [KEPT.id]]
    say(wire, "answer", id=NEARLY.id, is_one=True)
    assert live.snapshot.curation.roi_class("cell").confirmed == (NEARLY,)
    assert NEARLY not in live.snapshot.curation.background
    with pytest.raises(CurationError, match="asked about, got one that is no more"):
        answer(live, "ada", "unknown", is_one=True)


def test_no_makes_it_background_at_once_and_is_taken_back_as_one(marked: PageContext) -> None:
    context, live = told(marked, suggestions=ASKED)
    before = live.snapshot.curation
    wire = background_page(context).roots["background"]
    say(wire, "answer", id=NEARLY.id, is_one=False)
    after = live.snapshot.curation
    assert NEARLY in after.roi_class("cell").negatives
    assert after.background == (NEARLY,)
    assert not after.is_background_accepted
    marked.live.undo("ada")
    assert live.snapshot.curation == before


def test_what_is_background_already_stays_so_when_the_rest_is_accepted(marked: PageContext) -> None:
    context, live = told(marked, suggestions=ASKED)
    say(background_page(context).roots["background"], "accept")
    assert set(live.snapshot.curation.background) == {DIFFICULT, BESIDE, EASY, KEPT}


def test_more_can_be_asked_for(marked: PageContext) -> None:
    context, live = told(marked, suggestions=ASKED)
    say(background_page(context).roots["background"], "more")
    assert live.asked == [("more_background",)]
    assert background_part(live.snapshot)["rounds"] == 2


def test_without_a_box_there_is_no_background_to_look_for(context: PageContext) -> None:
    page = background_page(context)
    page.update(context.live.snapshot)
    assert not drawn(page.roots["background"], "about")["has_prototypes"]
    assert drawn(page.roots["background"], "patches")["crop"] is None


def test_what_stands_in_the_way_of_a_training_is_said_with_the_page_to_go_to(context: PageContext) -> None:
    def said() -> list[tuple[str, bool]]:
        return [(each["page"], each["is_fatal"]) for each in problems(context.live.snapshot.curation)]

    assert said() == [("regions", True)]
    context.act(AddClass("cell", "#e69f00"))
    context.act(AddPrototypes("cell", (Patch.at("a", 60, 60),), (24.0, 20.0)))
    assert said() == [("background", True)]
    context.act(AcceptBackground((EASY,)))
    assert said() == [("regions", True)]  # no threshold was chosen
    context.act(SetSimilarityThreshold("cell", 0.5))
    assert said() == [("regions", False)]  # may train, but should know
    context.act(AcceptClass("cell", ()))
    assert said() == []


def test_all_that_is_learned_from_is_shown_once(marked: PageContext) -> None:
    prototype = marked.live.snapshot.curation.classes[0].prototypes[0]
    marked.act(AcceptClass("cell", (Patch.at("a", prototype.y, prototype.x), Patch.at("b", 60, 60))))
    marked.act(AcceptBackground((EASY,)))
    found = [(role, name, len(patches)) for role, name, _, patches in roles(marked.live.snapshot.curation)]
    assert found == [("clean", "cell", 2), ("negative", "cell", 1), ("background", "", 1)]


def test_a_training_is_started_as_chosen_and_followed(marked: PageContext) -> None:
    running = JobView("j1", "train", "Train", "ada", state="running", step="clean", epochs={"noisy": (5.0, 4.5)})
    context, live = told(marked, jobs=(running, JobView("j0", "detect", "Find", "bob")), models=(MODEL,))
    page = train_page(context)
    page.update(live.snapshot)
    wire = page.roots["training"]
    assert drawn(wire, "job")["epochs"] == {"noisy": [5.0, 4.5]}
    assert [model["id"] for model in drawn(wire, "models")] == ["abc123"]
    assert drawn(wire, "about")["n_others"] == 1
    say(wire, "start", selflearn=False, negatives=True, beside=False, paper=False)
    say(wire, "cancel", job="j1")
    say(wire, "resume", job="j1")
    say(wire, "dismiss", job="j1")
    assert live.asked == [
        ("start_training", "ada", TrainOptions(selflearn=False, beside=False)),
        ("cancel", "j1"),
        ("resume", "ada", "j1"),
        ("dismiss", "j1"),
    ]


def test_of_several_trainings_the_one_that_goes_on_is_shown() -> None:
    over = JobView("old", "train", "Train", "ada", state="done")
    going = JobView("now", "train", "Train", "ada", state="running")
    assert training_part(()) is None
    assert (training_part((over,)) or {})["id"] == "old"
    assert (training_part((going, over)) or {})["id"] == "now"


def test_a_model_offers_its_files(marked: PageContext, tmp_path: Path) -> None:
    for name in ("model.safetensors", "README.md", "losses.png", "losses.svg"):
        (tmp_path / name).write_text("x")
    part = model_part(replace(MODEL, path=tmp_path / "model.safetensors"), marked.urls)
    assert part["n_patches"] == {"clean": 5, "noisy": 0}
    assert (part["held_out"], part["n_doubtful"]) == ({}, 0)  # of before labels were compared
    key = download_key(tmp_path / "README.md")
    assert {"name": "README.md", "saved": "README.md", "url": f"/lab/downloads/{key}"} in part["files"]
    assert [file["name"] for file in part["files"]] == ["model.safetensors", "README.md"]  # curves have their own place
    assert {kind: file["name"] for kind, file in part["curves"]["files"].items()} == {
        "png": "losses.png", "svg": "losses.svg"
    }  # fmt: skip


def predicted(context: PageContext) -> Predictions:
    by_class = {"cell": PEAKS, "gone": RankedPeaks(*(getattr(PEAKS, c)[:1] for c in ("image", "y", "x", "score")))}
    curation = context.live.snapshot.curation
    return Predictions("abc123", ("a", "b", "c"), by_class, estimate_confidence(curation, ("a", "b", "c"), by_class))


def test_thresholds_are_those_chosen_or_else_the_models(marked: PageContext) -> None:
    assert chosen_or_given(marked.live.snapshot.curation, MODEL) == {"cell": 0.5}
    marked.act(SetConfidenceThreshold("cell", 0.8))
    assert chosen_or_given(marked.live.snapshot.curation, MODEL) == {"cell": 0.8}


def test_what_was_found_travels_once_the_surest_first(marked: PageContext) -> None:
    columns = found_columns(predicted(marked))
    assert columns["score"].tolist() == pytest.approx([0.9, 0.9, 0.6, 0.3])
    assert columns["kind"].tolist() == [0, 1, 0, 0]
    assert columns["image"].tolist() == [0, 0, 1, 0]
    assert len(found_columns(None)["x"]) == 0


def test_estimates_say_what_is_not_known(marked: PageContext) -> None:
    part = estimate_part(predicted(marked).estimates["cell"])
    assert (part["n_objects"], part["n_others"]) == (1, 1)
    low, middle, high = (values[0] for values in part["recall"])
    assert middle == 1
    assert low < 1
    assert high == 1
    assert part["precision"][1][-1] is None  # at 0.99 the model takes nothing
    assert len(part["thresholds"]) == len(part["recall"][0])


def test_predictions_are_drawn_and_thresholds_kept(marked: PageContext) -> None:
    shapes = {"cell": (24.0, 20.0), "gone": (48.0, 10.0)}
    model = replace(
        MODEL,
        classes=("cell", "gone"),
        patch_shapes=shapes,
        confidence_thresholds={"cell": 0.5, "gone": 0.5},
        held_out={"cell": {"n_patches": 3, "precision": 0.75, "recall": 0.5, "average_precision": 0.6}},
    )
    context, live = told(marked, models=(model,))
    scenes: list[object] = []
    choice = ConfidenceChoice(context, lambda scene, _: scenes.append(scene))
    choice.update(live.snapshot)
    assert scenes == []
    assert drawn(choice.root, "progress") == {"has_models": True, "is_found": False, "job": None}
    choice.show(predicted(marked), live.snapshot, model)
    assert drawn(choice.root, "progress")["is_found"]
    part, gone = drawn(choice.root, "classes")
    assert (part["name"], part["threshold"], part["is_chosen"]) == ("cell", 0.5, False)
    assert (gone["is_known"], gone["estimate"], gone["held_out"]) == (False, None, None)
    assert (part["held_out"]["precision"], part["held_out"]["n_patches"]) == (0.75, 3)
    assert len(choice.peaks.data["x"]) == 4
    say(choice.root, "threshold", name="cell", value=0.75)
    assert live.snapshot.curation.classes[0].confidence_threshold == 0.75
    choice.update(live.snapshot)
    assert drawn(choice.root, "classes")[0]["is_chosen"]
    say(choice.root, "keep", thresholds={"cell": 0.6, "gone": 0.4})
    assert live.snapshot.curation.classes[0].confidence_threshold == 0.6
    say(choice.root, "find")
    assert live.asked == [("start_prediction", "ada", "abc123")]


def test_the_page_shows_images_before_anything_is_found(marked: PageContext) -> None:
    page = confidence_page(marked)
    page.update(marked.live.snapshot)
    assert drawn(page.roots["viewer_bar"], "view")["image"] == "a"
    assert not progress_part(marked.live.snapshot, None)["has_models"]


def a_result(folder: Path) -> ResultView:
    wells = (WellResult("B03", 1, 2, {"drug": "Wortmannin"}, {"cell": 4}, {"cell": 1.0}),)
    plate = PlateResult(
        "P1", wells, (DoseFit("W", "cell", 0.1, (0.05, 0.2), "µM", 0.0, 1.0, 1.0, 0.6),), folder / "maps.png", None
    )
    for name in ("objects.csv", "maps.png"):
        (folder / name).write_text("")
    return ResultView(
        "detect-1", "detect", folder, "f" * 64, "2026-01-01T00:00:00+00:00", ("cell",), 4, {"cell": 5}, {"cell": 0.5},
        ("cell",), (ImageCounts("a", {"cell": 1}),), (plate,), (AreaResult("a", "cell", 10, 0.1, None, 0.25),), (), (),
        (("x", "gone"),), (folder / "objects.csv",),
    )  # fmt: skip


def test_a_run_is_shown_with_its_plates_areas_and_files(marked: PageContext, tmp_path: Path) -> None:
    part = run_part(a_result(tmp_path), marked.urls)
    assert (part["counts"], part["aside"]) == ({"cell": 5}, ("cell",))
    assert part["images"] == [{"image": "a", "counts": {"cell": 1}}]
    assert part["plates"][0]["wells"][0]["fractions"] == {"cell": 1.0}
    assert part["plates"][0]["doses"][0]["ec50"] == 0.1
    assert part["areas"][0]["share"] == 0.25
    assert (list(part["plates"][0]["heat_maps"]["files"]), part["plates"][0]["curves"]) == (["png"], None)  # no SVG yet
    assert part["page"]["name"] == "detect-1.html"
    assert part["failures"] == [{"image": "x", "message": "gone"}]
    assert part["files"] == [
        {
            "name": "objects.csv",
            "url": f"/lab/downloads/{download_key(tmp_path / 'objects.csv')}",
            "saved": "objects.csv",
        }
    ]
    assert part["archive"] == {"name": "detect-1.zip", "url": f"/lab/downloads/{download_key(tmp_path)}"}


def test_runs_are_started_chosen_and_listed(marked: PageContext, tmp_path: Path) -> None:
    context, live = told(marked, models=(MODEL,), n_results=2)
    board = ResultBoard(context)
    board.update(live.snapshot)
    assert drawn(board.root, "about")["open"] == ["cell"]
    say(board.root, "start", what="detect", model="abc123", tissue=True)
    assert [model["is_of_objects"] for model in drawn(board.root, "about")["models"]] == [False]
    say(board.root, "start", what="segment", model="abc123", tissue=False)
    assert live.asked == [
        ("start_detection", "ada", "abc123"), ("start_segmentation", "ada", "abc123", ("tissue_mask", False))
    ]  # fmt: skip
    first = a_result(tmp_path)
    board.show([first, replace(first, id="detect-2")])
    assert drawn(board.root, "runs")["current"] == "detect-2"
    assert [run["id"] for run in drawn(board.root, "runs")["list"]] == ["detect-2", "detect-1"]
    say(board.root, "choose", id="detect-1")
    assert drawn(board.root, "run")["id"] == "detect-1"
    assert "/{H}/{W}?c=0,00FF00,0,1000&" in drawn(board.root, "crop")
    board.show_channels((replace(context.urls.shown[1], gamma=0.5),))
    assert "/{H}/{W}?c=1,0000FF,0,1000,0.5&" in drawn(board.root, "crop")


def test_the_page_goes_to_what_a_run_gave_that_who_looks_has_started(marked: PageContext, tmp_path: Path) -> None:
    first = a_result(tmp_path)
    results = [first, replace(first, id="detect-2"), replace(first, id="detect-3")]
    done = JobView("j1", "detect", "Find", "ada", state="done", result=tmp_path / "detect-2")
    context, live = told(marked, jobs=(done,))
    board = ResultBoard(context)
    board.update(live.snapshot)
    board.show(results)
    assert drawn(board.root, "runs")["current"] == "detect-3"  # the newest: that one was over when the page was opened
    for user, wanted in (("bob", "detect-3"), ("ada", "detect-2")):
        again = replace(done, id=f"j of {user}", started_by=user)  # so quick that nobody has seen it going on
        board.update(told(marked, jobs=(done, again))[1].snapshot)
        board.show(results)
        assert drawn(board.root, "runs")["current"] == wanted


def test_nothing_was_run_yet(context: PageContext) -> None:
    page = results_page(context)
    page.update(context.live.snapshot)
    wire = page.roots["results"]
    assert drawn(wire, "job") is None
    assert drawn(wire, "about")["models"] == []
