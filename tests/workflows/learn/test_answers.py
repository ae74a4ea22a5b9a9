"""Answers given one by one decide between a model and the search that it came from."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.curation.actions import apply
from simsearch.curation.marks import ConfirmPatches, FlagNegatives, WithdrawConfirmed
from simsearch.curation.state import Curation, Patch, Places
from simsearch.io.tables.answered import read_answered, write_answered
from simsearch.nn.model_file import model_from_bytes, model_to_bytes, read_header
from simsearch.runtime.events import ignore
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.curate.sight import study_setting
from simsearch.workflows.curate.study import open_study, read_curation
from simsearch.workflows.curate.suggest import queries_of
from simsearch.workflows.curate.trained import read_trained
from simsearch.workflows.learn import train as train_module
from simsearch.workflows.learn.answers import answers_of, held_out_similarities
from simsearch.workflows.learn.carried import MIXED, shares_in_words, with_search
from simsearch.workflows.learn.train import TrainOptions, TrainReport, train_study

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

    from simsearch.workflows.curate.study import Study
    from tests.workflows.conftest import Cells

MINI = TrainingConfig(
    noisy=Schedule(1, 4, decay_every=5, decay=0.1),
    clean=Schedule(1, 4, decay_every=10, decay=0.1, n_patches=4),
    classifier=Schedule(2, 4, decay_every=10, decay=0.1, n_patches=4),
    averaging=0.8,
)
OPTIONS = TrainOptions(selflearn=False, n_background=1)
CLASSES = (CYTOPLASM, NUCLEUS)


def answered(curation: Curation, cells: Cells, n: int = 7) -> Curation:
    """Confirm so many cells of each kind, spread over the displayed images, that nobody has said anything of."""
    for name in CLASSES:
        said = Places([p for each in curation.classes for p in (*each.prototypes, *each.confirmed, *each.negatives)],
                      (40.0, 40.0))  # fmt: skip
        places = [Patch.at(o.image, o.y, o.x) for o in cells.in_images("abcd", margin=12) if o.class_name == name]
        free = [patch for patch in places if said.near(patch) is None]
        chosen = [free[round(i * (len(free) - 1) / (n - 1))] for i in range(n)] if len(free) > n else free
        curation = apply(curation, ConfirmPatches(name, tuple(chosen)))
    return curation


@pytest.fixture(scope="module")
def curation(curated: Study, cells: Cells) -> Curation:
    return answered(read_curation(curated)[0].state, cells)


@pytest.fixture(scope="module")
def report(
    client: Client, curated: Study, curation: Curation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrainReport]:
    """Train on a study with answers, for a second."""
    folder = shutil.copytree(curated.folder, tmp_path_factory.mktemp("answered") / "study")
    shutil.rmtree(folder / "models", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "BRIEF", MINI)
        yield train_study(client, open_study(folder), curation, OPTIONS)


def test_a_training_compares_model_and_search_on_answers_and_says_so(report: TrainReport, curation: Curation) -> None:
    rows = read_answered(report.model.with_name("answered.csv"))
    answers = answers_of(curation, CLASSES)
    assert [(r.class_name, r.y, r.x, r.is_right) for r in rows] == [
        (a.class_name, pytest.approx(a.patch.y), pytest.approx(a.patch.x), a.is_right) for a in answers
    ]
    assert all(math.isfinite(each.network) and -1 <= each.search <= 1 for each in rows)
    header = read_header(report.model.read_bytes())
    for name, share in zip(CLASSES, header.search_shares, strict=True):
        said, own = header.training["answers"][name], [each for each in rows if each.class_name == name]
        assert said["n_right"] == sum(each.is_right for each in own) >= 5
        assert said["n_wrong"] == sum(not each.is_right for each in own) >= 5
        assert said["n_images"] >= 2
        assert share is not None
        assert share.weight == (1 if said["better"] == "search" else MIXED)
        words = report.decided_by[name]
        assert f"of {len(own)} places that you answered one by one" in words
        assert words in report.model.with_name("README.md").read_text(encoding="utf-8")
    assert report.decided_by == shares_in_words(header)
    (model,) = read_trained(open_study(report.model.parents[2]))
    assert model.decided_by == report.decided_by
    assert report.model.with_name("answered.csv") in model.files


def test_a_study_without_answers_says_that_nothing_was_compared(trained: TrainReport) -> None:
    for words in trained.decided_by.values():
        assert words.startswith("the network, and by 35% the search (not compared: 0 right and ")


@pytest.mark.parametrize("is_worse", [True, False])
def test_a_network_that_is_planted_worse_leaves_it_to_the_search(
    client: Client, curated: Study, curation: Curation, report: TrainReport, tmp_path: Path, is_worse: bool
) -> None:
    network, header = model_from_bytes(report.model.read_bytes())
    network.carried = None
    blob = model_to_bytes(network, replace(header, search_shares=()))
    rows = read_answered(report.model.with_name("answered.csv"))
    noise = [0.3 * math.sin(9.0 * row) for row in range(len(rows))]
    sign = -1 if is_worse else 1
    planted = [
        replace(row, network=sign * (1.0 if row.is_right else -1.0) + n) for row, n in zip(rows, noise, strict=True)
    ]
    write_answered(planted, tmp_path / "answered.csv")
    arithmetic = study_setting(client, curated, curation).arithmetic
    found = with_search(client, curated, curation, blob, arithmetic, ignore, tmp_path / "answered.csv")
    carrying, header = model_from_bytes(found)
    shares = dict(zip(CLASSES, header.search_shares, strict=True))
    assert {share.weight for share in shares.values() if share} == ({1.0} if is_worse else {MIXED})
    words = shares_in_words(header)
    assert all(each.startswith("the search alone: of ") == is_worse for each in words.values())
    assert carrying.carried is not None
    usual = with_search(client, curated, curation, blob, arithmetic, ignore)
    assert (read_header(usual).search_shares == header.search_shares) != is_worse


def similarities(client: Client, study: Study, curation: Curation) -> dict[tuple[str, str, float, float], float]:
    answers = answers_of(curation, CLASSES)
    found = held_out_similarities(client, study, curation, queries_of(client, study, curation, 1), answers, ignore)
    assert set(found) == set(answers)
    return {(a.class_name, a.patch.image, a.patch.y, a.patch.x): value for a, value in found.items()}


def test_a_search_knows_nothing_of_the_image_that_it_is_asked_about(
    client: Client, curated: Study, curation: Curation
) -> None:
    said = curation.roi_class(NUCLEUS).confirmed[-1]
    other = apply(curation, WithdrawConfirmed(NUCLEUS, (said.id,)))
    other = apply(other, FlagNegatives(NUCLEUS, (said,)))
    before, after = (similarities(client, curated, each) for each in (curation, other))
    shared = set(before) & set(after)
    assert {key for key in shared if before[key] != after[key]} == {
        (name, image, y, x) for name, image, y, x in shared if name == NUCLEUS and image != said.image
    }
