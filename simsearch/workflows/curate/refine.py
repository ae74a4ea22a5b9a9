"""Answers become part of what is looked for: what was confirmed or flagged refits the comparison of its class."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from simsearch.core.boxes import Box
from simsearch.core.feature_grid import from_level0, to_level0
from simsearch.nn.device import torch_threads
from simsearch.nn.extractor import N_ROTATIONS
from simsearch.nn.refinement import Answers, refine
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.search import BlocksTask, cut_blocks
from simsearch.workflows.find.query import image_name, view_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from simsearch.curation.state import Curation, Patch
    from simsearch.nn.similarity import Query, Refinement
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.runtime.views import View
    from simsearch.workflows.find.query import Group, Setting
    from simsearch.workflows.image_set import ImageSet

_N_WINDOWS, _WINDOW, _IN_A_WINDOW = 40, 16, 10  # 400 random blocks, read in 40 pieces
_MOST_ANSWERS = 128  # of each kind that a class is refitted with


@dataclass(frozen=True, slots=True)
class Said:
    """What was said one by one of suggestions for a class, in an order that does not depend on who said it when."""

    confirmed: tuple[Box, ...]
    flagged: tuple[Box, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All of them."""
        return (*self.confirmed, *self.flagged)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Random blocks of displayed images, and where they lie."""

    places: tuple[tuple[str, float, float], ...]
    """Image, and centre in level-0 pixels."""
    blocks: torch.Tensor
    """(n, D, kh, kw)"""

    def to(self, like: torch.Tensor) -> Background:
        """Return it on the device of a tensor."""
        return replace(self, blocks=self.blocks.to(like))

    def away_from(self, boxes: Sequence[Box]) -> torch.Tensor:
        """Return the blocks whose centres are in none of some boxes."""
        images = np.array([image for image, _, _ in self.places])
        y, x = (np.array([place[axis] for place in self.places]) for axis in (1, 2))
        is_away = np.ones(len(images), bool)
        for box in boxes:
            is_in = (abs(y - box.y) < box.height / 2) & (abs(x - box.x) < box.width / 2)
            is_away &= ~(is_in & (images == box.image))
        return self.blocks[torch.from_numpy(is_away).to(self.blocks.device)]


def said_of(curation: Curation, group: Group) -> dict[str, Said]:
    """Tell of which classes of a group something was said one by one, and what."""
    said = {}
    for name in group.classes:
        roi_class = curation.roi_class(name)
        confirmed, flagged = (
            tuple(Box(p.image, name, p.y, p.x, *group.patch_shape) for p in _some(patches))
            for patches in (roi_class.confirmed, roi_class.negatives)
        )
        if confirmed or flagged:
            said[name] = Said(confirmed, flagged)
    return said


def refinement(
    query: Query,
    group: Group,
    name: str,
    said: Said,
    blocks: Mapping[Box, torch.Tensor],
    background: Background,
) -> Refinement | None:
    """Refit the comparison of a class; answers whose blocks cannot be had do not count."""
    confirmed, flagged = ([blocks[box] for box in boxes if box in blocks] for boxes in (said.confirmed, said.flagged))
    turned = [[torch.rot90(block, turns, (1, 2)) for turns in range(N_ROTATIONS)] for block in confirmed]
    answers = Answers(turned, flagged)
    away = background.away_from([*group.only(name).boxes, *said.confirmed])
    return refine(query, group.classes.index(name), answers, away)


def refined_query(
    query: Query,
    group: Group,
    said: Mapping[str, Said],
    blocks: Mapping[Box, torch.Tensor],
    background: Background,
) -> Query:
    """Add to a query what was said of suggestions; without answers it stays as it is."""
    with torch_threads(1):  # its last digits depend on how many there are, and a model carries them
        found = {
            group.classes.index(name): each
            for name, here in said.items()
            if (each := refinement(query, group, name, here, blocks, background)) is not None
        }
    return replace(query, refinements=found) if found else query


def answer_blocks(
    client: Client, images: ImageSet, boxes: Sequence[Box], group: Group, setting: Setting, observe: Observer
) -> dict[Box, torch.Tensor]:
    """Cut the blocks of answers out of images; those in images that fail, or are not among these, are left out."""
    tasks = {box: block_task(view_of(images[box.image], group, setting), box) for box in boxes if box.image in images}
    outcomes = run_tasks(client, cut_blocks, list(dict.fromkeys(tasks.values())), step="answers", observe=observe)
    found = {task: torch.from_numpy(blocks[0]) for task, blocks in images.results(outcomes, image_name)}
    return {box: found[task] for box, task in tasks.items() if task in found}


def block_task(view: View, box: Box) -> BlocksTask:
    """Ask for the block at the position of the feature grid that is nearest to the centre of a box."""
    step = view.extractor.grid.stride
    y, x = (
        min(max(0, round(from_level0(centre, view.image.downsampling) / step)), n - 1)
        for centre, n in zip((box.y, box.x), view.grid_shape, strict=True)
    )
    return BlocksTask(view, ((y, x),))


def sample_background(
    client: Client, images: ImageSet, group: Group, setting: Setting, observe: Observer
) -> Background:
    """Cut random blocks out of images: the same ones, however often they are asked for.

    Raises
    ------
    SourceError
        If none of the images can be read.
    """
    tasks = background_tasks([view_of(image, group, setting) for image in images])
    outcomes = run_tasks(client, cut_blocks, tasks, step="background", observe=observe)
    return background_of(images.results(outcomes, image_name))


def background_tasks(views: Sequence[View]) -> list[BlocksTask]:
    """Choose random positions, which depend on the names of images alone."""
    return [task for view in views for task in _tasks(view, len(views))]


def background_of(found: Iterable[tuple[BlocksTask, NDArray[np.float32]]]) -> Background:
    """Put together what was cut out, in whatever order it comes."""
    by_name = {str(task): (task, blocks) for task, blocks in found}
    ordered = [by_name[name] for name in sorted(by_name)]
    places = [_place(task.view, position) for task, _ in ordered for position in task.positions]
    return Background(tuple(places), torch.from_numpy(np.concatenate([blocks for _, blocks in ordered])))


def _tasks(view: View, n_images: int) -> Iterator[BlocksTask]:
    chance, (height, width) = random.Random(view.image.meta.name), view.grid_shape
    for _ in range(-(-_N_WINDOWS // n_images)):
        top, left = (chance.randrange(max(1, side - _WINDOW + 1)) for side in (height, width))
        bottom, right = min(height, top + _WINDOW), min(width, left + _WINDOW)
        positions = {(chance.randrange(top, bottom), chance.randrange(left, right)) for _ in range(_IN_A_WINDOW)}
        yield BlocksTask(view, tuple(sorted(positions)))


def _place(view: View, position: tuple[int, int]) -> tuple[str, float, float]:
    step = view.extractor.grid.stride
    y, x = (to_level0(step * index, view.image.downsampling) for index in position)
    return view.image.meta.name, y, x


def _some(patches: Sequence[Patch]) -> list[Patch]:
    """Take evenly so many of patches that a fit takes no time, in the order of their places."""
    ordered = sorted(patches, key=lambda patch: (patch.image, patch.y, patch.x))
    n = len(ordered)
    rows = range(n) if n <= _MOST_ANSWERS else (i * n // _MOST_ANSWERS for i in range(_MOST_ANSWERS))
    return [ordered[row] for row in rows]
