"""What workers do in a detection: a model looks at tiles of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import expit, logit

from simsearch.runtime.models import model_on_worker
from simsearch.runtime.views import View, framed_maps, peak_table, window_name, window_need, window_pixels

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from simsearch.core.tiles import Region
    from simsearch.runtime.tasks.needs import Need


@dataclass(frozen=True, slots=True)
class DetectTask:
    """Find what a model recognises in a window of the feature grid."""

    view: View
    """The image; its trunk is the model."""
    window: Region
    floor: float
    """Peaks of lower confidence are not kept."""

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
        return window_need(self.view, self.window, "--tile")

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
    table[:, 3] = expit(table[:, 3])
    return table
