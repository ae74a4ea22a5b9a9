"""What a viewer shows on images, apart from their pixels: found places, and marks that people made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.peaks import NEAREST
from simsearch.curation.checks import common_shape, without
from simsearch.curation.state import NEAR, singled_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from simsearch.app.session.snapshot import Snapshot
    from simsearch.core.named_regions import NamedRegion
    from simsearch.core.ranked_peaks import RankedPeaks
    from simsearch.curation.state import Curation, Patch, RoiClass
    from simsearch.workflows.curate.live.coarse_maps import SimilarityMap
    from simsearch.workflows.run.found_objects import FoundObjects
    from simsearch.workflows.run.predict import Predictions

_MARK_LOOKS = {  # of each kind of mark: line, its width, darkness of the inside
    "prototype": ("solid", 3.5, 0.0),
    "positive": ("solid", 1.5, 0.0),
    "confirmed": ("solid", 2.5, 0.0),
    "negative": ("4 4", 1.5, 0.0),
    "background": ("2 3", 2.5, 0.0),
    "suggested background": ("6 4", 1.0, 0.0),
    "chosen": ("solid", 3.0, 0.0),
}
_MARK_WORDS = {
    "prototype": "Your box: {}",
    "positive": "Accepted: {}",
    "confirmed": "Confirmed: {}",
    "negative": "Not {}",
}
_OF_NO_CLASS = "#9aa0a6"
_CHOSEN = "#ffffff"


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
    own: tuple[Patch, ...] = ()
    """What has a mark of its own: peaks there have no second box."""
    is_accepted: bool = False
    """Whether somebody has approved what is shown."""
    is_compared: bool = False
    """Whether it is what another run found: it is only looked at, and drawn with broken lines."""

    @property
    def key(self) -> str:
        """Name it among all layers."""
        return f"compared:{self.name}" if self.is_compared else f"peaks:{self.name}"


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
        return next((layer for layer in self.layers if layer.key == f"peaks:{name}"), None)


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
            layers.append(
                Layer(
                    *(each.name, each.color, threshold, peaks, shape),
                    flagged=each.negatives, own=singled_out(each), is_accepted=each.is_accepted,
                )
            )  # fmt: skip
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
    """Show what a model finds, with the patches of its classes, and what was said one by one."""
    known = {each.name: (each.color, each.negatives, singled_out(each)) for each in curation.classes}
    layers = []
    for name, peaks in predictions.by_class.items():
        color, flagged, own = known.get(name, (_OF_NO_CLASS, (), ()))
        layers.append(Layer(name, color, thresholds[name], peaks, shapes[name], flagged, own))
    return Scene(curation.displayed, tuple(layers), predictions.images, tuple(said_marks(curation)))


def found_scene(
    curation: Curation, images: tuple[str, ...], found: FoundObjects, compared: FoundObjects | None = None
) -> Scene:
    """Show what a run found on some of its images, what another found there, and what was said one by one.

    Parameters
    ----------
    curation : Curation
        What was said.
    images : tuple of str
        Names of the images.
    found, compared : FoundObjects
        Of the runs; both refer to the same names of images.
    """
    known = {each.name: (each.color, each.negatives) for each in curation.classes}
    layers = []
    for is_compared, run in enumerate((found,) if compared is None else (found, compared)):
        for name, peaks in run.by_class.items():
            color, negatives = known.get(name, (_OF_NO_CLASS, ()))
            flagged = () if is_compared else negatives
            layers.append(
                Layer(name, color, 0.0, peaks, run.patch_shapes[name], flagged, is_compared=bool(is_compared))
            )
    return Scene(images, tuple(layers), found.images, tuple(said_marks(curation)))


def chosen_mark(patch: Patch, patch_shape: tuple[float, float]) -> Mark:
    """Mark what somebody looks at, a little outside its box."""
    height, width = (1.1 * side + 2 for side in patch_shape)
    return Mark("chosen", "", _CHOSEN, patch, (height, width))


def said_marks(curation: Curation) -> Iterator[Mark]:
    """Mark what was said one by one."""
    for each in curation.classes if curation.patch_shape else ():
        yield from _marks_of(curation, each, ())


def peak_columns(scene: Scene, layer: Layer, image: str) -> dict[str, NDArray[Any]]:
    """Return the peaks of a layer on an image as columns of a Bokeh source, the best first.

    Returns
    -------
    dict
        ``x`` and ``y`` of the centres as Bokeh's figures have them (y points down from 0), ``score``, and whether each
        ``is_flagged``, or ``is_own``: has a mark.
    """
    rows = _rows(scene, layer, image)
    y, x = layer.peaks.y[rows], layer.peaks.x[rows]
    return {
        "x": (x + 0.5).astype(np.float32),
        "y": (-y - 0.5).astype(np.float32),
        "score": layer.peaks.score[rows].astype(np.float32),
        "is_flagged": _is_one_of(layer.flagged, layer, image, y, x).astype(np.uint8),
        "is_own": _is_one_of(layer.own, layer, image, y, x).astype(np.uint8),
    }


def mark_columns(marks: Iterable[Mark], image: str) -> dict[str, list[Any]]:
    """Return the marks on an image as columns of a Bokeh source."""
    here = [mark for mark in marks if mark.patch.image == image]
    looks = [_MARK_LOOKS[mark.kind] for mark in here]
    return {
        "x": [mark.patch.x + 0.5 for mark in here],
        "y": [-mark.patch.y - 0.5 for mark in here],
        "height": [mark.patch_shape[0] for mark in here],
        "width": [mark.patch_shape[1] for mark in here],
        "color": [mark.color for mark in here],
        "kind": [mark.kind for mark in here],
        "id": [mark.patch.id for mark in here],
        "class": [mark.class_name for mark in here],
        "what": [_MARK_WORDS.get(mark.kind, mark.kind.capitalize()).format(mark.class_name) for mark in here],
        "dash": [look[0] for look in looks],
        "line": [look[1] for look in looks],
        "inside": [look[2] for look in looks],
    }


def region_columns(regions: Iterable[NamedRegion], image: str) -> dict[str, list[Any]]:
    """Return the named regions of an image as columns of a Bokeh source: closed lines, and places of names."""
    here = [region for region in regions if region.image == image]
    closed = [(*region.corners, region.corners[0]) for region in here]
    return {
        "xs": [[x + 0.5 for _, x in each] for each in closed],
        "ys": [[-y - 0.5 for y, _ in each] for each in closed],
        "x": [region.bounds[1] + 0.5 for region in here],
        "y": [-region.bounds[0] - 0.5 for region in here],
        "name": [region.name for region in here],
    }


def heat_columns(found: SimilarityMap) -> dict[str, list[Any]]:
    """Return a similarity map as columns of an image glyph, whose first row is the lowest."""
    height, width = found.values.shape
    top, left = (centre + 0.5 - found.step / 2 for centre in found.origin)
    return {
        "image": [found.values[::-1]],
        "x": [left],
        "y": [-(top + height * found.step)],
        "dw": [width * found.step],
        "dh": [height * found.step],
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
        Class, y and x of the peak whose patch holds the place and whose centre is nearest; of classes that find one
        there, the one with the highest score.
    """
    found = []
    for layer in scene.layers:
        if layer.is_compared or (class_name is not None and layer.name != class_name):
            continue
        rows = _rows(scene, layer, image)
        rows = rows[layer.peaks.score[rows] >= layer.threshold]
        y, x = layer.peaks.y[rows], layer.peaks.x[rows]
        inside = (np.abs(y - at[0]) <= layer.patch_shape[0] / 2) & (np.abs(x - at[1]) <= layer.patch_shape[1] / 2)
        if inside.any():
            distances = np.where(inside, np.hypot(y - at[0], x - at[1]), np.inf)
            row = int(distances.argmin())
            reach = NEAREST * min(layer.patch_shape)
            found.append((float(distances[row]), float(layer.peaks.score[rows[row]]), reach, layer, y[row], x[row]))
    if not found:
        return None
    _, _, reach, _, y0, x0 = min(found, key=lambda each: each[:2])
    # Of classes that compete for one place, the surest is shown.
    rivals = [each for each in found if np.hypot(each[4] - y0, each[5] - x0) < min(reach, each[2])]
    _, _, _, best, y1, x1 = max(rivals, key=lambda each: each[1])
    return best.name, float(y1), float(x1)


def score_at(scene: Scene, class_name: str, at: Patch) -> float | None:
    """Tell the score of the peak of a class whose centre is nearest to a place, if it is the same object."""
    layer = scene.layer(class_name)
    rows = _rows(scene, layer, at.image) if layer else np.empty(0, np.intp)
    if layer is None or not rows.size:
        return None
    distances = np.hypot(layer.peaks.y[rows] - at.y, layer.peaks.x[rows] - at.x)
    nearest = int(distances.argmin())
    return float(layer.peaks.score[rows[nearest]]) if distances[nearest] < NEAR * min(layer.patch_shape) else None


def _rows(scene: Scene, layer: Layer, image: str) -> NDArray[np.intp]:
    if image not in scene.peak_images:
        return np.empty(0, np.intp)
    return np.flatnonzero(layer.peaks.image == scene.peak_images.index(image))


def _is_one_of(
    patches: Iterable[Patch], layer: Layer, image: str, y: NDArray[np.floating], x: NDArray[np.floating]
) -> NDArray[np.bool_]:
    is_one = np.zeros(len(y), bool)
    for patch in patches:
        if patch.image == image:
            is_one |= np.hypot(y - patch.y, x - patch.x) < NEAR * min(layer.patch_shape)
    return is_one


def _marks(curation: Curation, by_class: Mapping[str, RankedPeaks]) -> Iterator[Mark]:
    for each in curation.classes:
        # Positives are peaks, which layers show as soon as they are computed.
        yield from _marks_of(curation, each, () if each.name in by_class else each.positives)
    shape = common_shape(curation)
    yield from (Mark("background", "", _OF_NO_CLASS, patch, shape) for patch in curation.background)


def _marks_of(curation: Curation, roi_class: RoiClass, positives: tuple[Patch, ...]) -> Iterator[Mark]:
    # What was moved to another class is a negative of this one, too: the other mark says enough.
    others = [patch for other in curation.classes if other is not roi_class for patch in singled_out(other)]
    negatives = without(roi_class.negatives, others, common_shape(curation, roi_class)) if roi_class.negatives else ()
    said = {
        "positive": positives,
        "negative": negatives,
        "confirmed": roi_class.confirmed,
        "prototype": roi_class.prototypes,
    }
    shape = common_shape(curation, roi_class)
    for kind, patches in said.items():
        yield from (Mark(kind, roi_class.name, roi_class.color, patch, shape) for patch in patches)
