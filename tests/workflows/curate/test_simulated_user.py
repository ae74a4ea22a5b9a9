"""A simulated person does what a person does, and answers as the truth does."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.curation.actions import Action, AddClass, SetSimilarityThreshold
from simsearch.curation.history import replay
from simsearch.curation.marks import AcceptBackground, AcceptClass, AddPrototypes, FlagNegatives, FlagNotBackground
from simsearch.errors import ConfigError
from simsearch.io.tables.truth import TrueObject
from simsearch.runtime.events import Event, Noted, Observer, ignore
from simsearch.workflows.curate.simulated_user import simulate_curation
from simsearch.workflows.curate.study import Study, read_curation
from simsearch.workflows.curate.suggest import find_suggestions

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    from simsearch.core.peaks import Peak
    from simsearch.curation.state import Curation, Patch
    from simsearch.workflows.curate.simulated_user import Behaviour
    from tests.workflows.conftest import Cells

    Simulate = Callable[..., tuple[Curation, list[Action]]]

CLASSES = (CYTOPLASM, NUCLEUS)
REACH = 12.0  # three strides of a tenth of 40 px


@pytest.fixture
def simulate(
    client: Client, cells: Cells, curated: Study, behaviour: Behaviour, copied: Callable[[Study], Study]
) -> Simulate:
    """Curate anew, with features that were computed before; keywords change the behaviour."""

    def run(
        truth: list[object] | None = None, observe: Observer = ignore, **changes: object
    ) -> tuple[Curation, list[Action]]:
        study = copied(curated)
        study.journal_path.write_bytes(b"")
        made = simulate_curation(
            client, study, cells.truth if truth is None else truth, replace(behaviour, **changes), observe=observe,  # type: ignore[arg-type]  # checked by the tests
        )  # fmt: skip
        assert read_curation(study)[0].state == made
        return made, [entry.action for entry in read_curation(study)[0].entries]  # type: ignore[misc]  # nothing undone

    return run


def classes_at(at: Patch | Peak, cells: Cells, reach: float = REACH) -> set[str]:
    return {o.class_name for o in cells.truth if o.image == at.image and math.hypot(o.y - at.y, o.x - at.x) < reach}


def places(patches: tuple[Patch, ...]) -> list[tuple[str, float, float]]:
    return [(patch.image, patch.y, patch.x) for patch in patches]


def with_debris(cells: Cells, simulate: Simulate) -> list[TrueObject]:
    """Add to the truth what lies where background is suggested."""
    state, _ = simulate(n_negatives=1, n_background=5)
    return [*cells.truth, *(TrueObject(p.image, "debris", p.y, p.x) for p in state.background[:2])]


def test_the_journal_holds_what_a_person_does(cells: Cells, simulate: Simulate) -> None:
    _, actions = simulate(with_debris(cells, simulate), n_negatives=1, n_background=5)
    drawing, judging = [AddClass, AddPrototypes], [SetSimilarityThreshold, FlagNegatives, AcceptClass]
    assert [type(action) for action in actions] == [
        *(2 * drawing),
        *(2 * judging),
        FlagNotBackground,
        AcceptBackground,
    ]
    assert [action.class_name for action in actions[:-2]] == [  # type: ignore[union-attr]  # as listed above
        CYTOPLASM, CYTOPLASM, NUCLEUS, NUCLEUS, *[CYTOPLASM] * 3, *[NUCLEUS] * 3,
    ]  # fmt: skip


def test_the_journal_done_again_gives_the_same_state(curated: Study) -> None:
    history = read_curation(curated)[0]
    assert {entry.user for entry in history.entries} == {"simulated user"}
    assert replay(curated.initial, history.entries).state == history.state
    assert history.state.is_background_accepted
    assert all(each.is_accepted for each in history.state.classes)


def test_prototypes_are_cells_of_their_class(curated: Study, cells: Cells) -> None:
    for roi_class in read_curation(curated)[0].state.classes:
        assert len(roi_class.prototypes) == 2
        there = [(o.image, round(o.y, 3), round(o.x, 3)) for o in cells.truth if o.class_name == roi_class.name]
        assert set(places(roi_class.prototypes)) <= set(there)


def test_what_is_accepted_is_true_and_what_is_flagged_is_wrong(curated: Study, cells: Cells) -> None:
    for roi_class in read_curation(curated)[0].state.classes:
        assert len(roi_class.positives) >= 5
        assert all(roi_class.name in classes_at(patch, cells) for patch in roi_class.positives)
        assert not any(roi_class.name in classes_at(patch, cells) for patch in roi_class.negatives)


def test_images_without_any_object_in_a_complete_truth_are_told(cells: Cells, simulate: Simulate) -> None:
    first = "a"
    events: list[Event] = []
    truth = [o for o in cells.truth if o.image != first]
    simulate(truth, n_negatives=0, observe=events.append)
    (note,) = [event.note for event in events if isinstance(event, Noted)]
    assert note.startswith(
        f"expected objects on all displayed images, got none on {first}: all that is suggested there"
    )
    events.clear()
    simulate(truth, n_negatives=0, is_truth_complete=False, observe=events.append)
    assert not [event for event in events if isinstance(event, Noted)]


def unanswered(curation: Curation) -> Curation:
    """Return what was said before anything was flagged."""
    return replace(curation, classes=tuple(replace(each, negatives=()) for each in curation.classes))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_threshold_lets_exactly_so_many_wrong_suggestions_in(
    client: Client, curated: Study, cells: Cells, simulate: Simulate, n: int
) -> None:
    made, actions = simulate(n_negatives=n)
    peaks = find_suggestions(client, curated, unanswered(made)).peaks
    for roi_class in made.classes:
        own = sorted((p for p in peaks if p.class_name == roi_class.name), key=lambda p: -p.score)
        wrong = [p for p in own if roi_class.name not in classes_at(p, cells)]
        assert len(wrong) > n  # there are enough
        assert [(patch.image, patch.y, patch.x) for patch in roi_class.negatives] == [
            (p.image, round(p.y, 3), round(p.x, 3)) for p in wrong[:n]
        ]
        least = roi_class.similarity_threshold
        assert least is not None
        assert wrong[n].score < least
        assert min(p.score for p in own if p.score > wrong[n].score) == least  # and no higher than it must be
        assert len(roi_class.positives) == sum(p.score >= least for p in own) - n
    assert any(isinstance(action, FlagNegatives) for action in actions) == (n > 0)


def test_where_fewer_are_wrong_all_of_them_are_flagged(
    client: Client, curated: Study, cells: Cells, simulate: Simulate
) -> None:
    made, _ = simulate(n_negatives=1000)
    peaks = find_suggestions(client, curated, unanswered(made)).peaks
    for roi_class in made.classes:
        own = [p for p in peaks if p.class_name == roi_class.name]
        assert len(roi_class.positives) + len(roi_class.negatives) == len(own)
        assert roi_class.similarity_threshold == min(p.score for p in own)


def test_background_has_no_cell_in_its_middle(cells: Cells, simulate: Simulate) -> None:
    truth = with_debris(cells, simulate)
    state, _ = simulate(truth, n_negatives=1, n_background=5)

    def holds(patch: Patch) -> bool:
        return any(o.image == patch.image and abs(o.y - patch.y) < 20 and abs(o.x - patch.x) < 20 for o in truth)

    assert 4 <= len(state.background) <= 4 * (5 + 5) - len(state.not_background)
    assert not any(map(holds, state.background))
    assert state.not_background
    assert all(map(holds, state.not_background))


def test_the_seed_chooses_the_prototypes(simulate: Simulate) -> None:
    (first, _), (again, _), (other, _) = simulate(), simulate(), simulate(seed=1)
    drawn = [[places(each.prototypes) for each in made.classes] for made in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [places(each.positives) for each in first.classes] == [places(each.positives) for each in again.classes]


def test_cells_of_classes_that_are_not_looked_for_are_neither_right_nor_wrong(cells: Cells, simulate: Simulate) -> None:
    made, _ = simulate(classes=(NUCLEUS,), n_negatives=1000)
    (roi_class,) = made.classes
    assert all(NUCLEUS in classes_at(patch, cells) for patch in roi_class.positives)
    assert all(classes_at(patch, cells) == set() for patch in roi_class.negatives)


def test_of_what_the_truth_does_not_name_nothing_is_said(cells: Cells, simulate: Simulate) -> None:
    known = [o for o in cells.truth if o.image in "ab"]
    made, actions = simulate(known, is_truth_complete=False, n_negatives=1000)
    for roi_class in made.classes:
        for patch in (*roi_class.positives, *roi_class.negatives):
            assert patch.image in "ab"
            assert (roi_class.name in classes_at(patch, cells)) == (patch in roi_class.positives)
            assert classes_at(patch, cells)
    assert isinstance(actions[-1], AcceptBackground)


def test_who_takes_less_care_of_places_finds_fewer_suggestions_wrong(simulate: Simulate) -> None:
    counts = [
        sum(len(each.negatives) for each in simulate(n_negatives=1000, distance=distance)[0].classes)
        for distance in (None, 60.0)
    ]
    assert counts[0] > counts[1]


def test_too_few_cells_are_refused(simulate: Simulate, cells: Cells) -> None:
    n = sum(o.class_name == NUCLEUS for o in cells.in_images("abcd"))
    message = (
        rf"class GFP in nucleus: expected {n + 1} objects wholly inside the displayed images, got \d+: display other"
    )
    with pytest.raises(ConfigError, match=message):
        simulate(classes=(NUCLEUS,), n_prototypes=n + 1)
    with pytest.raises(ConfigError, match="got 0"):
        simulate([])
