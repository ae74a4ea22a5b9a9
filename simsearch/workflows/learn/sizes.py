"""How large patches of classes are that one model looks at, and at which scale it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.boxes import shapes_in_words
from simsearch.core.feature_grid import common_downsampling
from simsearch.curation.checks import common_shape
from simsearch.errors import CurationError
from simsearch.nn.classifier import classifier_extractor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.curation.state import Curation, RoiClass

_LARGEST_SEEN = 384  # px that a model sees: crops of a thousand patches larger than that take gigabytes


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large patches are."""

    patch_shapes: tuple[tuple[float, float], ...]
    """Height and width of each class's in level-0 pixels."""
    downsampling: int
    """Level-0 pixels per pixel that the model sees."""


def seen_sizes(curation: Curation, classes: Sequence[RoiClass], kind: str) -> Sizes:
    """Tell how a model of a kind looks at some classes.

    Raises
    ------
    CurationError
        If it cannot look at all of them together.
    ConfigError
        If patches are too small.
    """
    shapes = {each.name: common_shape(curation, each) for each in classes}
    if kind == "patchwise" and len(set(shapes.values())) > 1:
        raise CurationError(
            f"expected one patch for all classes, as patchwise models have, got {shapes_in_words(shapes)}: train with "
            "--kind dense, or a study for each size"
        )
    downsampling = common_downsampling(shapes.values())
    if max(map(max, shapes.values())) / downsampling >= _LARGEST_SEEN:
        raise CurationError(
            f"expected classes that a model can look at together, got {shapes_in_words(shapes)}: train a study for each"
        )
    for height, width in shapes.values():
        classifier_extractor(kind, (round(height / downsampling), round(width / downsampling)))
    return Sizes(tuple(shapes.values()), downsampling)
