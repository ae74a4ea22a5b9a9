"""A search of all images whose features are kept finds what the live search finds when all of them are displayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.curation.actions import AddClass, Batch, ChooseImages, apply
from simsearch.curation.marks import AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.state import Curation, Patch
from simsearch.curation.suggestions import own_peaks, without_flagged
from simsearch.errors import Cancelled
from simsearch.runtime.events import Event, TaskDone
from simsearch.workflows.curate.live import plate_search
from simsearch.workflows.curate.live.plate_search import PlateSearch
from simsearch.workflows.curate.live.search import LiveSearch
from simsearch.workflows.curate.study import Study, StudyOptions, create_study
from simsearch.workflows.curate.suggest import prepare_all, prepare_suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

    from simsearch.core.ranked_peaks import RankedPeaks
    from tests.workflows.conftest import Cells

ALL = tuple("abcdef")
KINDS = (CYTOPLASM, NUCLEUS)


@pytest.fixture(scope="module")
def study(cells: Cells, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("plates") / "study"
    study = create_study(folder, cells.paths, StudyOptions(display=("a", "b")))
    prepare_all(client, study, study.initial)
    return study


@pytest.fixture
def search(client: Client, study: Study) -> Iterator[PlateSearch]:
    search = PlateSearch(client, study)
    yield search
    search.close()


def cells_of(cells: Cells, class_name: str, numbers: slice) -> tuple[Patch, ...]:
    alone = [o for o in cells.alone("ab") if o.class_name == class_name][numbers]
    assert alone
    return tuple(Patch.at(o.image, o.y, o.x) for o in alone)


@pytest.fixture
def drawn(study: Study, cells: Cells) -> Curation:
    """Draw a box for each of two classes."""
    classes = tuple(AddClass(name, color) for name, color in zip(KINDS, ("#e69f00", "#56b4e9"), strict=True))
    boxes = tuple(AddPrototypes(name, cells_of(cells, name, slice(0, 1)), (40.0, 40.0)) for name in KINDS)
    return apply(study.initial, Batch("", (*classes, *boxes)))


def check_same(found: RankedPeaks, expected: RankedPeaks) -> None:
    """Compare peaks that may differ by rounding: of two places that are as good, the other may be taken."""
    assert abs(len(found) - len(expected)) <= 0.02 * len(expected) + 1
    known = []
    for image, y, x, score in zip(expected.image, expected.y, expected.x, expected.score, strict=True):
        here = (found.image == image) & (np.hypot(found.y - y, found.x - x) < 1)
        known += [(float(found.score[here][0]), float(score))] if here.any() else []
    assert len(known) > 0.95 * len(expected) > 20
    np.testing.assert_allclose(*zip(*known, strict=True), atol=3e-3)


def check_as_live(client: Client, study: Study, curation: Curation, search: PlateSearch) -> None:
    everything = apply(curation, ChooseImages(ALL))
    live = LiveSearch(client, study)
    expected = own_peaks(everything, ALL, live.find(everything).by_class)
    live.close()
    found = search.find(curation)
    assert found.images == ALL
    for name in KINDS:
        check_same(found.by_class[name], without_flagged(everything, name, ALL, expected[name]))


def test_all_images_are_searched_as_if_they_were_displayed(
    client: Client, study: Study, drawn: Curation, search: PlateSearch
) -> None:
    check_as_live(client, study, drawn, search)


def test_answers_count_and_what_was_flagged_is_left_out(
    client: Client, study: Study, cells: Cells, drawn: Curation, search: PlateSearch
) -> None:
    wrong, right = (cells_of(cells, name, slice(1, 3)) for name in (NUCLEUS, CYTOPLASM))
    answered = apply(apply(drawn, FlagNegatives(CYTOPLASM, wrong)), ConfirmPatches(CYTOPLASM, right[:1]))
    check_as_live(client, study, answered, search)
    found = search.find(answered).by_class[CYTOPLASM]
    for patch in wrong:
        here = found.image == ALL.index(patch.image)
        assert np.hypot(found.y[here] - patch.y, found.x[here] - patch.x).min() > 5


def test_what_is_known_of_a_prototype_is_not_computed_again(
    drawn: Curation, search: PlateSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search.find(drawn)
    monkeypatch.setattr(plate_search, "read_features", None)
    again = search.find(drawn)
    for name in KINDS:
        np.testing.assert_array_equal(first.by_class[name].score, again.by_class[name].score)


def test_similarities_without_room_are_computed_anew(client: Client, study: Study, drawn: Curation) -> None:
    poor, rich = PlateSearch(client, study, kept_bytes=0), PlateSearch(client, study)
    expected = rich.find(drawn)
    for found in (poor.find(drawn), poor.find(drawn)):
        for name in KINDS:
            np.testing.assert_array_equal(found.by_class[name].score, expected.by_class[name].score)
    poor.close()
    rich.close()


def test_a_search_ends_at_once_where_it_is_outdated_and_the_next_is_complete(
    drawn: Curation, search: PlateSearch
) -> None:
    n_done = []

    def observe(event: Event) -> None:
        if isinstance(event, TaskDone) and event.step == "plate":
            n_done.append(event)
            if len(n_done) == 2:
                raise Cancelled

    with pytest.raises(Cancelled):
        search.find(drawn, observe=observe)
    assert search.find(drawn).images == ALL


def test_images_without_features_are_counted_and_left_out(
    client: Client, cells: Cells, drawn: Curation, tmp_path: Path
) -> None:
    study = create_study(tmp_path / "study", cells.paths, StudyOptions(display=("a", "b")))
    search = PlateSearch(client, study)
    prepare_suggestions(client, study, drawn)
    unseen = search.unseen(drawn)
    assert unseen.names == ALL[2:]
    assert search.find(drawn).images == ("a", "b")
    kept = sum(path.stat().st_size for path in (study.folder / "cache").rglob("c/*/*/*"))
    assert unseen.n_bytes == 2 * kept  # of four images, where there are two
    prepare_all(client, study, drawn)
    assert search.unseen(drawn).names == ()
    assert search.find(drawn).images == ALL
    search.close()
