"""Suggestions while a person draws are those of the headless command, and only what is new is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.ranked_peaks import RankedPeaks, ranked_peaks
from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.curation.actions import AddClass, Batch, ChooseImages, apply
from simsearch.curation.background import amount_for, known_similarities, offer_background
from simsearch.curation.marks import AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.state import Curation, Patch
from simsearch.curation.suggestions import own_of, own_peaks
from simsearch.runtime.events import Event, TaskDone
from simsearch.workflows.curate.live import search as live_search
from simsearch.workflows.curate.live.search import LiveSearch
from simsearch.workflows.curate.offers import suggested_background, suggested_thresholds
from simsearch.workflows.curate.study import Study, StudyOptions, create_study
from simsearch.workflows.curate.suggest import find_suggestions, prepare_suggestions

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from simsearch.workflows.curate.live.search import Findings
    from simsearch.workflows.find.peaks import Candidates
    from tests.workflows.conftest import Cells

PATCH = (40.0, 40.0)


@pytest.fixture(scope="module")
def study(cells: Cells, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("live") / "study"
    return create_study(folder, cells.paths, StudyOptions(display=tuple("abc")))


def draw(curation: Curation, cells: Cells, class_name: str, numbers: slice, images: str = "abc") -> Curation:
    """Draw boxes around cells of a class that stand alone."""
    alone = [o for o in cells.alone(images) if o.class_name == class_name][numbers]
    assert alone
    patches = tuple(Patch.at(o.image, o.y, o.x) for o in alone)
    return apply(curation, AddPrototypes(class_name, patches, PATCH))


@pytest.fixture
def classes(study: Study) -> Curation:
    return apply(study.initial, Batch("", (AddClass(CYTOPLASM, "#e69f00"), AddClass(NUCLEUS, "#56b4e9"))))


def check_same(found: RankedPeaks, expected: RankedPeaks) -> None:
    """Compare peaks whose similarities may differ by rounding, and by it their order."""
    assert len(found) == len(expected) > 5
    order, other = (np.lexsort((p.x.round(1), p.y.round(1), p.image)) for p in (found, expected))
    for name in ("image", "y", "x"):
        np.testing.assert_allclose(getattr(found, name)[order], getattr(expected, name)[other], atol=0.02)
    np.testing.assert_allclose(found.score[order], expected.score[other], atol=1e-5)


def check_same_background(curation: Curation, found: Findings, expected: Candidates) -> None:
    """Compare what is offered by the live search with what the headless command chooses of its own peaks."""
    least = suggested_thresholds(curation, found.images, found.by_class, found.left_out)
    mine = suggested_background(curation, found, own_peaks(curation, found.images, found.by_class), least)
    own = own_of(curation, curation.displayed, expected.peaks)
    known = known_similarities(curation.displayed, expected.highest, expected.lowest, own, least)
    theirs = offer_background(curation, known, amount_for(curation, known))
    for kind in ("difficult", "beside", "easy"):
        one, other = ({(p.image, round(p.y), round(p.x)) for p in getattr(each, kind)} for each in (mine, theirs))
        assert one == other
    asked = [[(q.class_name, q.patch.image, round(q.patch.y)) for q in each.asked] for each in (mine, theirs)]
    assert asked[0] == asked[1]
    assert any((*mine.suggested, *mine.asked))


def check_same_as_headless(client: Client, study: Study, curation: Curation, search: LiveSearch) -> Candidates:
    found, expected = search.find(curation), find_suggestions(client, study, curation)
    names = [each.name for each in curation.classes if each.prototypes]
    assert list(found.by_class) == names
    for name in names:
        peaks = [peak for peak in expected.peaks if peak.class_name == name]
        check_same(found.by_class[name], ranked_peaks(peaks, curation.displayed))
    by_class = {
        name: ranked_peaks([peak for peak in expected.peaks if peak.class_name == name], curation.displayed)
        for name in names
    }
    assert suggested_thresholds(curation, found.images, found.by_class, found.left_out) == pytest.approx(
        suggested_thresholds(curation, found.images, by_class, expected.left_out), abs=5e-3
    )
    check_same_background(curation, found, expected)
    return expected


def test_prototype_after_prototype_gives_what_the_headless_command_gives(
    client: Client, study: Study, cells: Cells, classes: Curation
) -> None:
    prepare_suggestions(client, study, classes)
    search = LiveSearch(client, study)
    assert search.look(classes)
    one = draw(classes, cells, CYTOPLASM, slice(0, 1))
    check_same_as_headless(client, study, one, search)
    two = draw(draw(one, cells, NUCLEUS, slice(0, 2)), cells, CYTOPLASM, slice(1, 2))
    check_same_as_headless(client, study, two, search)
    # Undone: what is left is known already.
    check_same_as_headless(client, study, one, search)


def test_answers_count_at_once_and_as_for_the_headless_command(
    client: Client, study: Study, cells: Cells, classes: Curation
) -> None:
    prepare_suggestions(client, study, classes)
    search = LiveSearch(client, study)
    drawn = draw(draw(classes, cells, CYTOPLASM, slice(0, 2)), cells, NUCLEUS, slice(0, 2))
    before = search.find(drawn)
    alone = cells.alone("abc")
    wrong, right = (
        [Patch.at(o.image, o.y, o.x) for o in alone if o.class_name == name][2:5] for name in (NUCLEUS, CYTOPLASM)
    )
    answered = apply(apply(drawn, FlagNegatives(CYTOPLASM, tuple(wrong))), ConfirmPatches(CYTOPLASM, (right[0],)))
    check_same_as_headless(client, study, answered, search)
    after = search.find(answered)

    def similarity(found: Findings, at: Patch) -> float:
        here, index = found.maps[CYTOPLASM][found.images.index(at.image)], (at.y, at.x)
        y, x = (round((v - o) / here.step) for v, o in zip(index, here.origin, strict=True))
        return float(here.values[y - 1 : y + 2, x - 1 : x + 2].max())

    def gap(found: Findings) -> float:
        return float(np.mean([similarity(found, at) for at in right[1:]]) - similarity(found, wrong[0]))

    assert gap(after) > gap(before)
    check_same(after.by_class[NUCLEUS], before.by_class[NUCLEUS])
    # Undone is as if it had never been said, and the order of answers is no matter.
    for name in (CYTOPLASM, NUCLEUS):
        again, first = search.find(drawn).by_class[name], before.by_class[name]
        assert all(np.array_equal(getattr(again, c), getattr(first, c)) for c in ("image", "y", "x", "score"))
    turned = apply(apply(drawn, ConfirmPatches(CYTOPLASM, (right[0],))), FlagNegatives(CYTOPLASM, tuple(wrong[::-1])))
    found = search.find(turned).by_class[CYTOPLASM]
    assert np.array_equal(found.score, after.by_class[CYTOPLASM].score)
    events: list[Event] = []
    search.find(turned, observe=events.append)
    assert events == []


def test_only_a_new_prototype_is_computed(client: Client, study: Study, cells: Cells, classes: Curation) -> None:
    prepare_suggestions(client, study, classes)
    search = LiveSearch(client, study)
    one = draw(classes, cells, CYTOPLASM, slice(0, 2))
    search.find(one)
    events: list[Event] = []
    search.find(draw(one, cells, NUCLEUS, slice(0, 1)), observe=events.append)
    assert [type(event) for event in events] == [TaskDone]
    events.clear()
    search.find(replace(one, classes=one.classes[::-1]), observe=events.append)
    assert events == []


def test_a_first_box_finds_its_features_ready_whatever_its_shape(
    client: Client, study: Study, cells: Cells, classes: Curation
) -> None:
    prepare_suggestions(client, study, classes)
    search = LiveSearch(client, study)
    search.look(classes)
    for side in (33.0, 64.0):
        o = cells.alone("abc")[0]
        events: list[Event] = []
        drawn = apply(classes, AddPrototypes(CYTOPLASM, (Patch.at(o.image, o.y, o.x),), (side, 50.0)))
        prepare_suggestions(client, study, drawn, observe=events.append)
        search.find(drawn, observe=events.append)
        assert [type(event) for event in events] == [TaskDone]  # the prototype itself
        check_same_as_headless(client, study, drawn, search)


def test_prototypes_on_images_that_are_not_displayed_count(
    client: Client, study: Study, cells: Cells, classes: Curation
) -> None:
    search = LiveSearch(client, study)
    drawn = apply(draw(classes, cells, CYTOPLASM, slice(0, 3)), ChooseImages(("d", "e")))
    prepare_suggestions(client, study, drawn)
    assert search.look(drawn)
    check_same_as_headless(client, study, drawn, search)


def test_images_too_large_to_be_held_are_searched_by_the_cluster(
    client: Client, study: Study, cells: Cells, classes: Curation
) -> None:
    search = LiveSearch(client, study, memory_bytes=1000)
    drawn = draw(classes, cells, CYTOPLASM, slice(0, 1))
    assert not search.look(drawn)
    expected = check_same_as_headless(client, study, drawn, search)
    found = search.find(drawn)
    assert len(found.by_class[CYTOPLASM]) == len(expected.peaks)
    assert not found.maps


def test_classes_are_compared_each_with_its_own_patch_at_its_own_scale(
    client: Client, study: Study, cells: Cells, classes: Curation
) -> None:
    one_size = draw(replace(classes, has_one_patch=False), cells, CYTOPLASM, slice(0, 2))
    large = apply(one_size, AddPrototypes(NUCLEUS, (Patch.at("a", 88, 88),), (100.0, 96.0)))
    prepare_suggestions(client, study, large)
    search = LiveSearch(client, study)
    check_same_as_headless(client, study, large, search)
    found = search.find(large)
    assert [found.maps[name][0].step for name in (CYTOPLASM, NUCLEUS)] == [8, 16]
    assert len(search.find(one_size).grounds) == 1
    cluster = LiveSearch(client, study, memory_bytes=1000)
    check_same_as_headless(client, study, large, cluster)
    shapes = {peak.class_name: peak.patch_shape for peak in find_suggestions(client, study, large).peaks}
    assert shapes == {CYTOPLASM: PATCH, NUCLEUS: (100.0, 96.0)}


def test_maps_lie_where_their_peaks_are(client: Client, study: Study, cells: Cells, classes: Curation) -> None:
    drawn = draw(classes, cells, CYTOPLASM, slice(0, 1))
    prepare_suggestions(client, study, drawn)
    found = LiveSearch(client, study).find(drawn)
    peaks, image = found.by_class[CYTOPLASM], found.maps[CYTOPLASM][int(found.by_class[CYTOPLASM].image[0])]
    row, column = ((at - first) / image.step for at, first in zip((peaks.y[0], peaks.x[0]), image.origin, strict=True))
    assert image.values[round(row), round(column)] == pytest.approx(peaks.score[0]) == image.values.max()


def test_a_study_without_measurement_is_looked_at_with_the_same_ranges_before_and_after_the_first_box(
    client: Client, cells: Cells, tmp_path: Path
) -> None:
    study = create_study(tmp_path / "study", cells.paths, StudyOptions(display=tuple("ab")))
    curation = apply(study.initial, AddClass(CYTOPLASM, "#e69f00"))
    prepare_suggestions(client, study, curation)
    assert not (study.folder / "measure.json").exists()  # a larger patch would be measured at its own scale
    search = LiveSearch(client, study)
    search.look(curation)
    search.find(draw(curation, cells, CYTOPLASM, slice(0, 1), "ab"))
    kept = study.folder / "cache" / "measure-1.json"
    assert (study.folder / "measure.json").read_bytes() == kept.read_bytes()


def test_more_prototypes_than_there_is_room_for_are_compared_by_the_cluster(
    client: Client, study: Study, cells: Cells, classes: Curation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_search, "_N_EXPECTED", 1)
    prepare_suggestions(client, study, classes)
    needed = LiveSearch(client, study)
    assert needed.look(classes)
    search = LiveSearch(client, study, memory_bytes=needed.room.needed_bytes)
    one = draw(classes, cells, CYTOPLASM, slice(0, 1))
    assert search.find(one).maps
    two = draw(one, cells, CYTOPLASM, slice(1, 2))
    check_same_as_headless(client, study, two, search)
    assert not search.find(two).maps
    assert not search.room.is_enough


def test_by_default_half_of_what_is_free_may_be_taken(
    client: Client, study: Study, classes: Curation, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_suggestions(client, study, classes)
    for free, is_held in ((2**40, True), (2**20, False)):
        monkeypatch.setattr(live_search, "free_bytes", lambda free=free: free)
        search = LiveSearch(client, study)
        assert search.look(classes) == is_held
        assert search.room.bytes == free // 2
