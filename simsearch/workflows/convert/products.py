"""What a conversion makes: OME-Zarrs, each of one image or of all that lie in a plate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsearch.io.ome_zarr.stores import is_remote, written_at
from simsearch.io.places import in_store
from simsearch.io.sources.protocol import AnySpec, SourceSpec, StackSpec
from simsearch.io.tables.records.journal import JOURNAL_NAME

if TYPE_CHECKING:
    from simsearch.errors import SimSearchError
    from simsearch.io.ome_zarr.plates.wells import Well
    from simsearch.io.tables.plate_maps.file import PlateMap

PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image to be made."""

    name: str
    """For messages and progress."""
    path: str
    """Path in its product; empty if it is the product."""
    spec: AnySpec
    well: Well | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """An OME-Zarr to be made: an image or a plate."""

    destination: Path
    images: tuple[PlannedImage, ...]
    is_plate: bool = False
    plate_map: PlateMap = field(default_factory=dict)
    pixel_size_um: tuple[float, float] | None = None
    """Height and width in micrometres, where a file beside the images says."""

    @property
    def partial(self) -> Path:
        """Where it is made; moved to its destination when it is complete.

        In an object store, where nothing is moved, at its destination, which has a journal until it is complete.
        """
        if in_store(self.destination):
            return self.destination
        return self.destination.with_name(self.destination.name + PARTIAL)

    def group(self, image: PlannedImage) -> str:
        """Path of an image that is being made."""
        return str(self.partial / image.path)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a conversion will make, and what it cannot."""

    products: tuple[Product, ...]
    failures: tuple[tuple[str, SimSearchError], ...] = ()
    notes: tuple[str, ...] = ()


def is_begun(destination: Path) -> bool:
    """Tell whether a conversion into an object store has not been completed."""
    return in_store(destination) is not None and (destination / JOURNAL_NAME).exists()


def fingerprint(product: Product, options: dict[str, Any]) -> str:
    """Hash what is converted (paths, sizes and times of change) and how."""
    specs = [spec for image in product.images for spec in _files(image.spec)]
    facts = [
        (spec.path, str(spec.z), str(spec.t), str(spec.series), str(spec.plane), *_stamp(spec.path)) for spec in specs
    ]
    places = [(image.path, image.name) for image in product.images]
    facts = [*facts, ("pixel size", str(product.pixel_size_um))]
    return hashlib.sha256(json.dumps([facts, places, options], sort_keys=True).encode()).hexdigest()


def source_names(spec: AnySpec) -> list[str]:
    """Names of the files of an image."""
    return [each.path if is_remote(each.path) else Path(each.path).name for each in _files(spec)]


def _files(spec: AnySpec) -> list[SourceSpec]:
    return [plane for planes in spec.channels for plane in planes] if isinstance(spec, StackSpec) else [spec]


def _stamp(path: str) -> tuple[int, ...]:
    if is_remote(path):
        return ()
    for each in (Path(path) / "zarr.json", Path(path) / ".zattrs", Path(path)):
        try:
            found = each.stat()
        except OSError:
            continue
        return found.st_size, found.st_mtime_ns
    written = written_at(path)  # of the archive that it lies in
    return () if written is None else (written,)
