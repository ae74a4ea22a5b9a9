"""What a study's search says of places that were answered one by one, in images that it was not shown.

For each part of the images, prototypes and answers in it are left out of the search that is asked about it, as its
labels are left out of the classifier that stands in for the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.boxes import Box
from simsearch.curation.answers import Answer, answers_for
from simsearch.nn.similarity import class_maps, prototype_maps, without_prototypes
from simsearch.training.held_out import MOST_JUDGED, few_of_each, folds_of
from simsearch.workflows.curate.refine import (
    Background,
    Said,
    answer_blocks,
    refined_query,
    said_of,
    sample_background,
)
from simsearch.workflows.curate.sight import study_setting
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import torch

    from simsearch.curation.state import Curation
    from simsearch.nn.similarity import Query
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.query import Group


def answers_of(curation: Curation, classes: Sequence[str]) -> list[Answer]:
    """List what was answered one by one about classes, evenly at most so much of each kind that it is asked quickly."""
    found = []
    for name in classes:
        answers = answers_for(curation, name)
        found += [answers[row] for row in few_of_each([each.is_right for each in answers], MOST_JUDGED)]
    return found


def held_out_similarities(
    client: Client,
    study: Study,
    curation: Curation,
    queries: Sequence[tuple[Group, Query]],
    answers: Sequence[Answer],
    observe: Observer,
) -> dict[Answer, float]:
    """Ask the search of a study about answers.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study.
    curation : Curation
        What was said in it.
    queries : sequence of (Group, Query)
        What its classes are searched with.
    answers : sequence of Answer
        Of any classes; those of classes that are not searched are left out.
    observe : callable
        Gets the events.

    Raises
    ------
    SourceError, StoreError
        If an image cannot be read, or the folder not written.
    """
    setting = study_setting(client, study, curation, observe)
    displayed = ImageSet(study_images(study, curation.displayed))
    found: dict[Answer, float] = {}
    for group, query in queries:
        asked = {each: _box(each, group) for each in answers if each.class_name in group.classes}
        if not asked:
            continue
        said = said_of(curation, group)
        boxes = list(dict.fromkeys([*asked.values(), *(box for each in said.values() for box in each.boxes)]))
        images = {box.image for box in boxes}
        shown = ImageSet(study_images(study, tuple(name for name in curation.shapes if name in images)))
        side = max(group.patch_shape)  # turned prototypes look as far in both directions
        wide = answer_blocks(client, shown, boxes, replace(group, patch_shape=(side, side)), setting, observe)
        background = sample_background(client, displayed, group, setting, observe)
        found |= _Asked(group, query, said, wide, background).similarities(asked)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """All that a search knows, of which parts are left out."""

    group: Group
    query: Query
    said: Mapping[str, Said]
    wide: Mapping[Box, torch.Tensor]
    """Square blocks around answers."""
    background: Background

    def similarities(self, asked: Mapping[Answer, Box]) -> dict[Answer, float]:
        """Ask about answers in images whose prototypes and answers are left out."""
        answers = [each for each, box in asked.items() if box in self.wide]
        at = [each.patch for each in answers]
        images = [list(dict.fromkeys(p.image for p in at)).index(patch.image) for patch in at]
        folds = folds_of(images, [patch.y for patch in at], [each.is_right for each in answers]) if answers else ()
        found = {}
        for fold in np.unique(folds):
            here = [each for each, own in zip(answers, folds, strict=True) if own == fold]
            query = self._without({each.patch.image for each in here})
            for each in here:
                vectors = self.wide[asked[each]]
                similar = class_maps(vectors, prototype_maps(vectors, query), query)
                found[each] = float(similar[self.group.classes.index(each.class_name), 0, 0])
        return found

    def _without(self, images: Collection[str]) -> Query:
        """Make the search again without what was said in some images."""
        left_out = [
            [index for index, box in enumerate(self.group.only(name).boxes) if box.image in images]
            for name in self.group.classes
        ]
        query = without_prototypes(replace(self.query, refinements={}), left_out)
        said = {
            name: Said(*(tuple(box for box in boxes if box.image not in images) for boxes in (s.confirmed, s.flagged)))
            for name, s in self.said.items()
        }
        return refined_query(query, self.group, said, dict(self._blocks()), self.background)

    def _blocks(self) -> Iterator[tuple[Box, torch.Tensor]]:
        """Cut the middles of square blocks, as large as patches."""
        height, width = self.background.blocks.shape[2:]
        for box, block in self.wide.items():
            top, left = (block.shape[1] - height) // 2, (block.shape[2] - width) // 2
            yield box, block[:, top : top + height, left : left + width]


def _box(answer: Answer, group: Group) -> Box:
    return Box(answer.patch.image, answer.class_name, answer.patch.y, answer.patch.x, *group.patch_shape)
