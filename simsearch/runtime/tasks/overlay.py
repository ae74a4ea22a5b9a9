"""What workers do to draw results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.pictures.drawing import try_to_draw
from simsearch.io.pictures.overlay import Drawing, draw_overlay

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.core.intensity import Range
    from simsearch.io.ome_zarr.image import ImageMeta


@dataclass(frozen=True, slots=True)
class OverlayTask:
    """Draw an image with what was found in it."""

    image: ImageMeta
    channels: tuple[int, ...]
    """Which channels to draw."""
    ranges: tuple[Range, ...]
    """For each of them the intensities drawn darkest and brightest."""
    drawing: Drawing
    """The boxes and their classes."""
    path: Path
    """Where to write."""

    def __str__(self) -> str:
        return self.image.name


def draw(task: OverlayTask) -> tuple[str, ...]:
    """Write the overlay, and tell why if it cannot be drawn."""
    with store_errors(str(task.path)):
        return try_to_draw(
            task.path, lambda: draw_overlay(task.image, task.channels, task.ranges, task.drawing, task.path)
        )
