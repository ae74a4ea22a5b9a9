"""Boxes that a person draws around regions of interest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around an object, in level-0 pixels."""

    image: str
    """Name of the image."""
    class_name: str
    """Name of the class that the object belongs to."""
    y: float
    """Row of the centre."""
    x: float
    """Column of the centre."""
    height: float
    width: float

    def __str__(self) -> str:
        return f"{self.class_name} at y {self.y:g} x {self.x:g} in {self.image}"

    def is_inside(self, shape: tuple[int, int]) -> bool:
        """Tell whether the box lies inside an image, but for rounding by up to a pixel."""
        spans = ((self.y, self.height, shape[0]), (self.x, self.width, shape[1]))
        return all(centre - side / 2 >= -1.5 and centre + side / 2 <= limit + 0.5 for centre, side, limit in spans)


def check_box(box: Box, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse a box that marks nothing.

    Parameters
    ----------
    box : Box
        The box.
    shapes : mapping of str to (int, int)
        Height and width of each image.

    Raises
    ------
    AnnotationError
        If the box has no size, its image is unknown, or it does not lie inside the image.
    """
    numbers = (box.y, box.x, box.height, box.width)
    if not all(map(math.isfinite, numbers)) or box.height <= 0 or box.width <= 0:
        raise AnnotationError(f"{box}: expected a positive height and width, got {box.height:g} x {box.width:g} px")
    if box.image not in shapes:
        known = ", ".join(sorted(shapes)[:3]) + (", ..." if len(shapes) > 3 else "")
        raise AnnotationError(f"{box}: expected the name of one of the images ({known}), got {box.image!r}")
    if not box.is_inside(shapes[box.image]):
        height, width = shapes[box.image]
        raise AnnotationError(
            f"{box}: expected a box inside the {height} x {width} px of the image, "
            f"got {box.height:g} x {box.width:g} px around that centre"
        )


def patch_shapes(boxes: Sequence[Box]) -> dict[str, tuple[float, float]]:
    """Return the patch shape of each class: that of its first box (paper section 2.3.1).

    Examples
    --------
    >>> patch_shapes([Box("a", "RBC", 50, 50, 48, 40), Box("a", "RBC", 90, 90, 46, 46)])
    {'RBC': (48, 40)}
    """
    shapes: dict[str, tuple[float, float]] = {}
    for box in boxes:
        shapes.setdefault(box.class_name, (box.height, box.width))
    return shapes


def shapes_in_words(shapes: Mapping[str, tuple[float, float]]) -> str:
    """Tell the patch of each class, or the one of all.

    Examples
    --------
    >>> shapes_in_words({"RBC": (48, 40), "WBC": (48, 40)}), shapes_in_words({"RBC": (48, 40), "platelet": (20, 20)})
    ('48 x 40 px', 'RBC 48 x 40 px, platelet 20 x 20 px')
    """
    sizes = {name: f"{height:g} x {width:g} px" for name, (height, width) in shapes.items()}
    if len(set(sizes.values())) == 1:
        return next(iter(sizes.values()))
    return ", ".join(f"{name} {size}" for name, size in sizes.items())
