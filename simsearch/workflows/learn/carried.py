"""A model gets the search that it came from, which says a part of how sure it is of each class.

What is mixed are log odds. Those of the search vary as much as those of the network do. They are even at the similarity
down to which it finds as many objects as the network, but not far below what prototypes are to each other: training
shows the network as many patches of a rare class as of all others, and it may find it everywhere. Where a search is
alone, its log odds are even where something is as like the prototypes as these are to each other, and rise by one with
each spread of what these are.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter, ValidationError
from scipy.special import logit

from simsearch.core.peaks import Peak, objects
from simsearch.core.tiles import Region
from simsearch.curation.state import clean_objects
from simsearch.errors import ModelFileError
from simsearch.io.tables.answered import AnsweredPlace, read_answered, write_answered
from simsearch.nn.carried_search import CarriedSearch, SearchShare
from simsearch.nn.model_file import model_from_bytes, model_to_bytes
from simsearch.nn.similarity import left_out_similarities
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.detect import DetectTask, detect_tile
from simsearch.runtime.worker import lent
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.curate.suggest import queries_of
from simsearch.workflows.find.model_views import finer_views, model_view
from simsearch.workflows.find.peaks import peaks_of
from simsearch.workflows.find.query import image_name
from simsearch.workflows.image_set import ImageSet
from simsearch.workflows.learn.answers import answers_of, held_out_similarities
from simsearch.workflows.learn.comparison import Comparison, compare, in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from simsearch.curation.state import Curation, Patch
    from simsearch.nn.classifier import PatchClassifier
    from simsearch.nn.device import Arithmetic
    from simsearch.nn.model_file import ModelHeader
    from simsearch.nn.similarity import Query
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.runtime.views import View
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.query import Group

MIXED = 0.35
"""What a search counts that looks at images as the network does: chosen on validation images, as is what follows
(benchmarks/RESULTS.md)."""
_FLOOR = 1e-6  # confidence of peaks that are compared
_TILE, _MOST_TILES = 64, 24  # grid positions along a side of what is looked at, and how much of it for a class
_FEW, _USUAL_SLOPE, _USUAL_EVEN = 5, 10.0, 0.5  # where there are fewer peaks, how much they vary says nothing
_SPREADS_BELOW, _LEAST_SPREAD = 4, 0.05
_ANSWERS = "answers"  # where a header tells what they say of search and model
_COMPARED = TypeAdapter(dict[str, Comparison])


def with_search(
    client: Client,
    study: Study,
    curation: Curation,
    blob: bytes,
    arithmetic: Arithmetic,
    observe: Observer,
    answered: Path | None = None,
) -> bytes:
    """Give a model the search of its study.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    curation : Curation
        What was said in it.
    blob : bytes
        The model.
    arithmetic : {'float32', 'bfloat16'}
        What the trunk computes with.
    observe : callable
        Gets the events.
    answered : Path, optional
        Table of what was answered one by one, by which search and model are compared; what they say is written there.

    Raises
    ------
    CurationError
        If no class has a prototype.
    SourceError, StoreError
        If an image cannot be read, or the folder not written.
    """
    model, header = model_from_bytes(blob)
    queries = queries_of(client, study, curation, header.downsampling, observe)
    search, names = _search(queries, header), header.classes
    sample = _Sample(client, ImageSet(study_images(study)), curation, arithmetic, observe)
    of_network = sample.scores(model, header)
    model.carried = search
    of_search = sample.scores(model, _header(header, search.shares))
    left_out = {name: values for group, query in queries for name, values in _left_out(group, query)}
    scores = {label: tuple(each[names[label]] for each in (left_out, of_network, of_search)) for label in search.shares}
    shares = {label: weighed(share.finer, *scores[label]) for label, share in search.shares.items()}
    if answered is not None:
        places = _asked(client, study, curation, queries, names[1:], answered, observe)
        compared = {
            label: compare([each for each in places if each.class_name == names[label]], share)
            for label, share in shares.items()
        }
        for label in (label for label, each in compared.items() if each.better == "search"):
            shares[label] = weighed(shares[label].finer, *scores[label], is_alone=True)
        said = {names[label]: asdict(each) for label, each in compared.items()}
        header = replace(header, training={**header.training, _ANSWERS: said})
    model.carried = replace(search, shares=shares)
    return model_to_bytes(model, _header(header, shares))


def weighed(
    finer: int,
    left_out: Sequence[float],
    of_network: Sequence[float],
    of_search: Sequence[float],
    *,
    is_alone: bool = False,
) -> SearchShare:
    """Tell what a search counts, and what its similarities mean.

    Parameters
    ----------
    finer : int
        How many times finer than the network it looks at images; alone it decides where that is not 1.
    left_out : sequence of float
        How similar each prototype is to the others.
    of_network : sequence of float
        Log odds of objects by the network, of any height.
    of_search : sequence of float
        Similarities of objects, in the same places.
    is_alone : bool
        Whether it decides alone whatever it looks at.

    Examples
    --------
    >>> weighed(1, [0.6, 0.8], [3.0, 1.0, -1.0, -2.0, -3.0], [0.9, 0.5, 0.3, 0.2, 0.1])
    SearchShare(weight=0.35, slope=7.62, similarity=0.4, finer=1)
    """
    drawn, slope = np.array(left_out), _USUAL_SLOPE
    even = float(drawn.mean()) if len(drawn) else _USUAL_EVEN
    spread = max(_LEAST_SPREAD, float(drawn.std(ddof=1))) if len(drawn) > 1 else None
    if (finer > 1 or is_alone) and spread:
        return SearchShare(1.0, round(1 / spread, 2), round(even, 4), finer)
    if min(len(of_network), len(of_search)) >= _FEW and np.std(of_search) > 0:
        slope = float(np.std(of_network) / np.std(of_search))
    if len(of_search):
        n_found = min(max(1, sum(each >= 0 for each in of_network)), len(of_search))
        amid = float(np.sort(of_search)[::-1][n_found - 1 : n_found + 1].mean())  # the gap below what is found
        even = max(amid, even - _SPREADS_BELOW * spread) if spread else amid
    return SearchShare(1.0 if finer > 1 or is_alone else MIXED, round(slope, 2), round(even, 4), finer)


def shares_in_words(header: ModelHeader) -> dict[str, str]:
    """Say for each class how far the search decides that a model carries; nothing where there is none to say.

    Raises
    ------
    ModelFileError
        If the header says of answers what cannot be.
    """
    try:
        compared = _COMPARED.validate_python(header.training.get(_ANSWERS, {}))
    except ValidationError as error:
        raise ModelFileError(
            f"model: expected what answers say of search and model, got {header.training[_ANSWERS]!r}: train it again"
        ) from error
    shares = zip(header.classes[1:], header.search_shares, strict=False)
    return {name: words for name, share in shares if (words := in_words(share, compared.get(name)))}


def _search(queries: Sequence[tuple[Group, Query]], header: ModelHeader) -> CarriedSearch:
    """Make the search of a study, whose log odds are similarities."""
    shares = {
        header.classes.index(name): SearchShare(1.0, 1.0, 0.0, header.downsampling // group.downsampling)
        for group, _ in queries
        for name in group.classes
    }
    labels = tuple(tuple(header.classes.index(name) for name in group.classes) for group, _ in queries)
    return CarriedSearch(tuple(query for _, query in queries), labels, shares)


def _left_out(group: Group, query: Query) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Tell how similar the prototypes of each class are to the others of it."""
    return ((name, left_out_similarities(query, index)) for index, name in enumerate(group.classes))


def _asked(
    client: Client,
    study: Study,
    curation: Curation,
    queries: Sequence[tuple[Group, Query]],
    classes: Sequence[str],
    path: Path,
    observe: Observer,
) -> list[AnsweredPlace]:
    """Write beside what a network's stand-in says of answers what the search says."""
    answers = answers_of(curation, classes)
    if not answers:
        return []
    similarities = held_out_similarities(client, study, curation, queries, answers, observe)
    rows = zip(read_answered(path), answers, strict=True)
    places = [replace(row, search=similarities.get(each, math.nan)) for row, each in rows]
    write_answered(places, path)
    return places


def _header(header: ModelHeader, shares: Mapping[int, SearchShare]) -> ModelHeader:
    return replace(header, search_shares=tuple(shares.get(label) for label in range(1, len(header.classes))))


@dataclass(frozen=True, slots=True)
class _Sample:
    """Where network and search are compared: around objects of the study."""

    client: Client
    images: ImageSet
    curation: Curation
    arithmetic: Arithmetic
    observe: Observer

    def scores(self, model: PatchClassifier, header: ModelHeader) -> dict[str, list[float]]:
        """Find the log odds of objects by class, however low they are."""
        blob, tables = model_to_bytes(model, header), {}
        with lent(self.client, blob) as digest:
            tasks = list(self._tasks(header, digest))
            outcomes = run_tasks(self.client, detect_tile, tasks, step="comparison", observe=self.observe)
            for task, table in self.images.results(outcomes, image_name):
                tables[str(task)] = task.view, table
        by_class: dict[str, list[Peak]] = {name: [] for name in header.classes[1:]}
        for _, (view, table) in sorted(tables.items(), key=lambda each: each[0]):
            for peak in peaks_of(table, view, header.classes[1:], header.patch_shapes):
                by_class[peak.class_name].append(peak)
        return {
            name: [float(logit(peak.score)) for peak in objects(peaks, {name: 0.0})] for name, peaks in by_class.items()
        }

    def _tasks(self, header: ModelHeader, digest: str) -> Iterator[DetectTask]:
        """Look at tiles in which objects are, of each class at some."""
        views = {image.name: model_view(image, header, digest, self.arithmetic) for image in self.images}
        chosen: dict[tuple[str, Region], None] = {}
        for name, shape in zip(header.classes[1:], header.patch_shapes, strict=True):
            placed = clean_objects(self.curation.roi_class(name), shape)
            tiles = sorted({(p.image, _tile_of(views[p.image], p)) for p in placed if p.image in views}, key=str)
            rows = np.linspace(0, len(tiles) - 1, min(_MOST_TILES, len(tiles))).round().astype(int)
            chosen |= dict.fromkeys(tiles[row] for row in rows)
        for name, window in chosen:
            yield DetectTask(views[name], window, _FLOOR, finer_views(views[name], header))


def _tile_of(view: View, patch: Patch) -> Region:
    """Return the tile of an image that a place lies in."""
    step = view.extractor.grid.stride * view.image.downsampling
    starts = [int(at / step) // _TILE * _TILE for at in (patch.y, patch.x)]
    (y0, x0), (height, width) = starts, view.grid_shape
    return Region(y0, min(y0 + _TILE, height), x0, min(x0 + _TILE, width))
