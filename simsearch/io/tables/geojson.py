"""Annotations as GeoJSON of QuPath, one file an image.

Coordinates are full-resolution pixels, and corners lie on the edges of pixels: the first pixel reaches from 0 to 1, and
its centre, which we call 0, is at 0.5.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid5

from shapely.geometry import mapping

from simsearch.core.boxes import Box
from simsearch.errors import AnnotationError, SourceError
from simsearch.io.tables.curation import BACKGROUND, Annotation, Reading, make_annotation, plain_number, read_each
from simsearch.io.tables.replacing import replacing_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from shapely import Polygon

    from simsearch.core.peaks import Peak

_NAMESPACE = UUID("6f0c5b5e-2f64-4e0d-9d4c-5a1f0c3a7b11")
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_GREY = "#808080"
_DECIMALS = 3  # of centres and sides; edges have one more, so that both come back exactly


def read_features(path: Path, image: str | None = None, *, default: str | None = None) -> Reading:
    """Read the polygons of a GeoJSON file as their bounding boxes; errors of what makes no sense are among them.

    The class is the name of the classification. The role is what simsearch has written into the metadata; of what was
    drawn in QuPath it is ``background`` for the classification of that name and ``prototype`` for all others.

    Parameters
    ----------
    path : Path
        A FeatureCollection, a list of Features, or one.
    image : str, optional
        Name of the image; by default the one in the metadata of each.
    default : str, optional
        Name of the image where neither says it; by default that of the file without its suffix.

    Raises
    ------
    SourceError
        If the file cannot be read as text.
    AnnotationError
        If it is no GeoJSON.
    """
    fallback = default or path.name.removesuffix(".geojson").removesuffix(".json")
    items = ((f"feature {number}", feature) for number, feature in enumerate(_features(path), 1))
    return read_each(items, lambda feature: _annotation(feature, image, fallback))


def write_features(annotations: Iterable[Annotation], path: Path) -> int:
    """Write annotations of one image one after the other, and put the file in its place when it is complete.

    Returns
    -------
    int
        How many.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    return _write((_annotation_feature(annotation) for annotation in annotations), path)


def write_detections(detections: Iterable[Peak], colors: Mapping[str, str], path: Path) -> int:
    """Write detections of one image as QuPath's detection objects, with their confidence as a measurement.

    Parameters
    ----------
    detections : iterable of Peak
        Written one after the other, however many there are.
    colors : mapping of str to str
        ``#`` and 6 hex digits for each class.
    path : Path
        Where to write.

    Returns
    -------
    int
        How many.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    return _write((_detection_feature(peak, colors[peak.class_name]) for peak in detections), path)


def write_areas(areas: Iterable[tuple[str, Polygon]], colors: Mapping[str, str], path: Path) -> int:
    """Write areas of one image as QuPath's annotations.

    Parameters
    ----------
    areas : iterable of (str, shapely.Polygon)
        Class and outline, in full-resolution pixels whose edges, not centres, are at whole numbers.
    colors : mapping of str to str
        ``#`` and 6 hex digits for each class.
    path : Path
        Where to write.

    Returns
    -------
    int
        How many.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    return _write((_area_feature(name, polygon, colors[name]) for name, polygon in areas), path)


def _write(features: Iterable[dict[str, Any]], path: Path) -> int:
    n_features = 0
    with replacing_text(path) as file:
        file.write('{"type":"FeatureCollection","features":[')
        for feature in features:
            file.write(",\n" if n_features else "\n")
            file.write(_ENCODER.encode(feature))
            n_features += 1
        file.write("\n]}\n")
    return n_features


def _feature(key: str, geometry: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap what lies somewhere; the same key gives the same id, so that a second import replaces the first."""
    return {"type": "Feature", "id": str(uuid5(_NAMESPACE, key)), "geometry": geometry, "properties": properties}


def _annotation_feature(annotation: Annotation) -> dict[str, Any]:
    box = annotation.box
    properties = {
        "objectType": "annotation",
        "name": BACKGROUND if annotation.role == BACKGROUND else f"{box.class_name} {annotation.role}",
        "classification": _classified(box.class_name, annotation.color or _GREY),
        "metadata": {"source": "simsearch", "image": box.image, "role": annotation.role},
    }
    return _feature(_key(box, annotation.role), _rectangle(box), properties)


def _detection_feature(peak: Peak, color: str) -> dict[str, Any]:
    box = Box(peak.image, peak.class_name, peak.y, peak.x, *peak.patch_shape)
    properties = {
        "objectType": "detection",
        "classification": _classified(peak.class_name, color),
        "measurements": {"confidence": peak.score},
    }
    return _feature(_key(box, "detection"), _rectangle(box), properties)


def _area_feature(name: str, polygon: Polygon, color: str) -> dict[str, Any]:
    properties = {
        "objectType": "annotation",
        "classification": _classified(name, color),
        "metadata": {"source": "simsearch"},
    }
    return _feature(f"area|{name}|{polygon.wkt}", mapping(polygon), properties)


def _key(box: Box, role: str) -> str:
    return "|".join((box.image, box.class_name, role, f"{box.y:.3f}", f"{box.x:.3f}"))


def _classified(class_name: str, color: str) -> dict[str, Any]:
    return {"name": class_name, "color": list(bytes.fromhex(color.removeprefix("#")))}


def _rectangle(box: Box) -> dict[str, Any]:
    top, bottom = (_edge(box.y, sign * box.height) for sign in (-1, 1))
    left, right = (_edge(box.x, sign * box.width) for sign in (-1, 1))
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {"type": "Polygon", "coordinates": [ring]}


def _edge(centre: float, side: float) -> float:
    return plain_number(round(centre + 0.5 + side / 2, _DECIMALS + 1))


def _features(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: expected a GeoJSON file, got {error}: check the path") from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: expected GeoJSON, got {error}: export it again") from error
    if isinstance(content, dict) and content.get("type") == "Feature":
        return [content]
    features = content.get("features") if isinstance(content, dict) else content
    if not isinstance(features, list):
        raise AnnotationError(f"{path}: expected a FeatureCollection, got {str(content)[:60]}: export it again")
    return features


def _annotation(feature: object, image: str | None, fallback: str) -> Annotation:
    content = _object(feature, "a Feature")
    properties = _object(content.get("properties"), "properties")
    metadata = properties.get("metadata") or {}
    ours = metadata if isinstance(metadata, dict) and metadata.get("source") == "simsearch" else {}
    class_name, color = _classification(properties.get("classification"))
    default = BACKGROUND if class_name.casefold() == BACKGROUND else "prototype"
    y, x, height, width = _bounds(_object(content.get("geometry"), "a geometry"))
    box = Box(image or str(ours.get("image") or fallback), class_name, y, x, height, width)
    return make_annotation(box, str(ours.get("role") or default), color)


def _classification(content: object) -> tuple[str, str | None]:
    if isinstance(content, str) and content:
        return content, None
    if isinstance(content, dict):
        names = content.get("names")
        # QuPath writes a class derived of another, as in `Tumor: Positive`, as a list.
        name = ": ".join(map(str, names)) if isinstance(names, list) else content.get("name")
        if isinstance(name, str) and name:
            return name, _hex(content)
    raise AnnotationError(f"expected a classification with a name, got {content!r}: set the class in QuPath")


def _hex(content: dict[str, Any]) -> str | None:
    rgb: Any = content.get("color", content.get("colorRGB"))
    if isinstance(rgb, int) and not isinstance(rgb, bool):  # as QuPath 0.2 wrote it
        return f"#{rgb & 0xFFFFFF:06x}"
    is_rgb = isinstance(rgb, list) and len(rgb) == 3 and all(type(each) is int and 0 <= each < 256 for each in rgb)
    return f"#{bytes(rgb).hex()}" if is_rgb else None


def _bounds(geometry: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return the centre, the height and the width of what surrounds a polygon."""
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    polygons: Any = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(str(kind))
    try:
        points = [(float(y), float(x)) for rings in polygons for x, y, *_ in rings[0]]
        ys, xs = zip(*points, strict=True)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        got = f"a {kind}" if polygons is None else str(coordinates)[:60]
        raise AnnotationError(f"expected a polygon, got {got}: draw a rectangle") from error
    if not all(map(math.isfinite, (*ys, *xs))):
        raise AnnotationError("expected a polygon, got corners that are nowhere (NaN or infinity): export it again")
    (y, height), (x, width) = _centre(ys), _centre(xs)
    return y, x, height, width


def _centre(edges: tuple[float, ...]) -> tuple[float, float]:
    low, high = min(edges), max(edges)
    return round((low + high) / 2 - 0.5, _DECIMALS), round(high - low, _DECIMALS)


def _object(content: object, noun: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise AnnotationError(f"expected {noun}, got {str(content)[:60]}: export it again")
    return cast("dict[str, Any]", content)
