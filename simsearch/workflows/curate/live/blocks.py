"""What was computed of patches while a person draws and answers: each is computed once, whatever is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from simsearch.runtime.tasks.search import compute_blocks, cut_blocks
from simsearch.workflows.curate.refine import Background, background_of, background_tasks, block_task
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.find.query import prototype_task, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from simsearch.core.boxes import Box
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.runtime.views import View
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.find.query import Group, Setting

Key = tuple[tuple[str, float, float], tuple[float, float]]
"""Image, row and column of a patch, and its shape."""


def patch_key(box: Box) -> Key:
    """Name a patch by what its blocks depend on, whatever its class."""
    return (box.image, box.y, box.x), (box.height, box.width)


class LiveBlocks:
    """Keeps the blocks of patches, and of random places.

    Parameters
    ----------
    study : Study
        The study.
    spread : callable
        Applies a function to rotations, as `map` does.
    """

    def __init__(self, study: Study, spread: Callable[..., Iterable[NDArray[np.float32]]]) -> None:
        self._study, self._spread = study, spread
        self._blocks: dict[Key, list[torch.Tensor]] = {}
        self._answers: dict[Key, torch.Tensor] = {}
        self._background: dict[tuple[float, float], Background] = {}

    def forget(self) -> None:
        """Let go of all: images are looked at in another way."""
        self._blocks, self._answers, self._background = {}, {}, {}

    def of(
        self, images: Sequence[ImageMeta], boxes: Sequence[Box], group: Group, setting: Setting
    ) -> Mapping[Box, list[torch.Tensor]]:
        """Compute the blocks of patches in four rotations, most of which lie on some images."""
        missing = [box for box in boxes if patch_key(box) not in self._blocks]
        for index, (box, view) in enumerate(self._seen(images, missing, group, setting)):
            found = compute_blocks(prototype_task(view, index, box, setting), spread=self._spread)
            self._blocks[patch_key(box)] = [torch.from_numpy(block) for block in found]
        return {box: self._blocks[patch_key(box)] for box in boxes}

    def of_answers(
        self, images: Sequence[ImageMeta], boxes: Sequence[Box], group: Group, setting: Setting
    ) -> Mapping[Box, torch.Tensor]:
        """Cut the blocks of answers out of features, most of which lie on some images."""
        missing = [box for box in boxes if patch_key(box) not in self._answers]
        for box, view in self._seen(images, missing, group, setting):
            self._answers[patch_key(box)] = torch.from_numpy(cut_blocks(block_task(view, box))[0])
        return {box: self._answers[patch_key(box)] for box in boxes}

    def _seen(
        self, images: Sequence[ImageMeta], boxes: Sequence[Box], group: Group, setting: Setting
    ) -> Iterator[tuple[Box, View]]:
        known = {image.name: image for image in images}
        others = sorted({box.image for box in boxes} - set(known))  # somebody drew there when they were displayed
        known |= dict(zip(others, study_images(self._study, others) if others else [], strict=True))
        for box in boxes:
            yield box, view_of(known[box.image], group, setting)

    def background(self, views: Sequence[View], patch_shape: tuple[float, float]) -> Background:
        """Cut random blocks out of features, the same ones until they are forgotten."""
        if patch_shape not in self._background:
            tasks = background_tasks(views)
            self._background[patch_shape] = background_of((task, cut_blocks(task)) for task in tasks)
        return self._background[patch_shape]
