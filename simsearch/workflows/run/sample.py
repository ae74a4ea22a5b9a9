"""A random sample of what a model found over all images, judged by a person: how right all of it is."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.accuracy.sampling import SampleEstimate, choose_sample, estimate_from_sample
from simsearch.core.checks.names import check_name, path_in
from simsearch.core.checks.options import check_range
from simsearch.core.peaks import object_mask
from simsearch.errors import AnnotationError, ConfigError, SimSearchError, SourceError
from simsearch.io.ome_zarr.many import describe_each
from simsearch.io.ome_zarr.stores import image_name
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.drawing import try_to_draw
from simsearch.io.pictures.sheet import Tile, draw_sheet
from simsearch.io.tables.cells import written
from simsearch.io.tables.frames import csv_frame
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.io.tables.records.results_folder import only_writer
from simsearch.io.tables.sample import SampledPlace, read_sample, write_sample
from simsearch.workflows.run.objects import TABLE_NAME, finished_run, read_known_detections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from simsearch.workflows.run.objects import FinishedRun

    Place = tuple[str, str, float, float]
    """Image, class, y and x."""
    Change = Callable[[list[SampledPlace], Mapping[str, "Places"], FinishedRun], list[SampledPlace]]
    """What becomes of a sample."""

SAMPLE_NAME, ESTIMATES_NAME, SHEETS_NAME = "sample.csv", "sample_estimates.csv", "sample"
_NEAR_PX = 0.02  # what is written with two decimals lies within this of what it is
_STEP = 0.05  # between thresholds that estimates are written for
_BOUNDED, _ENDS = ("precision", "recall", "total"), ("", "_low", "_high")
_COUNTS = ("found", "judged")
_GONE = SourceError("expected the image among those of the run, got none of that name")


@dataclass(frozen=True, slots=True)
class ClassSample:
    """What a sample says of a class."""

    class_name: str
    """Name of the class."""
    threshold: float
    """Its confidence threshold."""
    estimate: SampleEstimate
    """At that threshold."""
    n_open: int
    """Places of the sample that nobody has judged yet."""
    n_left: int
    """Places that are not in the sample."""


@dataclass(frozen=True, slots=True)
class SampleReport:
    """What a sample says of results."""

    folder: Path
    """Where the results are, ``sample.csv`` and what it says."""
    classes: tuple[ClassSample, ...]
    """For each class that something was found of."""
    places: tuple[SampledPlace, ...]
    """The sample, in the order in which it is numbered, from 1 on."""
    notes: tuple[str, ...] = ()
    """What was guessed in the table, or is not in it, and why there are no pictures, where there are none."""

    @property
    def has_pictures(self) -> bool:
        """Whether there are pictures of the places."""
        return any((self.folder / SHEETS_NAME).glob("**/*.png"))

    def estimates(self) -> pd.DataFrame:
        """Read precision, recall and number of each class over thresholds: the columns of ``sample_estimates.csv``."""
        names = ("threshold", *(f"{name}{end}" for name in _BOUNDED for end in _ENDS))
        types = {"class": "string", **dict.fromkeys(names, "double"), **dict.fromkeys(_COUNTS, "int64")}
        return csv_frame(self.folder / ESTIMATES_NAME, types)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """All places that could be objects of a class: those that a lower threshold of it would make objects."""

    class_name: str
    images: tuple[str, ...]
    """Names of images."""
    image: NDArray[np.intp]
    """(N,) index of each place's image."""
    box: NDArray[np.float64]
    """(N, 4) y and x of the centre, height and width, in level-0 pixels."""
    score: NDArray[np.float64]
    """(N,) confidences."""

    def find(self, place: SampledPlace) -> int | None:
        """Return the index of a place; None if it is none of these."""
        if place.image not in self.images:
            return None
        is_near = np.abs(self.box[:, :2] - (place.y, place.x)).max(axis=1) <= _NEAR_PX
        rows = np.flatnonzero(is_near & (self.image == self.images.index(place.image)))
        return int(rows[0]) if len(rows) else None

    def at(self, row: int, chosen_at: float) -> SampledPlace:
        """Return a place, to be judged, with as many digits as are written."""
        y, x, height, width = (round(float(value), 2) for value in self.box[row])
        score = round(float(self.score[row]), 4)
        return SampledPlace(self.images[int(self.image[row])], self.class_name, y, x, height, width, score, chosen_at)


def sample_results(
    folder: Path, *, n: int = 20, classes: Sequence[str] = (), seed: int = 0, pictures: bool = True
) -> SampleReport:
    """Draw a random sample of what was found, to be judged, and estimate from what was judged of it.

    Half of the sample of a class are its objects, half are places of lower confidence, of all images. Calling it again
    draws what is missing to `n`, and reads what was written into the column ``right`` meanwhile.

    Parameters
    ----------
    folder : Path
        Results of `detect`. Gets ``sample.csv``, ``sample_estimates.csv`` and, with numbers of the rows,
        ``sample/CLASS.png``.
    n : int
        Places of each class.
    classes : sequence of str
        Which; all, if none is named.
    seed : int
        Of all randomness.
    pictures : bool
        Whether to draw the places.

    Raises
    ------
    StoreError
        If there are no results, or the folder cannot be written.
    ConfigError
        If there is no such class, or `n` or `seed` is out of range.
    AnnotationError, SourceError
        If ``sample.csv`` cannot be understood; the message names the row.
    """
    if n < 1:
        raise ConfigError(f"n: expected at least 1 place of each class, got {n}: choose another number")
    check_range("seed", seed, 0)

    def draw(known: list[SampledPlace], by_class: Mapping[str, Places], run: FinishedRun) -> list[SampledPlace]:
        generator = np.random.default_rng([seed, len(known)])
        return [
            *known,
            *(each for name in _wanted(classes, run) for each in _drawn(by_class[name], known, run, n, generator)),
        ]

    return _sample(folder, draw, pictures=pictures)


def judge_sample(folder: Path, answers: Mapping[Place, bool | None]) -> SampleReport:
    """Say of places of a sample whether they are right, and estimate from all that was judged.

    Parameters
    ----------
    folder : Path
        Results of `detect` with ``sample.csv``.
    answers : mapping of (str, str, float, float) to bool or None
        By image, class, y and x of a place, as the sample has them; None takes an answer back.

    Raises
    ------
    StoreError
        If there are no results, or the folder cannot be written.
    ConfigError
        If there is no such place.
    AnnotationError, SourceError
        If ``sample.csv`` cannot be understood; the message names the row.
    """

    def answer(known: list[SampledPlace], *_: object) -> list[SampledPlace]:
        keys = [(each.image, each.class_name, each.y, each.x) for each in known]
        for place in answers:
            if place not in keys:
                raise ConfigError(f"{folder}: expected a place of the sample, got {place}: read the sample again")
        return [replace(each, is_right=answers.get(key, each.is_right)) for key, each in zip(keys, known, strict=True)]

    return _sample(folder, answer, pictures=False)


def read_sampled(folder: Path) -> tuple[ClassSample, ...]:
    """Estimate from the sample that there is, at the thresholds of the results; nothing is written.

    Raises
    ------
    StoreError
        If there are no results.
    AnnotationError, SourceError
        If ``sample.csv`` cannot be understood; the message names the row.
    """
    if not (folder / SAMPLE_NAME).exists():
        return ()
    run = finished_run(folder)
    known = _read_known(folder, run, _tell_nobody)
    found = (
        row for places in find_places(folder, run).values() for row in _estimates(places, known, run, _tell_nobody)
    )
    return tuple(each for each in found if each.threshold == run.thresholds[each.class_name])


def _tell_nobody(note: str) -> None:
    """Take a note that was told when the sample was judged."""


def _sample(folder: Path, change: Change, *, pictures: bool) -> SampleReport:
    """Change the sample of a folder, and estimate from it."""
    finished_run(folder)  # before anything is touched
    with only_writer(folder), store_errors(str(folder)):
        run = finished_run(folder)
        notes: list[str] = []
        by_class = find_places(folder, run)
        known = _read_known(folder, run, notes.append)
        sampled = change(known, by_class, run)
        if sampled != known or not (folder / SAMPLE_NAME).exists():
            write_sample(sampled, run.model, folder / SAMPLE_NAME)
        rows = [row for places in by_class.values() for row in _estimates(places, sampled, run, notes.append)]
        _write_estimates(rows, folder / ESTIMATES_NAME)
        if pictures:
            notes += _draw_sheets(sampled, run, folder)
    found = tuple(each for each in rows if each.threshold == run.thresholds[each.class_name])
    return SampleReport(folder, found, tuple(sampled), tuple(dict.fromkeys(notes)))


def _wanted(classes: Sequence[str], run: FinishedRun) -> Sequence[str]:
    for name in classes:
        if name not in run.thresholds:
            raise ConfigError(f"expected a class out of {', '.join(run.thresholds)}, got {name!r}: correct the name")
    return classes or list(run.thresholds)


def find_places(folder: Path, run: FinishedRun) -> dict[str, Places]:
    """Find all places of each class that would be objects of it if its own threshold were the lowest that was kept.

    A threshold of a class does not change which of its places are above another: each place competes with those of
    higher confidence alone.
    """
    images: list[str] = []
    parts: dict[str, list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]] = {name: [] for name in run.thresholds}
    for peaks in read_known_detections(folder / TABLE_NAME, run.thresholds):
        images.append(check_name(peaks.image, TABLE_NAME))
        for name in peaks.classes:
            is_own = peaks.class_index == peaks.classes.index(name)
            here = peaks.take(object_mask(peaks, {**run.thresholds, name: run.floor}) & is_own)
            box = np.stack([here.y, here.x, here.height, here.width], axis=1)
            parts[name].append((len(images) - 1, box, here.score))
    return {name: _gathered(name, tuple(images), of_class) for name, of_class in parts.items()}


def _gathered(
    name: str, images: tuple[str, ...], parts: Sequence[tuple[int, NDArray[np.float64], NDArray[np.float64]]]
) -> Places:
    where = np.repeat([index for index, _, _ in parts], [len(score) for _, _, score in parts]).astype(np.intp)
    box = np.concatenate([np.empty((0, 4)), *(box for _, box, _ in parts)])
    return Places(name, images, where, box, np.concatenate([np.empty(0), *(score for _, _, score in parts)]))


def _read_known(folder: Path, run: FinishedRun, tell: Callable[[str], object]) -> list[SampledPlace]:
    """Read the sample that there is; none before the first is drawn."""
    path = folder / SAMPLE_NAME
    known = read_sample(path, run.model, tell) if path.exists() else []
    seen: set[Place] = set()
    for each in known:
        if each.class_name not in run.thresholds:
            raise AnnotationError(
                f"{path}: expected classes out of {', '.join(run.thresholds)}, got {each.class_name!r}: "
                "correct the name"
            )
        place = (each.image, each.class_name, each.y, each.x)
        if place in seen:
            raise AnnotationError(
                f"{path}: expected each place once, got {each.class_name} in {each.image} at y {each.y:g}, "
                f"x {each.x:g} twice: remove one of the two rows"
            )
        seen.add(place)
    return known


def _drawn(
    places: Places, known: Sequence[SampledPlace], run: FinishedRun, n: int, generator: np.random.Generator
) -> list[SampledPlace]:
    """Draw what is missing to n places of a class."""
    own = [each for each in known if each.class_name == places.class_name]
    chosen_at = own[0].chosen_at if own else run.thresholds[places.class_name]
    is_taken = np.zeros(len(places.score), bool)
    is_taken[[row for each in own if (row := places.find(each)) is not None]] = True
    return [places.at(row, chosen_at) for row in choose_sample(places.score, is_taken, chosen_at, n, generator)]


def _estimates(
    places: Places, sampled: Sequence[SampledPlace], run: FinishedRun, tell: Callable[[str], object]
) -> list[ClassSample]:
    """Estimate at the threshold of a class, and at others."""
    own = [each for each in sampled if each.class_name == places.class_name]
    if not own:
        return []
    if len({each.chosen_at for each in own}) > 1:
        raise AnnotationError(
            f"{SAMPLE_NAME}: expected one chosen_at for all places of {places.class_name}, got several: it is not to "
            "be changed; remove the file to draw a new sample"
        )
    found = [(each, row) for each in own if (row := places.find(each)) is not None]
    if len(found) < len(own):
        tell(
            f"{places.class_name}: {len(own) - len(found)} of the sample are no places of the class any more, "
            "and not counted: they were moved, or lie beside an object of a class whose threshold was changed"
        )
    judged = np.array([row for each, row in found if each.is_right is not None], np.intp)
    is_right = np.array([each.is_right for each, _ in found if each.is_right is not None], bool)
    n_open = sum(each.is_right is None for each, _ in found)
    threshold = run.thresholds[places.class_name]
    others = np.arange(run.floor, 1, _STEP).round(4)
    return [
        ClassSample(
            places.class_name,
            float(at),
            estimate_from_sample(places.score, judged, is_right, own[0].chosen_at, float(at)),
            n_open,
            len(places.score) - len(found),
        )
        for at in np.unique([*others, threshold])
    ]


def _write_estimates(rows: Sequence[ClassSample], path: Path) -> None:
    with replacing_text(path) as file:
        table = csv.writer(file)
        table.writerow(["class", "threshold", *_COUNTS, *(f"{name}{end}" for name in _BOUNDED for end in _ENDS)])
        for each in rows:
            estimate = each.estimate
            numbers = [
                number for bounded in (estimate.precision, estimate.recall, estimate.total) for number in bounded
            ]
            cells = ["" if np.isnan(number) else f"{number:.4f}" for number in numbers]
            table.writerow(
                [written(each.class_name), f"{each.threshold:g}", estimate.n_found, estimate.n_judged, *cells]
            )


def _draw_sheets(sampled: Sequence[SampledPlace], run: FinishedRun, folder: Path) -> list[str]:
    """Draw the places of each class with their numbers; a note where that cannot be."""
    paths = {image_name(path): path for path in run.images}
    names = [name for name in dict.fromkeys(each.image for each in sampled) if name in paths]
    described = dict(zip(names, describe_each([paths[name] for name in names]), strict=True))
    notes: list[str] = []
    for class_name in dict.fromkeys(each.class_name for each in sampled):
        try:
            path = path_in(folder / SHEETS_NAME, class_name, ".png")
        except SimSearchError as error:  # the table is there, whatever a class is called
            notes.append(f"not drawn: {error}")
            continue
        tiles = [
            Tile(str(number), image, (each.y, each.x), (each.height, each.width))
            for number, each in enumerate(sampled, 1)
            if each.class_name == class_name
            and not isinstance(image := described.get(each.image, _GONE), SimSearchError)
        ]
        if tiles:
            path.parent.mkdir(parents=True, exist_ok=True)
            notes += try_to_draw(path, partial(draw_sheet, tiles, path))
    notes += [f"not drawn: {error}" for error in described.values() if isinstance(error, SimSearchError)][:1]
    return notes
