"""Pictures of a run, each as an address that holds the picture itself."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from simsearch.errors import SimSearchError
from simsearch.io.ome_zarr.image import is_rgb
from simsearch.io.ome_zarr.many import describe_each
from simsearch.io.ome_zarr.stores import image_name
from simsearch.io.pictures.drawing import vector_of
from simsearch.io.pictures.render import ShownChannel, shown_channels
from simsearch.io.pictures.sheet import Tile, draw_place
from simsearch.workflows.run.found_objects import read_found
from simsearch.workflows.run.html_report.agreement import differing
from simsearch.workflows.run.objects import TABLE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.workflows.run.found_objects import FoundObject, FoundObjects
    from simsearch.workflows.run.html_report.facts import RunFacts

_N_EXAMPLES = 12  # of a class that are sure, and as many that are not
_N_OF_IMAGE = 2  # of these at most in an image, as long as there are others
_N_OVERLAYS = 12
_CROP_PX, _OVERLAY_PX = 112, 1000
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Example:
    """An object that was found, as one sees it."""

    uri: str
    words: str
    """Where it is, and how sure the model was."""


@dataclass(frozen=True, slots=True)
class ClassExamples:
    """Objects of a class."""

    class_name: str
    surest: tuple[Example, ...]
    doubtful: tuple[Example, ...]
    """Those just above the threshold, the most doubtful first."""


def figure_uri(path: Path | None) -> str:
    """Hold a figure that was written: as SVG, where it is there; empty where there is none."""
    if path is None or not path.exists():
        return ""
    vector = vector_of(path)
    if vector.exists():
        return _uri("image/svg+xml", vector.read_bytes())
    return _uri("image/png", path.read_bytes())


def overlay_uris(facts: RunFacts) -> list[tuple[str, str]]:
    """Hold the first pictures of areas, each with the name of its image."""
    folder = facts.result.folder / "overlays"
    found = []
    for path in facts.result.overlays[:_N_OVERLAYS]:
        with Image.open(BytesIO(path.read_bytes())) as picture:
            small = picture.convert("RGB")
        small.thumbnail((_OVERLAY_PX, _OVERLAY_PX))
        found.append((str(path.relative_to(folder).with_suffix("")), _jpeg(small)))
    return found


def find_examples(facts: RunFacts) -> tuple[list[ClassExamples], list[str]]:
    """Draw objects of each class: the surest, and those that the model doubts most; tell why of what cannot be."""
    if facts.result.kind != "detect":
        return [], []
    try:
        found = read_found(facts.result.folder, facts.result.confidence_thresholds)
    except SimSearchError as error:
        return [], [f"No pictures of objects: {error}"]
    chosen = {name: _chosen(found, name) for name in found.classes}
    paths = {image_name(path): str(path) for path in facts.record.get("images", ())}
    names = [
        *dict.fromkeys(each.image for pair in chosen.values() for some in pair for each in some if each.image in paths)
    ]
    described = dict(zip(names, describe_each([paths[name] for name in names]), strict=True))
    notes = [f"No pictures of objects in {name}: {error}" for name, error in described.items()
             if isinstance(error, SimSearchError)][:1]  # fmt: skip
    images = {name: image for name, image in described.items() if not isinstance(image, SimSearchError)}
    shown = {name: _shown(image, facts.header) for name, image in images.items()}
    examples = []
    for name, pair in chosen.items():
        color, shape = facts.color(name), found.patch_shapes.get(name, (1.0, 1.0))
        surest, doubtful = (
            tuple(_example(each, images[each.image], shown[each.image], shape, color) for each in some
                  if each.image in images)
            for some in pair
        )  # fmt: skip
        if surest or doubtful:
            examples.append(ClassExamples(name, surest, doubtful))
    counts = {name: len(objects) for name, objects in found.by_class.items()}
    return examples, [*differing(facts.result.folder / TABLE_NAME, counts, facts.result.n_objects), *notes]


def _chosen(found: FoundObjects, class_name: str) -> tuple[list[FoundObject], list[FoundObject]]:
    """Choose the surest objects of a class, and those with the least confidence, no object as both."""
    rows = np.flatnonzero(found.is_object & (found.kind == found.classes.index(class_name)))
    rows = rows[np.argsort(-found.confidence[rows], kind="stable")]
    surest = spread(rows, found.image)
    left = rows[~np.isin(rows, surest)]
    return found.take(surest), found.take(spread(left[::-1], found.image))


def spread(rows: NDArray[np.intp], image: NDArray[np.int32]) -> NDArray[np.intp]:
    """Choose the first rows, but of an image only a few as long as others have some.

    Examples
    --------
    >>> spread(np.arange(4), np.array([0, 0, 0, 1], np.int32)).tolist()
    [0, 1, 3, 2]
    """
    of_image: dict[int, int] = {}
    turn = np.empty(len(rows), int)
    for at, where in enumerate(image[rows].tolist()):
        turn[at] = of_image.get(where, 0) // _N_OF_IMAGE
        of_image[where] = of_image.get(where, 0) + 1
    return rows[np.argsort(turn, kind="stable")][:_N_EXAMPLES]


def _shown(image: ImageMeta, header: Mapping[str, object]) -> tuple[ShownChannel, ...]:
    """Show what the model sees, in the same range in all images; colours as the camera saw them."""
    channels, ranges = header.get("channels"), header.get("ranges")
    if is_rgb(image) or not isinstance(channels, list) or not isinstance(ranges, list):
        return shown_channels(image, range(image.n_channels))
    known = [image.channel_names.index(name) for name in channels if name in image.channel_names]
    if len(known) != len(ranges):
        return shown_channels(image, range(image.n_channels))
    return tuple(
        ShownChannel(index, image.channel_colors[index], float(low), float(high))
        for index, (low, high) in zip(known, ranges, strict=True)
    )


def _example(
    found: FoundObject, image: ImageMeta, shown: Sequence[ShownChannel], shape: tuple[float, float], color: str
) -> Example:
    tile = Tile("", image, (found.y, found.x), shape)
    picture = draw_place(tile, tuple(shown), _CROP_PX, color)
    return Example(_jpeg(picture), f"{found.confidence:.2f} \N{MIDDLE DOT} {found.well or found.image}")


def _jpeg(picture: Image.Image) -> str:
    file = BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return _uri("image/jpeg", file.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
