"""How good a search is after so many answers of a person: ``python -m benchmarks.clicks --split val``.

Five boxes are drawn at random; then a person answers, one after the other, what lies nearest to the suggested
threshold on at most six displayed images: the careful one by truth, the mixed one wrongly one time in ten. Who only
accepts what is suggested, the hurried one, leaves the search as it is: for them the precision of what is suggested
counts. A search is judged on other images. Blood smears lack many cells in their truth: a place counts as wrong only
where it lies on a cell of another class, or nowhere near any; others are not asked about.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.bccd import read_split
from benchmarks.judges import Judge, Scene, Split, read_judges
from benchmarks.trunks import Seen, average_precision, picks_of
from benchmarks.variants import Variant, rows_of
from simsearch.core.feature_grid import to_level0
from simsearch.nn.peaks import find_peaks
from simsearch.nn.refinement import Answers, refine
from simsearch.nn.similarity import Query, class_maps, left_out_similarities, make_query, prototype_maps
from simsearch.nn.trunk import fused
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes
from simsearch.workflows.curate.offers import least_of_answers, least_similarity, most_open_level
from simsearch.workflows.find.peaks import split_similarities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.core.boxes import Box

CHECKS = (0, 1, 3, 5, 10, 20, 40)
PEOPLE = {"careful": 0.0, "mixed": 0.1}
"""How often each is wrong."""
_N_DISPLAYED, _N_BACKGROUND, _N_JUDGED = 6, 400, 24
_SEARCHED = rows_of(Variant().layers)
_HIT, _BESIDE, _ON_ANOTHER = 0.3, 0.5, 0.4  # of a patch, or of a box


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A peak on a displayed image."""

    scene: int
    position: tuple[int, int]
    """On the grid."""
    y: float
    x: float
    similarity: float


@dataclass(eq=False)
class Session:
    """What one person sees and says."""

    judge: Judge
    seen: Seen
    picks: list[tuple[int, int]]
    others: Mapping[str, Sequence[Box]]
    """Boxes of other classes by image, where truth lacks objects."""
    confirmed: list[Suggestion] = field(default_factory=list)
    flagged: list[Suggestion] = field(default_factory=list)
    skipped: list[Suggestion] = field(default_factory=list)
    least: float = 0.0
    """The suggested threshold."""

    def __post_init__(self) -> None:
        chance = random.Random(str(self.picks))
        self.shown = list(dict.fromkeys(scene for scene, _ in self.picks))
        for scene in chance.sample(range(len(self.judge.drawn)), len(self.judge.drawn)):
            if scene not in self.shown and len(self.shown) < _N_DISPLAYED:
                self.shown.append(scene)
        turned = [block[_SEARCHED] for block in self.seen.blocks(self.picks)]
        n = len(turned) // len(self.picks)
        self.maps = [_searched(m) for m in self.seen.maps]
        self.displayed = [_searched(self.seen.map_of(self.judge.drawn[scene])) for scene in self.shown]
        centre = torch.stack([m.mean(dim=(1, 2)) for m in self.displayed]).mean(dim=0)
        self.query = make_query([[turned[i * n : (i + 1) * n] for i in range(len(self.picks))]], centre)
        self.left_out = left_out_similarities(self.query, 0)
        # What prototypes alone say is computed once.
        self.like, self.like_displayed = (
            [prototype_maps(m, self.query) for m in ms] for ms in (self.maps, self.displayed)
        )
        places = [(m, chance.randrange(m.shape[1]), chance.randrange(m.shape[2])) for m in self._any(chance)]
        self.background = torch.stack([self._block(m, y, x) for m, y, x in places])

    def refined(self) -> Query:
        """Add what was said to the query."""
        confirmed = [[torch.rot90(self._at(s), turns, (1, 2)) for turns in range(4)] for s in self.confirmed]
        answers = Answers(confirmed, [self._at(s) for s in self.flagged])
        learned = refine(self.query, 0, answers, self.background)
        return replace(self.query, refinements={0: learned} if learned else {})

    def suggestions(self, query: Query) -> tuple[list[Suggestion], float, float]:
        """Return peaks that are no prototypes, the suggested threshold, and that of before."""
        found: list[Suggestion] = []
        for scene, values in zip(self.shown, _similarities(self.displayed, self.like_displayed, query), strict=True):
            radius = max(1, round(self.seen.extractor.patch_shape[0] / 2 / self.seen.extractor.grid.stride))
            for row, column, score in find_peaks(np.pad(values, radius, constant_values=-np.inf), radius, 0.0):
                y, x = (self._level0(v) for v in (row, column))
                own = [self.judge.drawn[s].centres[i] for s, i in self.picks if s == scene]
                if all(np.hypot(y - cy, x - cx) >= self.judge.side / 2 for cy, cx in own):
                    found.append(Suggestion(scene, (round(row), round(column)), y, x, float(score)))
        scores = np.array([s.similarity for s in found])
        least = least_similarity(scores, self.left_out)
        right, wrong = (
            np.array([s.similarity for s in found if self._is_near(s, said)]) for said in (self.confirmed, self.flagged)
        )
        level = most_open_level(right, wrong, scores, self.left_out)
        self.least = least_of_answers(right, wrong, least, level)
        return found, self.least, split_similarities(scores)

    def next_question(self, found: Sequence[Suggestion]) -> tuple[Suggestion, bool] | None:
        """Choose what lies nearest to the threshold and was not asked, with the true answer."""
        for suggestion in sorted(found, key=lambda s: abs(s.similarity - self.least)):
            if not self._is_near(suggestion, [*self.confirmed, *self.flagged, *self.skipped]):
                truth = self.truth(suggestion)
                if truth is not None:
                    return suggestion, truth
                self.skipped.append(suggestion)
        return None

    def truth(self, suggestion: Suggestion) -> bool | None:
        """Tell whether a suggestion is right, as far as is known."""
        scene, side = self.judge.drawn[suggestion.scene], self.judge.side
        own, others = (_nearest(points, suggestion) for points in (scene.centres, scene.others))
        if own < _HIT * side:
            return True
        if self.judge.task == "retrieval":
            return False if others < _HIT * side else None
        if own < _BESIDE * side:
            return None
        return False if not self.others or _is_on(suggestion, self.others.get(scene.name, ())) else None

    def precision(self) -> float:
        """Judge the search on other images."""
        found = _similarities(self.maps, self.like, self.refined())
        return average_precision(self.judge, self.seen, found, self.picks)

    def _is_near(self, suggestion: Suggestion, said: Sequence[Suggestion]) -> bool:
        here = [s for s in said if s.scene == suggestion.scene]
        return any(np.hypot(s.y - suggestion.y, s.x - suggestion.x) < self.judge.side / 4 for s in here)

    def _level0(self, steps: float) -> float:
        return float(to_level0(self.seen.extractor.grid.stride * steps, self.seen.downsampling))

    def _at(self, suggestion: Suggestion) -> torch.Tensor:
        return self._block(self.displayed[self.shown.index(suggestion.scene)], *suggestion.position)

    def _block(self, found: torch.Tensor, y: int, x: int) -> torch.Tensor:
        side = self.seen.extractor.block_shape[0]
        top, left = min(y, found.shape[1] - side), min(x, found.shape[2] - side)
        return found[:, top : top + side, left : left + side]

    def _any(self, chance: random.Random) -> list[torch.Tensor]:
        return [chance.choice(self.displayed) for _ in range(_N_BACKGROUND)]


def run(judge: Judge, others: Mapping[str, Sequence[Box]], trunk: bytes, n_draws: int) -> None:
    """Print a line for each person: average precision, and precision of what is suggested."""
    network = fused(trunk_from_bytes(trunk, len(judge.judged[0].pixels))).to(memory_format=torch.channels_last)
    seen = Seen(network, judge)
    for person, share in PEOPLE.items():
        judged: dict[int, list[float]] = defaultdict(list)
        right: dict[str, list[float]] = defaultdict(list)
        for draw in range(n_draws):
            session, chance = Session(judge, seen, picks_of(judge, draw), others), random.Random(draw)
            for n in range(CHECKS[-1] + 1):
                found, least, before = session.suggestions(session.refined())
                if n in CHECKS:
                    judged[n].append(session.precision())
                if n in (0, 10, 40):
                    right[f"{n}"].append(_share_right(session, found, least))
                    right["before"] += [_share_right(session, found, before)] if n == 0 else []
                question = session.next_question(found)
                if question is not None:
                    suggestion, truth = question
                    said = truth != (chance.random() < share)
                    (session.confirmed if said else session.flagged).append(suggestion)
        base = float(np.mean(judged[0]))
        gains = " | ".join(f"{np.mean(judged[n]) - base:+.3f}" for n in CHECKS[1:])
        shares = " | ".join(f"{np.nanmean(right[key]):.2f}" for key in ("before", "0", "10", "40"))
        print(f"| {judge.name} | {person} | {base:.3f} | {gains} | {shares} |", flush=True)


def _similarities(
    maps: Sequence[torch.Tensor], like: Sequence[tuple[torch.Tensor, ...]], query: Query
) -> list[NDArray[np.float32]]:
    return [class_maps(m, each, query)[0].numpy() for m, each in zip(maps, like, strict=True)]


def _share_right(session: Session, found: Sequence[Suggestion], least: float) -> float:
    truths = [session.truth(s) for s in found if s.similarity >= least]
    known = [truth for truth in truths if truth is not None]
    return float(np.mean(known)) if known else np.nan


def _searched(found: torch.Tensor) -> torch.Tensor:
    return found[_SEARCHED].float().contiguous()


def _nearest(points: NDArray[np.float64], suggestion: Suggestion) -> float:
    return float(np.hypot(*(points - (suggestion.y, suggestion.x)).T).min(initial=np.inf))


def _is_on(suggestion: Suggestion, boxes: Sequence[Box]) -> bool:
    return any(
        abs(box.y - suggestion.y) < _ON_ANOTHER * box.height and abs(box.x - suggestion.x) < _ON_ANOTHER * box.width
        for box in boxes
    )


def _unlabelled(judge: Judge, data: Path) -> dict[str, list[Box]]:
    """Return for blood smears, which lack objects, the boxes of other classes."""
    kind, _, name = judge.name.partition(": ")
    if kind != "blood":
        return {}
    smears = read_split(data / "bccd", "train")
    return {smear.name: [box for box in smear.boxes if box.class_name != name] for smear in smears}


def _shorter(judge: Judge) -> Judge:
    """Take fewer images, so that an evening is enough."""
    drawn: tuple[Scene, ...] = judge.drawn[:60]
    return replace(judge, drawn=drawn, judged=judge.judged[:_N_JUDGED]) if judge.task == "search" else judge


def main() -> None:
    """Print a table of a split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    splits: tuple[Split, ...] = ("val", "test")
    parser.add_argument("--split", choices=splits, default="val")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--only", default="", help="judges whose name has this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    heads = " | ".join(f"{n}" for n in CHECKS[1:])
    print(f"| judge | person | AP at 0 | {heads} | right before | at 0 | at 10 | at 40 |\n" + "| --- " * 13 + "|")
    trunk = read_trunk("bundled")
    with torch.inference_mode():
        for judge in read_judges(options.data, options.split):
            if options.only in judge.name:
                run(_shorter(judge), _unlabelled(judge, options.data), trunk, options.draws)


if __name__ == "__main__":
    main()
