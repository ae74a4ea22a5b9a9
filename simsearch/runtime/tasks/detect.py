"""What workers do in a detection: a model looks at tiles of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from simsearch.core.feature_grid import from_level0, to_level0
from simsearch.core.tiles import Region
from simsearch.runtime.models import model_on_worker
from simsearch.runtime.views import View, framed_maps, peak_table, window_name, window_need, window_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray

    from simsearch.nn.classifier import PatchClassifier
    from simsearch.runtime.tasks.needs import Need


@dataclass(frozen=True, slots=True)
class DetectTask:
    """Find what a model recognises in a window of the feature grid."""

    view: View
    """The image; its trunk is the model."""
    window: Region
    floor: float
    """Peaks of lower confidence are not kept."""
    finer: tuple[tuple[View, tuple[int, ...]], ...] = ()
    """The image as searches see it that the model carries and that look closer, and the classes that each is for."""

    @property
    def is_pure(self) -> bool:
        """Whether it writes nothing: another worker may do it as well."""
        return True

    @property
    def n_pixels(self) -> int:
        """How many level-0 pixels the window stands for."""
        return window_pixels(self.view, self.window)

    @property
    def need(self) -> Need:
        """What a worker needs for it."""
        needs = [window_need(self.view, self.window, "--tile")]
        needs += [window_need(view, self.window_of(view), "--tile") for view, _ in self.finer]
        return max(needs, key=lambda need: need.computing)

    def window_of(self, finer: View) -> Region:
        """Return the window on the grid of a view that looks closer."""
        times = self.view.image.downsampling // finer.image.downsampling
        edges = (times * edge for edge in (self.window.y0, self.window.y1, self.window.x0, self.window.x1))
        return Region(*edges).clipped(finer.grid_shape)

    def __str__(self) -> str:
        return window_name(self.view, self.window)


def detect_tile(task: DetectTask) -> NDArray[np.float64]:
    """Return the peaks of confidence in a window (paper section 2.5).

    Returns
    -------
    (N, 4) array
        Index of the class, background not counted, y and x in grid steps from the image's first pixel, confidence.
    """
    model = model_on_worker(task.view.trunk, task.view.arithmetic)

    def log_odds(found: torch.Tensor) -> torch.Tensor:
        return model.log_odds_maps(found)[1:]

    maps = framed_maps(model.trunk, task.view, task.window, log_odds)
    radii = [task.view.radius_of(shape) for shape in model.patch_shapes]
    table = peak_table(maps, task.view, task.window, float(logit(task.floor)), radii)
    if task.finer:
        table = np.concatenate([table[~np.isin(table[:, 0], _alone(task))], *_searched(task, model)])
    table[:, 3] = expit(table[:, 3])
    return table


def _alone(task: DetectTask) -> list[int]:
    """List the indices of the classes of which a search decides alone."""
    return [label - 1 for _, classes in task.finer for label in classes]


def _searched(task: DetectTask, model: PatchClassifier) -> Iterator[NDArray[np.float64]]:
    """Find the peaks of searches that look closer, in grid steps of the model."""
    assert model.carried is not None
    views = {label: view for view, classes in task.finer for label in classes}
    for query, classes in model.carried.alone():
        view = views[classes[0]]
        said = partial(model.carried.said, query=query, classes=classes)
        window, stride = task.window_of(view), view.extractor.grid.stride
        table = peak_table(framed_maps(model.trunk, view, window, said), view, window, float(logit(task.floor)))
        table[:, 0] = np.array(classes)[table[:, 0].astype(int)] - 1
        at_level0 = to_level0(stride * table[:, 1:3], view.image.downsampling)
        table[:, 1:3] = from_level0(at_level0, task.view.image.downsampling) / task.view.extractor.grid.stride
        yield table
