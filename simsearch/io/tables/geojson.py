"""Annotations as GeoJSON for QuPath, one file an image.

Coordinates are full-resolution pixels, and corners lie on the edges of pixels: the first pixel reaches from 0 to 1, and
its centre, which we call 0, is at 0.5.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from shapely.geometry import mapping

from simsearch.core.boxes import Box
from simsearch.io.tables.curation import BACKGROUND, Annotation, plain_number
from simsearch.io.tables.records.replacing import replacing_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from shapely import Polygon

    from simsearch.core.named_regions import NamedRegion
    from simsearch.core.peaks import Peak

_NAMESPACE = UUID("6f0c5b5e-2f64-4e0d-9d4c-5a1f0c3a7b11")
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_GREY = "#808080"
_DECIMALS = 3  # of centres and sides; edges have one more, so that both come back exactly


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


def write_regions(regions: Iterable[NamedRegion], path: Path) -> int:
    """Write named regions of any images as QuPath's annotations, which tell their image.

    Returns
    -------
    int
        How many.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    return _write(map(_named_feature, regions), path)


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


def _named_feature(region: NamedRegion) -> dict[str, Any]:
    ring = [[plain_number(x + 0.5), plain_number(y + 0.5)] for y, x in (*region.corners, region.corners[0])]
    properties = {
        "objectType": "annotation",
        "name": region.name,
        "metadata": {"source": "simsearch", "image": region.image},
    }
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return _feature(f"region|{region.image}|{region.name}", geometry, properties)


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
