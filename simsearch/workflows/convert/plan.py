"""What a conversion will make of its sources: images, a folder of images, or a plate."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsearch.errors import ConfigError, SimSearchError, SourceError, StoreError
from simsearch.io.ome_zarr.plate import image_locations, is_plate, plate_fields, read_plate_map
from simsearch.io.ome_zarr.stores import as_location, image_name, is_remote, stem
from simsearch.io.ome_zarr.wells import Well, parse_well
from simsearch.io.sources.cellprofiler_table import read_cellprofiler_table
from simsearch.io.sources.formats import SUFFIXES, list_series
from simsearch.io.sources.microscopes import is_dicom_folder
from simsearch.io.sources.plate_files import PlateField, arrange_fields, order_channels
from simsearch.io.sources.plate_patterns import find_pattern, match_files
from simsearch.io.sources.protocol import AnySpec, SourceSpec, StackSpec
from simsearch.io.sources.series import ALL, file_name_of
from simsearch.io.tables.plate_map import PlateMap, load_plate_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.io.ome_zarr.image import Selection
    from simsearch.io.ome_zarr.writing import OmeVersion

PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """How to convert."""

    ome_version: OmeVersion = "0.5"
    """Version of OME-Zarr."""
    z: Selection = None
    """Index of the z plane, or ``max`` for the maximum over all."""
    t: Selection = None
    """Index of the time point, or ``max`` for the maximum over all."""
    series: str | None = None
    """Name or index of one of several images in a file, or ``all``; by default the largest at full resolution."""
    plate_pattern: str | None = None
    """Name of a pattern of file names, or a regular expression with named groups: makes a plate."""
    plate_map: Path | None = None
    """CSV file with a column ``well`` and any others, stored with the plate."""
    channel_names: tuple[str, ...] = ()
    """Names of the channels, in order; by default those of the files."""
    pixel_size_um: tuple[float, float] | None = None
    """Height and width of a pixel in micrometres; by default what the files say."""
    chunk: int = 256
    """Side of a chunk in pixels."""
    shard: int = 2048
    """Side of a shard in pixels, also of a tile."""
    overwrite: bool = False
    """Replace an earlier result, when the new one is complete."""
    skip_errors: bool = False
    """Leave out what cannot be converted, and list it."""


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

    @property
    def partial(self) -> Path:
        """Where it is made; moved to its destination when it is complete."""
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


def plan_conversion(sources: Sequence[str | Path], destination: str | Path, options: ConvertOptions) -> Plan:
    """Plan a conversion from names alone.

    Raises
    ------
    ConfigError
        If sources, destination and options contradict each other.
    SourceError
        If a source is not there, or two files have the same place in a plate.
    AnnotationError
        If a LoadData table or a plate map is wrong.
    StoreError
        If the destination is there and is not to be overwritten.
    """
    if not sources:
        raise ConfigError("expected at least one source, got none: name a file or a folder")
    if is_remote(str(destination)):
        raise ConfigError(f"expected a folder on this machine, got {destination}: convert here and upload the result")
    locations = [_location(source) for source in sources]
    target = Path(as_location(destination)).absolute()
    plate_map = load_plate_map(options.plate_map) if options.plate_map else {}
    plan = _plate_plan(locations, target, options, plate_map) or _image_plan(locations, target, options)
    if options.series == ALL and any(product.is_plate for product in plan.products):
        raise ConfigError("expected one image a file for a plate, got --series all: name one with --series NAME")
    for product in plan.products:
        _check_destination(product.destination, overwrite=options.overwrite)
    return plan


def fingerprint(product: Product, options: dict[str, Any]) -> str:
    """Hash what is converted (paths, sizes and times of change) and how."""
    specs = [spec for image in product.images for spec in _files(image.spec)]
    facts = [(spec.path, str(spec.z), str(spec.t), str(spec.series), *_stamp(spec.path)) for spec in specs]
    places = [(image.path, image.name) for image in product.images]
    return hashlib.sha256(json.dumps([facts, places, options], sort_keys=True).encode()).hexdigest()


def source_names(spec: AnySpec) -> list[str]:
    """Names of the files of an image."""
    return [each.path if is_remote(each.path) else Path(each.path).name for each in _files(spec)]


def _location(source: str | Path) -> str:
    location = as_location(source)
    return location if is_remote(location) else str(Path(location).absolute())


def _plate_plan(locations: list[str], target: Path, options: ConvertOptions, plate_map: PlateMap) -> Plan | None:
    known: dict[str, str] = {}
    ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    if options.plate_pattern:
        pattern = find_pattern(options.plate_pattern)
        (files, notes), known = match_files(locations, pattern), pattern.channel_names
    elif any(location.lower().endswith(".csv") for location in locations):
        if len(locations) > 1:
            raise ConfigError(f"expected one LoadData table, got {len(locations)} sources: name only {locations[0]}")
        table = read_cellprofiler_table(locations[0])
        files, ids = table.files, table.channels
    elif len(locations) == 1 and _is_zarr(locations[0]) and is_plate(locations[0]):
        return _plate_copy(locations[0], target, options, plate_map)
    elif options.plate_map:
        raise ConfigError("expected a plate for the plate map, got plain images: add --plate-pattern")
    else:
        return None
    order = order_channels(files, known, options.channel_names, ids)
    fields, failures = arrange_fields(files, order, options.z, options.t)
    fields = [replace(each, spec=_with_series(each.spec, options.series)) for each in fields]
    product = _plate(target, [_planned(each) for each in fields], plate_map)
    return Plan((product,), tuple(failures), notes + _map_notes(product))


def _plate_copy(location: str, target: Path, options: ConvertOptions, plate_map: PlateMap) -> Plan:
    images = []
    for each in plate_fields(location):
        well = parse_well(each.well.replace("/", ""))
        if well is None:
            raise SourceError(f"{each.path}: expected a well from A01 to AF48, got {each.well}: rename its folders")
        path = f"{well.path}/{each.path.rsplit('/', 1)[-1]}"
        images.append(PlannedImage(path, path, SourceSpec(each.path, options.z, options.t), well))
    stored = {well: row for row in read_plate_map(location) if (well := parse_well(str(row["well"])))}
    product = _plate(target, images, plate_map or stored)
    return Plan((product,), notes=_map_notes(product))


def _plate(target: Path, images: list[PlannedImage], plate_map: PlateMap) -> Product:
    if target.suffix != ".zarr":
        raise ConfigError(f"expected a destination that ends with .ome.zarr for a plate, got {target}: add the suffix")
    return Product(target, tuple(images), is_plate=True, plate_map=plate_map)


def _planned(each: PlateField) -> PlannedImage:
    return PlannedImage(each.path, each.path, each.spec, each.well)


def _map_notes(product: Product) -> tuple[str, ...]:
    if not product.plate_map:
        return ()
    imaged = {image.well for image in product.images if image.well}
    only_map, only_images = sorted(set(product.plate_map) - imaged), sorted(imaged - set(product.plate_map))
    notes = []
    if only_map:
        notes.append(f"{len(only_map)} wells of the plate map have no images, such as {only_map[0].name}")
    if only_images:
        notes.append(f"{len(only_images)} wells with images are not in the plate map, such as {only_images[0].name}")
    return tuple(notes)


def _image_plan(locations: list[str], target: Path, options: ConvertOptions) -> Plan:
    paths = [path for location in locations for path in _expanded(location)]
    if target.suffix == ".zarr":
        return _one_image(paths, target, options)
    stems = _distinct(paths)
    doubled = next((name for name, n in Counter(stems).items() if n > 1), None)
    if doubled is not None:
        same = [path for path, name in zip(paths, stems, strict=True) if name == doubled]
        raise ConfigError(
            f"expected images of different names, got {same[0]} and {same[1]}: convert them into two folders"
        )
    images: list[PlannedImage] = []
    failures: list[tuple[str, SimSearchError]] = []
    for name, path in zip(stems, paths, strict=True):
        try:
            images += _images_of(name, path, options)
        except SourceError as error:
            failures.append((name, error))
    products = (Product(target / f"{image.name}.ome.zarr", (image,)) for image in images)
    return Plan(tuple(products), tuple(failures))


def _one_image(paths: list[str], target: Path, options: ConvertOptions) -> Plan:
    images = _images_of(_stem(paths[0]), paths[0], options) if len(paths) == 1 else []
    if len(images) != 1:
        n_images = max(len(paths), len(images))
        raise ConfigError(
            f"expected one image for {target}, got {n_images}: leave the suffix out for a folder of images, or make a "
            "plate with --plate-pattern"
        )
    return Plan((Product(target, tuple(images)),))


def _images_of(name: str, path: str, options: ConvertOptions) -> list[PlannedImage]:
    spec = SourceSpec(path, options.z, options.t, options.series)
    if options.series != ALL:
        return [PlannedImage(name, "", spec)]
    found = [each.name for each in list_series(path)]
    if len(found) == 1:
        return [PlannedImage(name, "", replace(spec, series=None))]
    files = [file_name_of(each) for each in found]
    # Names may differ in what no file name has.
    files = [file if files.count(file) == 1 else f"{file}_{i}" for i, file in enumerate(files)]
    return [
        PlannedImage(f"{name}_{file}", "", replace(spec, series=each)) for file, each in zip(files, found, strict=True)
    ]


def _expanded(location: str) -> list[str]:
    if _is_zarr(location):
        return image_locations(location)
    folder = Path(location)
    if not folder.is_dir():
        return [location]
    found = sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if is_dicom_folder(folder):
        found.append(location)
    if not found:
        raise SourceError(
            f"{location}: expected a folder of images or an OME-Zarr, got no image in it: name the folder with the "
            "images, or add --plate-pattern"
        )
    return [path for each in found for path in (image_locations(each) if _is_zarr(each) else [each])]


def _is_zarr(location: str) -> bool:
    if is_remote(location):
        return True
    folder = Path(location)
    return folder.is_dir() and (
        folder.suffix == ".zarr" or any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs"))
    )


def _stem(path: str) -> str:
    if _is_zarr(path):
        return image_name(path).replace("/", "_")
    name = Path(path).name
    for suffix in (".ome.tiff", ".ome.tif"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return stem(Path(name).stem)


def _distinct(paths: list[str]) -> list[str]:
    # Where a.png and a.tif meet, both keep their suffix.
    counts = Counter(map(_stem, paths))
    return [_stem(path) if counts[_stem(path)] == 1 else path.rsplit("/", 1)[-1] for path in paths]


def _check_destination(destination: Path, *, overwrite: bool) -> None:
    if not destination.exists():
        return
    if not overwrite:
        raise StoreError(
            f"{destination}: expected nothing there, got an earlier result: add --overwrite or another name"
        )
    is_zarr = any((destination / name).exists() for name in ("zarr.json", ".zgroup"))
    if not is_zarr and not (destination.is_dir() and not any(destination.iterdir())):
        raise StoreError(f"{destination}: expected a Zarr to overwrite, got something else: choose another name")


def _with_series(spec: AnySpec, series: str | None) -> AnySpec:
    if series is None:
        return spec
    if isinstance(spec, StackSpec):
        channels = tuple(
            tuple(replace(each, series=each.series or series) for each in files) for files in spec.channels
        )
        return replace(spec, channels=channels)
    return replace(spec, series=spec.series or series)


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
    return ()
