"""GeoJSON of QuPath, of any of its versions: what a person drew, and what QuPath found, told apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from simsearch.core.checks.json_text import parse_json
from simsearch.core.named_regions import NamedRegion
from simsearch.errors import AnnotationError
from simsearch.io.annotations.regions import Bounds, Found, Region, bounds_of, number, shortened
from simsearch.io.tables.curation import read_each

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTHS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "Polygon": 2, "MultiLineString": 2, "MultiPolygon": 3}
"""How deep the positions lie in the coordinates of each kind."""
_COLLECTION = "GeometryCollection"
_CORNERS = 3  # of an outline, at least
_RESULTS = ("detection", "cell", "tile", "tmacore", "root")
"""Kinds of objects that QuPath itself has made."""


def parse_features(content: bytes, name: str) -> Found:
    """Parse a FeatureCollection, a list of Features or of geometries, or one.

    The role is what simsearch has written into the metadata. A MultiPoint is a region for each of its points.

    Parameters
    ----------
    content : bytes
        JSON, in any encoding of Unicode.
    name : str
        Of the file, for errors.

    Raises
    ------
    AnnotationError
        If it is no GeoJSON.
    """
    features = enumerate(_features(content, name), 1)
    return read_each((each for place, feature in features for each in _parts(f"feature {place}", feature)), _region)


def parse_named_regions(content: bytes, name: str) -> list[NamedRegion]:
    """Parse the outlines of parts of images; results of QuPath among them are left out.

    Parameters
    ----------
    content : bytes
        As of `parse_features`.
    name : str
        Of the file, for errors.

    Returns
    -------
    list of NamedRegion
        Called by their names, else by their classes, else by numbers; of equal names in an image the second has a 2.
        The image is that which simsearch has written into the metadata; empty if it has not.

    Raises
    ------
    AnnotationError
        If it is no GeoJSON, or an outline is none.
    """
    found: dict[tuple[str, str], NamedRegion] = {}
    for number_, feature in enumerate(_features(content, name), 1):
        try:
            outlined = _outlined(feature, f"region {number_}")
        except AnnotationError as error:
            raise AnnotationError(f"{name}: feature {number_}: {error}") from error
        for region in outlined:
            numbers = (f" {n}" if n > 1 else "" for n in count(1))
            free = next(f"{region.name}{n}" for n in numbers if (region.image, f"{region.name}{n}") not in found)
            found[region.image, free] = replace(region, name=free)
    return list(found.values())


def _outlined(feature: object, without_name: str) -> list[NamedRegion]:
    content = _object(feature, "a Feature")
    properties = _object(content.get("properties") or {}, "properties")
    if _result(content, properties):
        return []
    metadata = properties.get("metadata")
    image = metadata.get("image") if isinstance(metadata, dict) else None
    named = (
        _text(properties.get("name"), "the name of a region") or _classification(properties.get("classification"))[0]
    )
    geometry = _object(content.get("geometry", content), "a geometry")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise AnnotationError(f"expected a Polygon, got {shortened(kind)}: outline the region with another tool")
    rings = [_list(each) for each in ([coordinates] if kind == "Polygon" else _list(coordinates))]
    if any(len(each) != 1 for each in rings):
        raise AnnotationError(
            "expected an outline without holes, got one with some: fill them, or cut the region in two"
        )
    outlines = [_corners(each[0]) for each in rings]
    return [NamedRegion(_text(image, "the name of an image") or "", named or without_name, each) for each in outlines]


def _corners(ring: object) -> tuple[tuple[float, float], ...]:
    """Turn positions on edges of pixels, of which the last is the first again, into pixel centres."""
    corners = [(y - 0.5, x - 0.5) for x, y in map(_position, _list(ring))]
    if len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()
    if len(corners) < _CORNERS:
        raise AnnotationError(f"expected at least {_CORNERS} corners of a region, got {len(corners)}: outline it again")
    return tuple(corners)


def parse_class(name: str) -> tuple[str | None, str | None]:
    """Tell which class a name of QuPath's means, or why none.

    Examples
    --------
    >>> parse_class("Tumor"), parse_class("Unclassified"), parse_class("Ignore*")
    (('Tumor', None), (None, None), (None, 'classes that QuPath ignores (Ignore*, Region* and others with a *)'))
    """
    if name.endswith("*"):
        return None, "classes that QuPath ignores (Ignore*, Region* and others with a *)"
    return (None if name.strip().casefold() in ("", "unclassified") else name), None


def _features(content: bytes, name: str) -> list[Any]:
    try:
        found = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{name}: expected GeoJSON, got {error}: export it again") from error
    if isinstance(found, dict) and found.get("type") in ("Feature", _COLLECTION, *_DEPTHS):
        return [found]
    features = found.get("features") if isinstance(found, dict) else found
    if not isinstance(features, list):
        raise AnnotationError(f"{name}: expected a FeatureCollection, got {shortened(found)}: export it again")
    return features


def _parts(place: str, feature: object) -> Iterator[tuple[str, object]]:
    """Take the points of a MultiPoint apart: each marks an object."""
    content = feature if isinstance(feature, dict) else {}
    geometry = content.get("geometry", content)
    is_points = isinstance(geometry, dict) and geometry.get("type") == "MultiPoint"
    points = geometry.get("coordinates") if is_points else None
    if not isinstance(points, list) or len(points) < 2:
        yield place, feature
        return
    for index, point in enumerate(points, 1):
        yield f"{place}, point {index}", {**content, "geometry": {"type": "Point", "coordinates": point}}


def _region(feature: object) -> Region:
    content = _object(feature, "a Feature")
    if content.get("type") in (_COLLECTION, *_DEPTHS) and "geometry" not in content:
        return Region(_bounds(content))
    if content.get("type", "Feature") not in ("Feature", *_DEPTHS):
        raise AnnotationError(f"expected a Feature, got {shortened(content.get('type'))}: export it again")
    properties = _object(content.get("properties") or {}, "properties")
    metadata = properties.get("metadata")
    ours = metadata if isinstance(metadata, dict) and metadata.get("source") == "simsearch" else {}
    if result := _result(content, properties):
        return Region(None, left_out=result)  # there may be a million: where it is costs more than all the rest
    class_name, color, left_out = _classification(properties.get("classification"))
    geometry = content.get("geometry")
    return Region(
        None if geometry is None else _bounds(_object(geometry, "a geometry")),
        class_name,
        color,
        _text(ours.get("role"), "a role"),
        _text(ours.get("image"), "the name of an image"),
        left_out,
    )


def _result(content: dict[str, Any], properties: dict[str, Any]) -> str | None:
    """Tell which results of QuPath it is one of; a person draws annotations only."""
    stated = _text(properties.get("objectType", properties.get("object_type")), "an objectType")
    kind = stated or str(content.get("id"))  # until 0.2 the id was the name of a class of Java's, as PathCellObject
    kind = kind.casefold().replace("_", "").removeprefix("path").removesuffix("object")
    return f'results of QuPath and no drawings (objectType "{kind}")' if kind in _RESULTS else None


def _classification(content: object) -> tuple[str | None, str | None, str | None]:
    """Return the class, its colour, and why it is none."""
    named = {"name": content} if content is None or isinstance(content, str) else _object(content, "a classification")
    names = named.get("names")
    if names is not None and not (isinstance(names, list) and all(isinstance(each, str) for each in names)):
        raise AnnotationError(f"expected names of a class, got {shortened(names)}: set the class in QuPath")
    # QuPath writes a class derived of another, as in `Tumor: Positive`, as a list.
    name = ": ".join(names) if names else _text(named.get("name"), "the name of a class") or ""
    class_name, left_out = parse_class(name)
    return class_name, _hex(named), left_out


def _hex(content: dict[str, Any]) -> str | None:
    rgb: Any = content.get("color", content.get("colorRGB"))
    if isinstance(rgb, int) and not isinstance(rgb, bool):  # as QuPath 0.2 wrote it
        return f"#{rgb & 0xFFFFFF:06x}"
    is_rgb = isinstance(rgb, list) and len(rgb) == 3 and all(type(each) is int and 0 <= each < 256 for each in rgb)
    return f"#{bytes(rgb).hex()}" if is_rgb else None


def _bounds(geometry: dict[str, Any]) -> Bounds:
    return bounds_of((y, x) for x, y in _positions(geometry))


def _positions(geometry: dict[str, Any]) -> Iterator[tuple[float, float]]:
    pending = [geometry]
    while pending:
        each = pending.pop()
        kind = each.get("type")
        if kind == _COLLECTION:
            pending += [_object(part, "a geometry") for part in _list(each.get("geometries"))]
            continue
        if not isinstance(kind, str) or kind not in _DEPTHS:
            raise AnnotationError(f"expected a geometry such as a Polygon, got {shortened(kind)}: export it again")
        level = [each.get("coordinates")]
        for _ in range(_DEPTHS[kind]):
            level = [inner for outer in level for inner in _list(outer)]
        yield from map(_position, level)


def _position(content: object) -> tuple[float, float]:
    values = _list(content)
    if len(values) < 2 or any(isinstance(each, str) for each in values[:2]):
        raise AnnotationError(f"expected x and y of a position, got {shortened(content)}: export it again")
    return number(values[0]), number(values[1])


def _list(content: object) -> list[Any]:
    if not isinstance(content, list):
        raise AnnotationError(f"expected a list of coordinates, got {shortened(content)}: export it again")
    return content


def _object(content: object, noun: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise AnnotationError(f"expected {noun}, got {shortened(content)}: export it again")
    return cast("dict[str, Any]", content)


def _text(content: object, noun: str) -> str | None:
    if content is not None and not isinstance(content, str):
        raise AnnotationError(f"expected {noun}, got {shortened(content)}: export it again")
    return content
