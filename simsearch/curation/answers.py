"""Places that somebody answered one by one: what a search and a model can be compared on.

What was accepted with many is what the search found: it would always be right there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.curation.checks import common_shape
from simsearch.curation.state import Patch, Places, singled_out

if TYPE_CHECKING:
    from simsearch.curation.state import Curation


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of a place for a class."""

    class_name: str
    patch: Patch
    is_right: bool
    """Whether it is of the class."""


def answers_for(curation: Curation, class_name: str) -> list[Answer]:
    """List what was answered one by one about a class, in an order that does not depend on who said it when.

    Right is what was confirmed, or added where it had been missed. Wrong is what was flagged, and what somebody drew or
    confirmed for another class. Prototypes of the class are not among them: they are what it is searched with.

    Raises
    ------
    CurationError
        If there is no such class.
    """
    roi_class = curation.roi_class(class_name)
    if not roi_class.confirmed and not roi_class.negatives:
        return []
    own = common_shape(curation, roi_class)
    drawn = Places(roi_class.prototypes, own)
    right = [patch for patch in roi_class.confirmed if drawn.near(patch) is None]
    wrong = list(roi_class.negatives)
    known = Places((*roi_class.prototypes, *right, *wrong), own)
    for other in curation.classes:
        if other.name != class_name:
            shape = curation.shape_of(other)
            wrong += (new := [patch for patch in singled_out(other) if known.near(patch, shape) is None])
            for patch in new:
                known.add(patch)
    answers = [
        Answer(class_name, patch, is_right) for is_right, said in ((True, right), (False, wrong)) for patch in said
    ]
    return sorted(answers, key=lambda each: (each.patch.image, each.patch.y, each.patch.x))
