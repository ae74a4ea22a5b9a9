"""What a viewer shows on images, apart from their pixels: found places, and marks that people made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.curation.checks import common_shape, without
from simsearch.curation.state import NEAR, singled_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from simsearch.app.session.snapshot import Snapshot
    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation, Patch
    from simsearch.workflows.run.predict import Predictions

_MARK_LOOKS = {  # of each kind of mark: line, its width, darkness of the inside
    "prototype": ("solid", 3.5, 0.0),
    "positive": ("solid", 1.5, 0.0),
    "confirmed": ("solid", 2.5, 0.0),
    "negative": ("4 4", 1.5, 0.25),
    "background": ("2 3", 2.5, 0.0),
    "suggested background": ("6 4", 1.0, 0.0),
}
_OF_NO_CLASS = "#9aa0a6"


@dataclass(frozen=True, slots=True)
class Layer:
    """Found places of a class."""

    name: str
    """Of the class."""
    color: str
    """``#`` and 6 hex digits."""
    threshold: float
    """Lowest score that is shown."""
    peaks: RankedPeaks
    """On all images."""
    patch_shape: tuple[float, float]
    """Height and width of its patches in level-0 pixels."""
    flagged: tuple[Patch, ...] = ()
    """What somebody said is not of the class: peaks there are not shown."""
    is_accepted: bool = False
    """Whether somebody has approved what is shown."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A patch that people said something about."""

    kind: str
    """One of those of `_MARK_LOOKS`."""
    class_name: str
    """Empty for background, and what is suggested as such."""
    color: str
    patch: Patch
    patch_shape: tuple[float, float]
    """Height and width in level-0 pixels."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is shown on images."""

    images: tuple[str, ...]
    """Names of the images, in the order of their tabs."""
    layers: tuple[Layer, ...] = ()
    peak_images: tuple[str, ...] = ()
    """Names that the peaks of layers refer to."""
    marks: tuple[Mark, ...] = field(default=(), repr=False)

    def layer(self, name: str) -> Layer | None:
        """Find the layer of a class."""
        return next((layer for layer in self.layers if layer.name == name), None)


def suggestion_scene(snapshot: Snapshot) -> Scene:
    """Show what is suggested, and all marks."""
    curation, suggestions = snapshot.curation, snapshot.suggestions
    layers = []
    for each in curation.classes:
        peaks = suggestions.by_class.get(each.name)
        threshold = each.similarity_threshold
        if threshold is None:
            threshold = suggestions.suggested_thresholds.get(each.name, 1.0)
        shape = curation.shape_of(each)
        if peaks is not None and shape is not None:
            layers.append(Layer(each.name, each.color, threshold, peaks, shape, each.negatives, each.is_accepted))
    marks = tuple(_marks(curation, suggestions.by_class)) if curation.patch_shape else ()
    return Scene(curation.displayed, tuple(layers), suggestions.images, marks)


def background_scene(snapshot: Snapshot) -> Scene:
    """Show what is suggested and said, and what is suggested as background and not flagged."""
    scene, curation = suggestion_scene(snapshot), snapshot.curation
    shape = curation.patch_shape
    if shape is None:
        return scene
    known = {(patch.image, patch.y, patch.x) for patch in (*curation.background, *curation.not_background)}
    marks = (
        Mark("suggested background", "", _OF_NO_CLASS, patch, shape)
        for patch in snapshot.suggestions.background
        if (patch.image, patch.y, patch.x) not in known
    )
    return replace(scene, marks=(*scene.marks, *marks))


def prediction_scene(
    curation: Curation,
    predictions: Predictions,
    thresholds: Mapping[str, float],
    shapes: Mapping[str, tuple[float, float]],
) -> Scene:
    """Show what a model finds, with the patches of its classes."""
    colors = {each.name: each.color for each in curation.classes}
    layers = [
        Layer(name, colors.get(name, _OF_NO_CLASS), thresholds[name], peaks, shapes[name])
        for name, peaks in predictions.by_class.items()
    ]
    return Scene(curation.displayed, tuple(layers), predictions.images)


def peak_columns(scene: Scene, layer: Layer, image: str) -> dict[str, NDArray[Any]]:
    """Return the peaks of a layer on an image as columns of a Bokeh source, the best first.

    Returns
    -------
    dict
        ``x`` and ``y`` of the centres as Bokeh's figures have them (y points down from 0), ``score``, and whether each
        ``is_flagged``.
    """
    rows = _rows(scene, layer, image)
    y, x = layer.peaks.y[rows], layer.peaks.x[rows]
    return {
        "x": (x + 0.5).astype(np.float32),
        "y": (-y - 0.5).astype(np.float32),
        "score": layer.peaks.score[rows].astype(np.float32),
        "is_flagged": _is_flagged(layer, image, y, x).astype(np.uint8),
    }


def mark_columns(scene: Scene, image: str) -> dict[str, list[Any]]:
    """Return the marks on an image as columns of a Bokeh source."""
    here = [mark for mark in scene.marks if mark.patch.image == image]
    looks = [_MARK_LOOKS[mark.kind] for mark in here]
    return {
        "x": [mark.patch.x + 0.5 for mark in here],
        "y": [-mark.patch.y - 0.5 for mark in here],
        "height": [mark.patch_shape[0] for mark in here],
        "width": [mark.patch_shape[1] for mark in here],
        "color": [mark.color for mark in here],
        "what": [f"{mark.kind} {mark.class_name}".strip() for mark in here],
        "dash": [look[0] for look in looks],
        "line": [look[1] for look in looks],
        "inside": [look[2] for look in looks],
    }


def find_peak(
    scene: Scene, image: str, at: tuple[float, float], class_name: str | None = None
) -> tuple[str, float, float] | None:
    """Find what is shown at a place, flagged ones included.

    Parameters
    ----------
    scene : Scene
        What is shown.
    image : str
        Name of the image.
    at : (float, float)
        y and x in level-0 pixels.
    class_name : str, optional
        Look only among those of a class.

    Returns
    -------
    (str, float, float) or None
        Class, y and x of the peak whose patch holds the place and whose centre is nearest.
    """
    best: tuple[float, str, float, float] | None = None
    for layer in scene.layers:
        if class_name is not None and layer.name != class_name:
            continue
        rows = _rows(scene, layer, image)
        rows = rows[layer.peaks.score[rows] >= layer.threshold]
        y, x = layer.peaks.y[rows], layer.peaks.x[rows]
        inside = (np.abs(y - at[0]) <= layer.patch_shape[0] / 2) & (np.abs(x - at[1]) <= layer.patch_shape[1] / 2)
        if not inside.any():
            continue
        distances = np.where(inside, np.hypot(y - at[0], x - at[1]), np.inf)
        nearest = int(distances.argmin())
        found = (float(distances[nearest]), layer.name, float(y[nearest]), float(x[nearest]))
        best = found if best is None else min(best, found)
    return None if best is None else best[1:]


def _rows(scene: Scene, layer: Layer, image: str) -> NDArray[np.intp]:
    if image not in scene.peak_images:
        return np.empty(0, np.intp)
    return np.flatnonzero(layer.peaks.image == scene.peak_images.index(image))


def _is_flagged(layer: Layer, image: str, y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.bool_]:
    is_flagged = np.zeros(len(y), bool)
    for patch in layer.flagged:
        if patch.image == image:
            is_flagged |= np.hypot(y - patch.y, x - patch.x) < NEAR * min(layer.patch_shape)
    return is_flagged


def _marks(curation: Curation, by_class: Mapping[str, RankedPeaks]) -> Iterator[Mark]:
    for each in curation.classes:
        # Positives are peaks, which layers show as soon as they are computed.
        positives = () if each.name in by_class else each.positives
        # What was moved to another class is a negative of this one, too: the other mark says enough.
        others = [patch for other in curation.classes if other is not each for patch in singled_out(other)]
        negatives = without(each.negatives, others, common_shape(curation, each)) if each.negatives else ()
        said = {
            "positive": positives, "negative": negatives, "confirmed": each.confirmed, "prototype": each.prototypes
        }  # fmt: skip
        shape = common_shape(curation, each)
        yield from (Mark(kind, each.name, each.color, p, shape) for kind, patches in said.items() for p in patches)
    shape = common_shape(curation)
    yield from (Mark("background", "", _OF_NO_CLASS, patch, shape) for patch in curation.background)
