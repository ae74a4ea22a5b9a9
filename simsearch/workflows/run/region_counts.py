"""Named regions in results: where a run looked, and how many objects of each class each of them has."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simsearch.core.checks.names import natural_key
from simsearch.errors import AnnotationError, ConfigError
from simsearch.io.annotations.qupath import parse_named_regions
from simsearch.io.places import remove
from simsearch.io.tables.cells import text_of, written
from simsearch.io.tables.geojson import write_regions
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.workflows.curate.study import open_study, read_curation
from simsearch.workflows.run.image_counts import counted, counted_in, counted_titles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from simsearch.core.named_regions import NamedRegion
    from simsearch.core.peaks import PeakColumns
    from simsearch.workflows.image_set import ImageSet

OUTLINES_NAME, REGION_COUNTS_NAME = "regions.geojson", "regions.csv"


@dataclass(frozen=True, slots=True)
class RegionCounts:
    """What a named region has."""

    image: str
    name: str
    pixels: float
    """How large it is, in level-0 pixels."""
    counts: Mapping[str, int]
    """Objects by the name of the class."""


def read_regions(place: Path) -> tuple[NamedRegion, ...]:
    """Read the named regions of a study, or of a GeoJSON file.

    Raises
    ------
    ConfigError
        If there is none.
    AnnotationError, StoreError
        If the file or the study cannot be read.
    """
    if place.is_dir():
        regions = read_curation(open_study(place))[0].state.regions
        way_out = "outline some on the page Regions"
    else:
        try:
            content = place.read_bytes()
        except OSError as error:
            raise AnnotationError(
                f"{place}: expected a GeoJSON file or a study, got {error}: check the path"
            ) from error
        regions = tuple(parse_named_regions(content, str(place)))
        way_out = "draw some, and export them"
    if not regions:
        raise ConfigError(f"{place}: expected named regions, got none: {way_out}")
    return regions


def by_image(regions: Iterable[NamedRegion], images: ImageSet) -> dict[str, list[NamedRegion]]:
    """Sort regions by their image; one that names none is of the only image.

    Raises
    ------
    ConfigError
        If no region is of an image that is looked at, or one names none and there are several.
    """
    names = [image.name for image in images]
    found: dict[str, list[NamedRegion]] = defaultdict(list)
    for region in regions:
        if not region.image and len(names) > 1:
            raise ConfigError(
                f"region {region.name}: expected one that names its image, as there are {len(names)} images, got none: "
                "look at one image at a time"
            )
        found[region.image or names[0]].append(region)
    here = {name: found[name] for name in names if name in found}
    if not here:
        raise ConfigError(
            f"expected regions of an image that is looked at ({', '.join(names[:3])}), got those of "
            f"{', '.join(list(found)[:3])}: name these images"
        )
    return here


def write_outlines(regions: Mapping[str, Sequence[NamedRegion]], folder: Path) -> None:
    """Write where a run looked, or nothing if that was everywhere; outlines of another run go."""
    for name in (OUTLINES_NAME, REGION_COUNTS_NAME):
        remove(folder / name)
    if regions:
        outlines = (replace(each, image=name) for name, here in regions.items() for each in here)
        write_regions(outlines, folder / OUTLINES_NAME)


def outlines_of(folder: Path) -> tuple[NamedRegion, ...]:
    """Read where a run looked; nothing if that was everywhere."""
    path = folder / OUTLINES_NAME
    return read_regions(path) if path.exists() else ()


def count_in_regions(regions: Sequence[NamedRegion], objects: Iterable[PeakColumns]) -> list[RegionCounts]:
    """Count the objects whose centres lie in regions.

    Parameters
    ----------
    regions : sequence of NamedRegion
        They may overlap: an object counts in each.
    objects : iterable of PeakColumns
        Of images one after the other.

    Returns
    -------
    list of RegionCounts
        In natural order of images, and that of the regions in each.
    """
    counts: dict[NamedRegion, Mapping[str, int]] = {}
    for peaks in objects:
        for region in regions:
            if region.image == peaks.image:
                counts[region] = counted_in(peaks.take(region.contains(peaks.y, peaks.x)))
    ordered = sorted(regions, key=lambda each: natural_key(each.image))
    return [RegionCounts(each.image, each.name, each.area, counts.get(each, {})) for each in ordered]


def write_region_counts(
    regions: Iterable[RegionCounts], classes: Sequence[str], path: Path, aside: Collection[str] = ()
) -> None:
    """Write a CSV file with a row for each region, as `write_image_counts` does for images."""
    with replacing_text(path) as file:
        rows = csv.writer(file)
        rows.writerow(["image", "region", "pixels", *counted_titles(classes)])
        for each in regions:
            rows.writerow(
                [written(each.image), written(each.name), f"{each.pixels:g}", *counted(each.counts, classes, aside)]
            )


def read_region_counts(path: Path, classes: Sequence[str]) -> list[RegionCounts]:
    """Read such a file; of a run that looked everywhere there is none.

    Raises
    ------
    ValueError, KeyError
        If it is no such table.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            RegionCounts(
                text_of(row["image"]),
                text_of(row["region"]),
                float(row["pixels"]),
                {name: int(row[f"count {name}"]) for name in classes},
            )
            for row in csv.DictReader(file)
        ]
