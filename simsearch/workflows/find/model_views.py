"""How a trained model sees images, and the searches that it carries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from simsearch.io.ome_zarr.scaled import scaled
from simsearch.nn.classifier import classifier_extractor
from simsearch.nn.extractor import make_extractor
from simsearch.runtime.views import View
from simsearch.workflows.find.query import STUDY_FRAME

if TYPE_CHECKING:
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.device import Arithmetic
    from simsearch.nn.model_file import ModelHeader

DETECTION_SPACING = 1 / 6
"""How far around a peak of a model there is no other, as a part of the patch's shorter side: of touching objects, one
would hide the other in a wider window (benchmarks/touching.py)."""


def model_view(image: ImageMeta, header: ModelHeader, model: str, arithmetic: Arithmetic = "float32") -> View:
    """Tell how a model, of which the digest is given, sees an image."""
    return View(
        image=scaled(image, header.downsampling),
        channels=tuple(image.channel_names.index(name) for name in header.channels),
        ranges=header.ranges,
        extractor=classifier_extractor(header.kind, header.working_shape),
        trunk=model,
        spacing=DETECTION_SPACING,
        arithmetic=arithmetic,
    )


def finer_views(view: View, header: ModelHeader) -> tuple[tuple[View, tuple[int, ...]], ...]:
    """Tell how searches that a model carries see an image where they look closer, and for which classes each does."""
    classes: dict[tuple[int, tuple[float, float]], list[int]] = defaultdict(list)
    for label, (share, shape) in enumerate(zip(header.search_shares, header.patch_shapes, strict=False), start=1):
        if share is not None and share.finer > 1:
            classes[header.downsampling // share.finer, shape].append(label)
    return tuple((searched_view(view, scale, shape), tuple(labels)) for (scale, shape), labels in classes.items())


def searched_view(view: View, downsampling: int, patch_shape: tuple[float, float]) -> View:
    """Tell how a search sees the image of a model's view, with a trunk that is the model's."""
    height, width = (round(side / downsampling) for side in patch_shape)
    extractor = replace(make_extractor("template", (height, width)), frame=STUDY_FRAME)
    image = scaled(view.image.meta, downsampling)
    return View(image, view.channels, view.ranges, extractor, view.trunk, arithmetic=view.arithmetic)
