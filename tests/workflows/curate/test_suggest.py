"""A study suggests what is there, and computes it once; what it finds alone does not depend on the cluster."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simsearch.core.peaks import Peak, objects
from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.curation.actions import AddClass, Batch, ChooseImages, SetSimilarityThreshold, apply
from simsearch.curation.marks import AcceptClass, AddPrototypes, FlagNegatives
from simsearch.curation.state import BACKGROUND, Curation, Patch
from simsearch.curation.suggestions import suggested_patches
from simsearch.errors import CurationError, SourceError, StoreError
from simsearch.nn import device as device_module
from simsearch.runtime.events import Event, StepEnded, StepStarted
from simsearch.workflows.curate import sight
from simsearch.workflows.curate.contents import CONTENTS_NAME
from simsearch.workflows.curate.exchange import import_annotations
from simsearch.workflows.curate.headless import CurateOptions, curate
from simsearch.workflows.curate.sight import study_groups, study_setting
from simsearch.workflows.curate.study import (
    Study,
    StudyOptions,
    create_study,
    open_curation,
    read_curation,
    study_images,
)
from simsearch.workflows.curate.suggest import find_noisy, find_suggestions
from simsearch.workflows.find.peaks import Candidates, find_group_candidates
from simsearch.workflows.find.query import find_query
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from distributed import Client

    from simsearch.io.tables.truth import TrueObject
    from tests.conftest import SaveImage
    from tests.workflows.conftest import Cells

    Copied = Callable[[Study], Study]

PATCH = (40.0, 40.0)
CLASSES = (CYTOPLASM, NUCLEUS)


def state(study: Study) -> Curation:
    return read_curation(study)[0].state


def ignore(event: Event) -> None:
    pass


def places(patches: Iterable[Patch]) -> set[tuple[str, float, float]]:
    return {(patch.image, patch.y, patch.x) for patch in patches}


def near(found: Peak | Patch, there: Sequence[TrueObject]) -> list[TrueObject]:
    """List the objects that a peak finds: those within three strides of the paper."""
    return [o for o in there if o.image == found.image and math.hypot(o.y - found.y, o.x - found.x) < 12]


def check_nearly_same(first: Sequence[Peak], second: Sequence[Peak]) -> None:
    assert [(p.image, p.class_name) for p in first] == [(p.image, p.class_name) for p in second]
    for one, other in zip(first, second, strict=True):
        assert (one.y, one.x) == pytest.approx((other.y, other.x), abs=0.05)
        assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.fixture(scope="module")
def drawn(client: Client, cells: Cells, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Draw three prototypes of each class, and look for suggestions once. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("drawn")
    study = create_study(folder / "study", cells.paths, StudyOptions(display=tuple("abcd")))
    rows = ["image,class,role,y,x,height,width"]
    for name in CLASSES:
        alone = [o for o in cells.alone("abcd") if o.class_name == name]
        rows += [f"{o.image},{name},prototype,{o.y},{o.x},40,40" for o in alone[:3]]
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    import_annotations(study, folder / "boxes.csv", user="ada")
    find_suggestions(client, study, state(study))
    return study


@pytest.fixture(scope="module")
def found(client: Client, drawn: Study) -> Candidates:
    return find_suggestions(client, drawn, state(drawn))


@pytest.fixture
def chosen(drawn: Study) -> Curation:
    """Choose a similarity threshold for each class."""
    return apply(state(drawn), Batch("", tuple(SetSimilarityThreshold(name, 0.7) for name in CLASSES)))


# Suggestions on displayed images


def test_suggestions_find_planted_cells_as_what_they_are(found: Candidates, cells: Cells) -> None:
    there = cells.in_images("abcd", margin=8)
    best = objects(found.peaks, dict.fromkeys(CLASSES, 0.5))
    seen = {id(o): peak.class_name for peak in best for o in near(peak, there)}
    right = sum(seen.get(id(o)) == o.class_name for o in there)
    assert right > 0.75 * len(there)  # by chance half of those that are found
    assert len(seen) > 0.85 * len(there)
    assert {peak.image for peak in found.peaks} == set("abcd")


def test_prototypes_find_themselves(found: Candidates, drawn: Study) -> None:
    for roi_class in state(drawn).classes:
        for patch in roi_class.prototypes:
            own = [p for p in found.peaks if p.class_name == roi_class.name and p.image == patch.image]
            best = min(own, key=lambda p: math.hypot(p.y - patch.y, p.x - patch.x))
            assert math.hypot(best.y - patch.y, best.x - patch.x) < 4
            # The grid's positions lie up to 4 px beside a prototype's own, and the others of its class count too.
            assert best.score > 0.75


def test_difficult_background_is_more_similar_than_easy_background(found: Candidates) -> None:
    for image in "abcd":
        highest = [peak.score for peak in found.highest if peak.image == image]
        lowest = [peak.score for peak in found.lowest if peak.image == image]
        assert min(len(highest), len(lowest)) >= 5
        assert max(highest) > max(lowest)
        assert min(highest) > min(lowest)
    assert {peak.class_name for peak in (*found.highest, *found.lowest)} == {BACKGROUND}


def test_minima_of_the_mean_similarity_are_where_no_cell_is(found: Candidates, cells: Cells) -> None:
    lowest = sorted(found.lowest, key=lambda peak: peak.score)[:8]
    assert [near(peak, cells.truth) for peak in lowest] == [[]] * 8


def damaged(cells: Cells, tmp_path: Path) -> list[Path]:
    """Copy the displayed images, and return what holds their pixels."""
    copies = [Path(shutil.copytree(path, tmp_path / "images" / Path(path).name)) for path in cells.paths]
    return [file for copy in copies for file in copy.rglob("*") if file.is_file() and file.suffix != ".json"]


def test_what_was_computed_once_needs_no_pixel_again(
    client: Client, cells: Cells, tmp_path: Path, drawn: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether images show what they did is told from their smallest level, which here is the only one.
    monkeypatch.setattr(sight, "check_contents", lambda study, curation: None)
    pixels = damaged(cells, tmp_path)
    paths = [str(tmp_path / "images" / Path(path).name) for path in cells.paths]
    study = create_study(tmp_path / "study", paths, StudyOptions(display=tuple("abcd")))
    with open_curation(study) as journal:
        for entry in read_curation(drawn)[0].entries:
            journal.append("ada", entry.action)  # type: ignore[arg-type]  # nobody has undone anything
    first = find_suggestions(client, study, state(study))
    for file in pixels:
        file.write_bytes(b"no pixels")
    steps: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, StepEnded):
            steps.append(event.step)

    assert find_suggestions(client, study, state(study), observe=observe) == first
    assert "features" not in steps
    assert "measure" not in steps
    fewer = apply(state(study), AddClass("another", "#000000"))
    assert find_suggestions(client, study, fewer) == first  # what has no prototype changes nothing
    shutil.rmtree(study.folder / "cache")
    with pytest.raises(StoreError, match="expected pixels at level 0"):
        find_suggestions(client, study, state(study))


def test_a_new_prototype_computes_its_own_blocks_only(
    client: Client, drawn: Study, copied: Copied, cells: Cells, found: Candidates
) -> None:
    study = copied(drawn)
    more = [o for o in cells.alone("abcd") if o.class_name == NUCLEUS][3]
    changed = apply(state(study), AddPrototypes(NUCLEUS, (Patch.at(more.image, more.y, more.x),), PATCH))
    before = {path: path.stat().st_mtime_ns for path in (study.folder / "cache").iterdir()}
    peaks = find_suggestions(client, study, changed).peaks
    after = {path: path.stat().st_mtime_ns for path in (study.folder / "cache").iterdir()}
    assert len(after) == len(before) + 1
    assert {path: after[path] for path in before} == before
    scores = [[p.score for p in each if p.class_name == NUCLEUS and near(p, [more])] for each in (found.peaks, peaks)]
    assert max(scores[1]) > max(scores[0])


def test_peaks_are_the_same_with_and_without_kept_features(
    client: Client, drawn: Study, copied: Copied, found: Candidates
) -> None:
    study = copied(drawn)
    shutil.rmtree(study.folder / "cache")
    assert find_suggestions(client, study, state(study)) == found
    [group], setting = study_groups(state(study)), replace(study_setting(client, study, state(study)), cache=None)
    images = ImageSet(study_images(study, tuple("abcd")))
    query = find_query(client, images, images, group, setting, ignore)
    without = find_group_candidates(client, images, group, setting, query, ignore)
    # A feature map is computed in tiles of its own, so convolutions add up in another order, and half floats may fall
    # on the other side of a rounding.
    check_nearly_same(without.peaks, found.peaks)
    check_nearly_same(without.highest, found.highest)
    check_nearly_same(without.lowest, found.lowest)


def test_features_in_another_arithmetic_are_computed_beside_those_that_are_kept(
    client: Client, drawn: Study, copied: Copied, found: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = copied(drawn)
    before = set((study.folder / "cache").iterdir())
    other = "float32" if study_setting(client, study, state(study)).arithmetic == "bfloat16" else "bfloat16"
    monkeypatch.setattr(device_module, "native_arithmetic", lambda: other)
    again = find_suggestions(client, study, state(study))
    new = set((study.folder / "cache").iterdir()) - before
    assert sum(path.suffix == ".zarr" for path in new) == len(state(study).displayed)
    best = [max(peak.score for peak in each.peaks) for each in (found, again)]
    assert best[0] != best[1]
    assert best == pytest.approx(2 * [best[0]], abs=0.01)


def test_an_image_that_was_written_anew_is_refused_and_computed_anew_where_somebody_says_that_it_will_do(
    client: Client, save_image: SaveImage, cells: Cells, drawn: Study, tmp_path: Path
) -> None:
    for path in cells.paths:
        shutil.copytree(path, tmp_path / Path(path).name)
    paths = [str(tmp_path / Path(path).name) for path in cells.paths]
    study = create_study(tmp_path / "study", paths, StudyOptions(display=("a", "b")))
    with open_curation(study) as journal:
        curation = journal.append("ada", Batch("", tuple(_drawn_in(drawn, "a"))))
    first = find_suggestions(client, study, curation)
    shutil.rmtree(paths[1])
    shutil.copytree(paths[2], paths[1], copy_function=shutil.copyfile)  # not shutil.copy2, which keeps times
    with pytest.raises(SourceError, match="b: expected what was there when it was first looked at"):
        find_suggestions(client, study, curation)
    (study.folder / CONTENTS_NAME).unlink()  # not the cache: features are known by when an image was written
    second = find_suggestions(client, study, curation)
    assert [p for p in second.peaks if p.image == "b"] != [p for p in first.peaks if p.image == "b"]


def _drawn_in(study: Study, image: str) -> Iterable[AddClass | AddPrototypes]:
    for roi_class in state(study).classes:
        patches = tuple(patch for patch in roi_class.prototypes if patch.image == image)
        if patches:
            yield AddClass(roi_class.name, roi_class.color)
            yield AddPrototypes(roi_class.name, patches, PATCH)


# Training patches on all other images


def test_noisy_patches_are_objects_and_background_of_images_that_are_not_displayed(
    client: Client, drawn: Study, chosen: Curation, cells: Cells
) -> None:
    noisy = find_noisy(client, drawn, chosen, n_background=3)
    assert {peak.image for peak in noisy} == {"e", "f"}
    of_classes = [peak for peak in noisy if peak.class_name != BACKGROUND]
    background = [peak for peak in noisy if peak.class_name == BACKGROUND]
    assert {peak.class_name for peak in of_classes} == set(CLASSES)
    assert all(peak.score >= 0.7 for peak in of_classes)
    for index, peak in enumerate(of_classes):
        others = [p for p in of_classes[:index] if p.image == peak.image]
        assert all(math.hypot(p.y - peak.y, p.x - peak.x) >= 20 for p in others)  # each place once
    counts = Counter(peak.image for peak in background)
    assert all(3 <= counts[image] <= 6 for image in "ef")
    for peak in background:
        here = [p for p in of_classes if p.image == peak.image]
        assert not any(abs(p.y - peak.y) < 20 and abs(p.x - peak.x) < 20 for p in here)
        assert 19.5 <= peak.y <= 155.5
        assert 19.5 <= peak.x <= 155.5
    right = [peak for peak in of_classes if peak.class_name in {o.class_name for o in near(peak, cells.truth)}]
    assert len(right) > 0.75 * len(of_classes)


def test_each_place_is_labelled_by_its_most_similar_class(client: Client, drawn: Study, chosen: Curation) -> None:
    low = apply(chosen, SetSimilarityThreshold(NUCLEUS, 0.6))
    more, fewer = (
        Counter(peak.class_name for peak in find_noisy(client, drawn, curation, n_background=0))
        for curation in (low, chosen)
    )
    assert more[NUCLEUS] > fewer[NUCLEUS]
    assert more[CYTOPLASM] <= fewer[CYTOPLASM]
    assert more[BACKGROUND] == 0


@pytest.mark.cluster
def test_noisy_patches_do_not_depend_on_the_cluster(
    processes: Client, one_process: Client, client: Client, drawn: Study, copied: Copied, chosen: Curation
) -> None:
    threads, two, one = (find_noisy(each, copied(drawn), chosen) for each in (client, processes, one_process))
    # A process may have another number of threads, and then sums in another order.
    check_nearly_same(one, two)
    check_nearly_same(threads, two)
    assert len(two) > 10


def test_where_all_is_displayed_nothing_is_left_to_find(client: Client, drawn: Study, chosen: Curation) -> None:
    assert find_noisy(client, drawn, apply(chosen, ChooseImages(tuple("abcdef")))) == []


def test_what_is_missing_is_said(client: Client, drawn: Study, chosen: Curation, tmp_path: Path, cells: Cells) -> None:
    empty = create_study(tmp_path / "study", cells.paths, StudyOptions(display=2))
    for find in (find_suggestions, find_noisy):
        with pytest.raises(CurationError, match="expected a class with a prototype, got none: draw one, or import"):
            find(client, empty, state(empty))  # type: ignore[operator]  # both take these
    named = apply(state(empty), AddClass(NUCLEUS, "#000000"))
    with pytest.raises(CurationError, match="expected a class with a prototype"):
        find_suggestions(client, empty, named)
    with pytest.raises(CurationError, match="class GFP in cytoplasm: expected a similarity threshold, got none"):
        find_noisy(client, drawn, state(drawn))
    assert sorted(path.name for path in empty.folder.iterdir()) == ["curation.jsonl", "study.json"]


def test_an_image_that_is_gone_is_named(client: Client, drawn: Study, copied: Copied) -> None:
    study = copied(drawn)
    content = json.loads((study.folder / "study.json").read_text())
    content["images"][2]["path"] += ".gone"
    gone = replace(study, images=(*study.images[:2], replace(study.images[2], path=content["images"][2]["path"])))
    with pytest.raises(SourceError, match=r"c\.ome\.zarr\.gone: expected an OME-Zarr, got nothing there"):
        find_suggestions(client, gone, replace(state(study), displayed=("a", "c")))


# Curation without a screen


def test_all_that_is_suggested_is_accepted_in_one_action(client: Client, drawn: Study, copied: Copied) -> None:
    study = copied(drawn)
    before = state(study)
    report = curate(client, study, "ada", CurateOptions(accept=True, n_background=3))
    after = state(study)
    assert report.is_accepted
    assert [each.class_name for each in report.classes] == list(CLASSES)
    for each in report.classes:
        roi_class = after.roi_class(each.class_name)
        assert roi_class.is_accepted
        assert not each.is_chosen
        assert roi_class.similarity_threshold == each.similarity_threshold
        assert len(roi_class.positives) == each.n_suggested > 0
        assert each.n_peaks >= each.n_suggested
    assert after.is_background_accepted
    assert len(after.background) == report.n_easy > 0
    assert len(read_curation(study)[0].entries) == len(read_curation(drawn)[0].entries) + 1
    with open_curation(study) as journal:
        assert journal.undo("ada") == before


def test_each_place_is_accepted_for_its_most_similar_class(
    client: Client, drawn: Study, copied: Copied, found: Candidates
) -> None:
    study, low = copied(drawn), dict.fromkeys(CLASSES, 0.3)  # so low that each class is suggested everywhere
    curate(client, study, "ada", CurateOptions(low, accept=True))
    after = state(study)
    positives = {name: after.roi_class(name).positives for name in CLASSES}
    for name, other in (CLASSES, CLASSES[::-1]):
        assert len(positives[name]) < len(suggested_patches(after, name, found.peaks))
        for patch in positives[name]:
            own, others = (
                max((p.score for p in found.peaks if p.class_name == c and _is_at(p, patch, 20)), default=-1)
                for c in (name, other)
            )
            assert own >= others
            assert not any(_is_at(p, patch, 20) for p in positives[other])


def _is_at(found: Peak | Patch, patch: Patch, distance: float) -> bool:
    return found.image == patch.image and math.hypot(found.y - patch.y, found.x - patch.x) < distance


def test_a_place_flagged_for_its_most_similar_class_is_suggested_for_the_other(
    client: Client, drawn: Study, copied: Copied, found: Candidates
) -> None:
    study, low = copied(drawn), dict.fromkeys(CLASSES, 0.3)
    curate(client, study, "ada", CurateOptions(low, accept=True))
    prototypes = [patch for each in state(study).classes for patch in each.prototypes]
    wrong = next(
        patch
        for patch in state(study).roi_class(CYTOPLASM).positives
        if not any(_is_at(p, patch, 20) for p in prototypes)
        and any(p.class_name == NUCLEUS and p.score > 0.4 and _is_at(p, patch, 8) for p in found.peaks)
    )
    with open_curation(study) as journal:
        journal.append("ada", FlagNegatives(CYTOPLASM, (wrong,)))
    curate(client, study, "ada", CurateOptions(accept=True))
    assert not any(_is_at(p, wrong, 10) for p in state(study).roi_class(CYTOPLASM).positives)
    assert any(_is_at(p, wrong, 10) for p in state(study).roi_class(NUCLEUS).positives)


def test_a_higher_threshold_suggests_fewer_and_stays(client: Client, drawn: Study, copied: Copied) -> None:
    study = copied(drawn)
    counts = []
    for threshold in (0.5, 0.8):
        report = curate(client, study, "ada", CurateOptions({NUCLEUS: threshold}))
        counts.append(report.classes[1].n_suggested)
        assert report.classes[1].is_chosen
        assert report.classes[1].similarity_threshold == threshold
    assert counts[0] > counts[1] > 0
    after = state(study)
    assert after.roi_class(NUCLEUS).similarity_threshold == 0.8
    assert after.roi_class(CYTOPLASM).similarity_threshold is None  # only what was chosen is kept
    assert not any(each.positives or each.is_accepted for each in after.classes)
    assert after.background == ()


def test_the_table_imported_is_what_would_have_been_accepted(
    client: Client, drawn: Study, copied: Copied, tmp_path: Path
) -> None:
    accepted, imported = copied(drawn), copied(drawn)
    table = tmp_path / "suggestions.csv"
    options = CurateOptions(accept=True, n_background=2, table=table)
    report = curate(client, accepted, "ada", options)
    added = import_annotations(imported, table, user="ada")
    assert added.n_added == {
        "positive": sum(each.n_suggested for each in report.classes),
        "background": report.n_easy,
    }
    for name in CLASSES:
        positives = [places(state(each).roi_class(name).positives) for each in (accepted, imported)]
        assert positives[0] == positives[1]
    assert places(state(accepted).background) == places(state(imported).background)
    assert import_annotations(accepted, table, user="ada").n_added == {}


def test_who_imports_a_table_goes_on_with_the_thresholds_it_was_made_with(
    client: Client, drawn: Study, copied: Copied, tmp_path: Path
) -> None:
    study = copied(drawn)
    with open_curation(study) as journal:
        journal.append("ada", SetSimilarityThreshold(NUCLEUS, 0.8))
    report = curate(client, study, "ada", CurateOptions(table=tmp_path / "suggestions.csv"))
    kept = {each.name: each.similarity_threshold for each in state(study).classes}
    assert kept == {each.class_name: each.similarity_threshold for each in report.classes}
    assert kept[NUCLEUS] == 0.8
    assert not any(each.positives for each in state(study).classes)
    import_annotations(study, tmp_path / "suggestions.csv", user="ada")
    assert all(each.is_accepted for each in state(study).classes)
    assert find_noisy(client, study, state(study))


def test_difficult_background_is_for_who_asks_for_it(client: Client, drawn: Study, copied: Copied) -> None:
    study = copied(drawn)
    options = CurateOptions(dict.fromkeys(CLASSES, 0.8), accept=True, difficult=True, n_background=2)
    report = curate(client, study, "ada", options)
    assert report.n_difficult > 0
    background = state(study).background
    assert len(background) == report.n_difficult + report.n_easy
    objects_there = [p for each in state(study).classes for p in (*each.prototypes, *each.positives)]
    for patch in background:
        assert not any(
            p.image == patch.image and abs(p.y - patch.y) < 20 and abs(p.x - patch.x) < 20 for p in objects_there
        )


def test_accepting_again_replaces_what_was_accepted(client: Client, drawn: Study, copied: Copied) -> None:
    study = copied(drawn)
    with open_curation(study) as journal:
        journal.append("ada", AcceptClass(NUCLEUS, (Patch.at("a", 1.0, 1.0),)))
    curate(client, study, "ada", CurateOptions(accept=True))
    once = state(study)
    curate(client, study, "ada", CurateOptions(accept=True))
    assert ("a", 1.0, 1.0) not in places(once.roi_class(NUCLEUS).positives)
    assert places(state(study).patches()) == places(once.patches())


def test_a_class_that_is_not_there_cannot_have_a_threshold(client: Client, drawn: Study, copied: Copied) -> None:
    study = copied(drawn)
    with pytest.raises(CurationError, match=r"one of the classes \(.*\), got 'PLT'"):
        curate(client, study, "ada", CurateOptions({"PLT": 0.5}))
    with open_curation(study), pytest.raises(StoreError, match="the only one to write"):
        curate(client, study, "ada", CurateOptions())


def test_steps_are_told(client: Client, drawn: Study, copied: Copied) -> None:
    study, steps = copied(drawn), []
    curate(client, study, "ada", CurateOptions(), observe=lambda event: steps.append(event))
    assert [event.step for event in steps if isinstance(event, StepStarted)][-1] == "suggestions"
