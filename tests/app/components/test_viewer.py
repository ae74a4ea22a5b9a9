"""The viewer shows what is suggested and marked on the image that is looked at, and tells where somebody drew."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bokeh.core.properties import value
from bokeh.events import SelectionGeometry, Tap

from simsearch.app.components.viewing.scene import (
    Layer,
    Scene,
    find_peak,
    heat_columns,
    mark_columns,
    peak_columns,
    prediction_scene,
    suggestion_scene,
)
from simsearch.app.components.viewing.viewer import Viewer, box_inside
from simsearch.app.session.snapshot import Suggestions
from simsearch.core.ranked_peaks import RankedPeaks
from simsearch.curation.actions import AddClass, ChooseChannels, RenameClass, SetSimilarityThreshold
from simsearch.curation.marks import AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.state import Patch
from simsearch.workflows.curate.live.coarse_maps import SimilarityMap
from simsearch.workflows.run.predict import Predictions

if TYPE_CHECKING:
    from bokeh.models import ColumnDataSource

    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot

ORANGE, BLUE = "#e69f00", "#56b4e9"
PEAKS = RankedPeaks(
    np.array([0, 1, 0, 0], np.int32),
    np.array([40.0, 50.0, 60.0, 120.0]),
    np.array([30.0, 50.0, 90.0, 120.0]),
    np.array([0.9, 0.8, 0.7, 0.2], np.float32),
)


@pytest.fixture
def curated(context: PageContext) -> PageContext:
    """Say something: a class with a prototype, a threshold, and a negative at the third peak."""
    context.act(AddClass("cell", ORANGE))
    context.act(AddPrototypes("cell", (Patch.at("a", 40, 30),), (24.0, 20.0)))
    context.act(SetSimilarityThreshold("cell", 0.5))
    context.act(FlagNegatives("cell", (Patch.at("a", 61, 91),)))
    return context


def with_peaks(context: PageContext, version: int = 1) -> Snapshot:
    found = Suggestions(images=("a", "b", "c"), by_class={"cell": PEAKS}, state="ready", version=version)
    return replace(context.live.snapshot, suggestions=found)


def source(viewer: Viewer, name: str) -> dict[str, Any]:
    found: ColumnDataSource = next(iter(viewer.figure.select({"name": name})))
    return dict(found.data)


def limit(viewer: Viewer, class_name: str) -> float:
    return float(next(iter(viewer._layers[f"peaks:{class_name}"].limit.data["threshold"])))


def test_peaks_are_where_they_are_seen_and_flagged_ones_are_known(curated: PageContext) -> None:
    scene = suggestion_scene(with_peaks(curated))
    columns = peak_columns(scene, scene.layers[0], "a")
    assert {name: values.tolist() for name, values in columns.items()} == {
        "x": [30.5, 90.5, 120.5],
        "y": [-40.5, -60.5, -120.5],
        "score": pytest.approx([0.9, 0.7, 0.2]),
        "is_flagged": [0, 1, 0],
        "is_own": [1, 0, 0],
    }
    assert len(peak_columns(scene, scene.layers[0], "d")["x"]) == 0  # not among the images looked at


def test_marks_show_what_they_are(curated: PageContext) -> None:
    columns = mark_columns(suggestion_scene(with_peaks(curated)).marks, "a")
    assert columns["what"] == ["Not cell", "Your box: cell"]
    assert columns["x"] == [91.5, 30.5]
    assert columns["color"] == [ORANGE, ORANGE]
    assert mark_columns(suggestion_scene(with_peaks(curated)).marks, "b")["x"] == []


def test_what_was_moved_to_another_class_has_one_mark(curated: PageContext) -> None:
    curated.act(AddClass("mitosis", BLUE))
    curated.act(ConfirmPatches("mitosis", (Patch.at("a", 60, 90),)))
    columns = mark_columns(suggestion_scene(with_peaks(curated)).marks, "a")
    assert columns["what"] == ["Your box: cell", "Confirmed: mitosis"]


def test_a_click_finds_the_nearest_peak_that_is_shown() -> None:
    near = RankedPeaks(np.array([0, 0], np.int32), np.array([48.0, 41.0]), np.array([30.0, 30.0]), np.array([0.8, 0.6]))
    layers = (Layer("cell", ORANGE, 0.5, PEAKS, (24.0, 20.0)), Layer("other", BLUE, 0.5, near, (12.0, 20.0)))
    scene = Scene(("a",), layers, ("a", "b"))
    assert find_peak(scene, "a", (47.0, 31.0)) == ("other", 48.0, 30.0)
    assert find_peak(scene, "a", (41.0, 31.0)) == ("cell", 40.0, 30.0)  # the other is nearer, and less sure
    assert find_peak(scene, "a", (55.0, 30.0)) is None  # in a patch as large as the other class has
    assert find_peak(scene, "a", (47.0, 31.0), "cell") == ("cell", 40.0, 30.0)
    assert find_peak(scene, "a", (53.0, 30.0), "cell") is None
    assert find_peak(scene, "a", (120.0, 120.0)) is None  # below the threshold
    assert find_peak(scene, "b", (50.0, 50.0)) == ("cell", 50.0, 50.0)
    assert find_peak(Scene(("a",)), "a", (1, 1)) is None


def test_predictions_have_their_thresholds(curated: PageContext) -> None:
    found = Predictions("m", ("a", "b", "c"), {"cell": PEAKS, "gone": PEAKS}, {})
    shapes = {"cell": (24.0, 20.0), "gone": (48.0, 50.0)}
    scene = prediction_scene(curated.live.snapshot.curation, found, {"cell": 0.75, "gone": 0.3}, shapes)
    assert {layer.name: layer.patch_shape for layer in scene.layers} == shapes
    assert [(layer.name, layer.threshold, layer.color) for layer in scene.layers] == [
        ("cell", 0.75, ORANGE), ("gone", 0.3, "#9aa0a6")
    ]  # fmt: skip


def test_the_viewer_draws_the_state(curated: PageContext) -> None:
    viewer = Viewer(curated)
    viewer.update(with_peaks(curated))
    assert viewer.image == "a"
    assert viewer._parts.tiles.url.startswith("/lab/tiles/0/{Z}/{X}/{Y}?c=0,00FF00,0,1000&c=1,0000FF,0,1000")
    models = viewer._layers["peaks:cell"]
    assert len(models.source.data["x"]) == 3
    assert limit(viewer, "cell") == 0.5
    assert models.renderer.glyph.width == value(20.0)
    assert models.renderer.glyph.height == value(24.0)
    assert viewer.figure.renderers[-1] is viewer._parts.boxes_of_marks  # on top
    assert json.loads(viewer.bar.images) == {"names": ["a", "b", "c"]}
    assert json.loads(viewer.bar.view)["image"] == "a"
    curated.act(SetSimilarityThreshold("cell", 0.25))
    before = models.source.data
    viewer.update(with_peaks(curated))
    assert limit(viewer, "cell") == 0.25
    assert models.source.data is before  # what has not changed does not travel again


def test_another_image_is_shown_and_stepped_through(curated: PageContext) -> None:
    viewer = Viewer(curated)
    viewer.update(with_peaks(curated))
    viewer.bar.up = json.dumps({"kind": "image", "name": "b"})
    assert viewer.image == "b"
    assert viewer._parts.tiles.url.startswith("/lab/tiles/1/")
    assert viewer._layers["peaks:cell"].source.data["x"].tolist() == [50.5]
    assert len(viewer._parts.marks.data["x"]) == 0
    viewer.step(1)
    viewer.step(1)
    assert viewer.image == "a"
    viewer.step(-1)
    assert viewer.image == "c"
    viewer.show_image("nowhere")
    assert viewer.image == "c"
    viewer.go_to("b", 10, 20)
    assert json.loads(viewer.bar.view) == {
        "image": "b",
        "index": 1,
        "height": 176,
        "width": 176,
        "at": {"y": 10, "x": 20, "side": 24},
    }


def test_a_class_that_goes_takes_its_boxes_along(curated: PageContext) -> None:
    viewer = Viewer(curated)
    viewer.update(with_peaks(curated))
    n_before = len(viewer.figure.renderers)
    curated.live.undo("ada")
    curated.live.undo("ada")
    curated.live.undo("ada")
    curated.live.undo("ada")
    viewer.update(curated.live.snapshot)
    assert viewer._layers == {}
    assert len(viewer.figure.renderers) == n_before - 1


def test_a_class_of_a_name_that_was_there_before_has_boxes_of_its_own(curated: PageContext) -> None:
    viewer = Viewer(curated)
    viewer.update(with_peaks(curated))
    before = viewer._layers["peaks:cell"]
    curated.act(RenameClass("cell", "other"))
    viewer.update(with_peaks(curated))
    curated.live.undo("ada")
    viewer.update(with_peaks(curated))
    now = viewer._layers["peaks:cell"]
    assert now.source.data["score"].tolist() == before.source.data["score"].tolist() != []
    assert now.limit.data == before.limit.data
    assert (before.source.name, now.source.name) == (None, "peaks:cell")


def test_channels_are_those_chosen_in_colours_of_choice(curated: PageContext) -> None:
    viewer = Viewer(curated)
    viewer.update(with_peaks(curated))
    change = {"index": 1, "color": "#ff0000", "low": 10, "high": 90}

    def ask(**changes: object) -> None:
        viewer.bar.up = json.dumps({"kind": "channels", "channels": [{**change, **changes}]})

    ask()
    assert "c=1,FF0000,10,90" in viewer._parts.tiles.url
    curated.act(ChooseChannels(("DNA",)))
    viewer.update(with_peaks(curated))
    assert "?c=1,FF0000,10,90&v=" in viewer._parts.tiles.url
    for wrong in ({"color": "red"}, {"low": 90, "high": 90}, {"gamma": 0}, {"gamma": 11}):
        ask(**wrong)
        assert "?c=1,FF0000,10,90&v=" in viewer._parts.tiles.url
    ask(gamma=0.5)
    assert "?c=1,FF0000,10,90,0.5&v=" in viewer._parts.tiles.url
    assert viewer.channels[0].gamma == json.loads(viewer.bar.channels)[0]["gamma"] == 0.5


def test_a_drag_tells_the_box_inside_the_image(curated: PageContext) -> None:
    boxes: list[tuple[object, ...]] = []
    viewer = Viewer(curated, on_box=lambda *box: boxes.append(box))
    viewer.update(with_peaks(curated))

    def drag(*, is_final: bool = True, **geometry: float) -> None:
        viewer._take_box(SelectionGeometry(viewer.figure, {"type": "rect", **geometry}, final=is_final))

    drag(x0=20, x1=40, y0=-52, y1=-28)
    drag(x0=-30, x1=16, y0=-190, y1=-160)
    drag(x0=20, x1=40, y0=-52, y1=-28, is_final=False)
    drag(x0=20, x1=22, y0=-52, y1=-28)
    assert boxes == [("a", 39.5, 29.5, 24, 20), ("a", 167.5, 7.5, 16, 16)]


def test_a_box_of_whole_pixels_has_its_centre_between_them() -> None:
    assert box_inside({"x0": 100, "x1": 148, "y0": -248, "y1": -200}, (300, 300)) == (223.5, 123.5, 48, 48)


def test_a_click_on_a_suggestion_is_told(curated: PageContext) -> None:
    flags: list[tuple[object, ...]] = []
    viewer = Viewer(curated, on_flag=lambda *flag: flags.append(flag))
    viewer.update(with_peaks(curated))
    viewer._take_tap(Tap(viewer.figure, sx=0, sy=0, x=33.0, y=-41.0))
    viewer._take_tap(Tap(viewer.figure, sx=0, sy=0, x=150.0, y=-41.0))
    viewer.activate("another")
    viewer._take_tap(Tap(viewer.figure, sx=0, sy=0, x=33.0, y=-41.0))
    assert flags == [("cell", "a", 40.0, 30.0)]


def test_a_similarity_map_lies_over_its_image() -> None:
    found = SimilarityMap(np.arange(6, dtype=np.float32).reshape(2, 3), origin=(3.5, 11.5), step=8.0)
    columns = heat_columns(found)
    assert columns["image"][0].tolist() == [[3, 4, 5], [0, 1, 2]]  # the lowest row first
    assert (columns["x"], columns["y"]) == ([8.0], [-16.0])
    assert (columns["dw"], columns["dh"]) == ([24.0], [16.0])


def test_nothing_displayed_yet_is_nothing_drawn(context: PageContext) -> None:
    viewer = Viewer(context)
    viewer.draw(Scene(()), context.live.snapshot.curation)
    assert viewer.image == ""
    viewer.step(1)
    viewer._take_tap(SimpleNamespace(x=None, y=None))
