"""What a conversion will make of its sources: images, a folder of images, or a plate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from simsearch.core.checks.names import in_one_line
from simsearch.core.checks.options import check_among
from simsearch.errors import ConfigError, SimSearchError, SourceError, StoreError
from simsearch.io.ome_zarr.plates.hierarchy import image_locations, is_plate, read_plate, read_plate_map
from simsearch.io.ome_zarr.plates.wells import make_well, parse_well
from simsearch.io.ome_zarr.stores import as_location, image_name, is_archived, is_group_folder, is_remote, stem
from simsearch.io.ome_zarr.writing import check_ome_version
from simsearch.io.places import output_place
from simsearch.io.sources.folders import list_folder, walk_files
from simsearch.io.sources.formats import SUFFIXES, list_series
from simsearch.io.sources.microscopes.kinds import is_dicom_folder
from simsearch.io.sources.plates.cellprofiler_table import read_cellprofiler_table
from simsearch.io.sources.plates.files import PlateField, PlateListing, arrange_fields, order_channels
from simsearch.io.sources.plates.patterns import find_pattern, fitting_preset, match_files
from simsearch.io.sources.protocol import AnySpec, SourceSpec, Stack, StackSpec
from simsearch.io.sources.series import ALL, file_name_of
from simsearch.io.sources.tiff.file import COMPANION, one_of_each_set
from simsearch.io.tables.plate_maps.file import PlateMap, PlateMapFile, load_plate_map
from simsearch.workflows.convert.products import Plan, PlannedImage, Product, is_begun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from simsearch.io.ome_zarr.image import Selection
    from simsearch.io.ome_zarr.writing import OmeVersion
    from simsearch.io.sources.plates.foreign_paths import PathMap

_TABLES = (".csv", ".tsv")
_N_NAMES = 1000  # that are looked at for what a folder may be


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
    stack: Stack | None = None
    """What the planes of a stack are, where files do not say, or say wrong: channels, z or t."""
    plate_pattern: str | None = None
    """Name of a pattern of file names, or a regular expression with named groups: makes a plate."""
    plate_map: Path | None = None
    """Table with a column ``well`` and any others, stored with the plate."""
    path_map: PathMap = ()
    """What paths in a LoadData table begin with, and where that is on this machine."""
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

    def __post_init__(self) -> None:
        check_ome_version(self.ome_version)
        if self.stack is not None:
            check_among("stack", self.stack, get_args(Stack))


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
    locations = [_location(source) for source in sources]
    target = output_place(destination).absolute()
    said = load_plate_map(options.plate_map) if options.plate_map else PlateMapFile({})
    plan = _plate_plan(locations, target, options, said.wells) or _image_plan(locations, target, options)
    if options.series == ALL and any(product.is_plate for product in plan.products):
        raise ConfigError("expected one image a file for a plate, got --series all: name one with --series NAME")
    for product in plan.products:
        _check_destination(product.destination, overwrite=options.overwrite)
    return replace(plan, notes=said.notes + plan.notes)


def _location(source: str | Path) -> str:
    location = as_location(source)
    if is_remote(location) and Path(location).suffix.lower() in SUFFIXES - {".zarr"}:
        raise SourceError(f"{location}: expected the URL of an OME-Zarr, got that of an image file: download it")
    return location if is_remote(location) else str(Path(location).absolute())


def _plate_plan(locations: list[str], target: Path, options: ConvertOptions, plate_map: PlateMap) -> Plan | None:
    listing = _list_plates(locations, options)
    if listing is None and len(locations) == 1 and _is_zarr(locations[0]) and is_plate(locations[0]):
        return _plate_copy(locations[0], target, options, plate_map)
    if listing is None:
        if options.plate_map:
            option = _plate_option(path for location in locations for path in _images_in(location))
            raise ConfigError(f"expected a plate for the plate map, got plain images: add {option}")
        return None
    order = order_channels(listing.files, listing.channel_names, options.channel_names, listing.channels)
    names = sorted({file.plate for file in listing.files})
    _check_plates(names, target, plate_map)
    products: list[Product] = []
    failures: list[tuple[str, SimSearchError]] = []
    for name in names:
        files = [file for file in listing.files if file.plate == name]
        before = f"{name}/" if len(names) > 1 else ""
        fields, lacking = arrange_fields(files, order, options.z, options.t)
        images = [_planned(each, before, options) for each in fields]
        destination = target / f"{file_name_of(name)}.ome.zarr" if before else target
        failures += [(before + field, error) for field, error in lacking]
        if images or not before:
            products.append(_plate(destination, images, plate_map, listing.pixel_size_um))
    notes = [note for product in products for note in _map_notes(product)]
    return Plan(tuple(products), tuple(failures), (*listing.notes, *notes))


def _list_plates(locations: list[str], options: ConvertOptions) -> PlateListing | None:
    """List the files of plates; None if sources are none."""
    if options.plate_pattern:
        return match_files(locations, find_pattern(options.plate_pattern))
    if any(location.lower().endswith(_TABLES) for location in locations):
        if len(locations) > 1:
            raise ConfigError(f"expected one LoadData table, got {len(locations)} sources: name only {locations[0]}")
        return read_cellprofiler_table(locations[0], options.path_map)
    if options.path_map:
        raise ConfigError("expected a LoadData table for --path-map, got other sources: leave it out")
    return None


def _check_plates(names: list[str], target: Path, plate_map: PlateMap) -> None:
    listed = in_one_line(", ".join(names))
    if len(names) > 1 and target.suffix == ".zarr":
        raise SourceError(
            f"expected one plate for {target}, got {listed}: leave the suffix out for a folder with an OME-Zarr of each"
        )
    if len(names) > 1 and plate_map:
        raise ConfigError(f"expected one plate for the plate map, got {listed}: convert them one at a time")
    same = [name for name, n in Counter(map(file_name_of, names)).items() if n > 1]
    if same:
        raise SourceError(f"expected plates of different names, got several that would be {same[0]}: rename them")


def _plate_copy(location: str, target: Path, options: ConvertOptions, plate_map: PlateMap) -> Plan:
    images = []
    plate = read_plate(location)
    for each in plate.fields:
        well = make_well(*each.well.split("/")) if each.well.count("/") == 1 else None
        if well is None:
            raise SourceError(
                f"{each.path}: expected a well whose row is a letter or a number and whose column is a number, up to "
                f"AF/48, got {each.well}: rename its folders"
            )
        path = f"{well.path}/{each.path.rsplit('/', 1)[-1]}"
        images.append(PlannedImage(path, path, SourceSpec(each.path, options.z, options.t), well))
    stored = {well: row for row in read_plate_map(location) if (well := parse_well(row["well"]))}
    product = _plate(target, images, plate_map or stored)
    return Plan((product,), notes=plate.notes + _map_notes(product))


def _plate(
    target: Path, images: list[PlannedImage], plate_map: PlateMap, pixel_size_um: tuple[float, float] | None = None
) -> Product:
    if target.suffix != ".zarr":
        raise ConfigError(f"expected a destination that ends with .ome.zarr for a plate, got {target}: add the suffix")
    return Product(target, tuple(images), is_plate=True, plate_map=plate_map, pixel_size_um=pixel_size_um)


def _planned(each: PlateField, before: str, options: ConvertOptions) -> PlannedImage:
    return PlannedImage(before + each.path, each.path, _with_choices(each.spec, options), each.well)


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
    paths, notes = one_of_each_set([path for location in locations for path in _expanded(location)])
    if target.suffix == ".zarr":
        return replace(_one_image(paths, target, options), notes=notes)
    if preset := fitting_preset([Path(path).name for path in paths]):
        notes += (f"files are named as those of a plate: --plate-pattern {preset} makes one of them",)
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
    return Plan(tuple(products), tuple(failures), notes)


def _one_image(paths: list[str], target: Path, options: ConvertOptions) -> Plan:
    images = _images_of(_stem(paths[0]), paths[0], options) if len(paths) == 1 else []
    if len(images) != 1:
        n_images = max(len(paths), len(images))
        raise ConfigError(
            f"expected one image for {target}, got {n_images}: leave the suffix out for a folder of images, or make a "
            f"plate with {_plate_option(paths)}"
        )
    return Plan((Product(target, tuple(images)),))


def _images_of(name: str, path: str, options: ConvertOptions) -> list[PlannedImage]:
    spec = SourceSpec(path, options.z, options.t, options.series, stack=options.stack)
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
    found = [str(path) for path in list_folder(folder) if path.name.lower().endswith(tuple(SUFFIXES))]
    if is_dicom_folder(folder):
        found.append(location)
    if not found:
        raise SourceError(
            f"{location}: expected a folder of images or an OME-Zarr, got no image in it: name the folder with the "
            f"images, or add {_plate_option(_images_in(location))}"
        )
    return [path for each in found for path in (image_locations(each) if _is_zarr(each) else [each])]


def _plate_option(paths: Iterable[str | Path]) -> str:
    """Write the option that makes a plate of files, with the preset that fits their names."""
    preset = fitting_preset([Path(path).name for path in paths])
    return f"--plate-pattern {preset}" if preset else "--plate-pattern"


def _images_in(location: str) -> Iterator[Path]:
    """List the first images of a folder, and of those in it."""
    files = walk_files(Path(location)) if not is_remote(location) and Path(location).is_dir() else iter(())
    return islice((path for path in files if path.name.lower().endswith(tuple(SUFFIXES))), _N_NAMES)


def _is_zarr(location: str) -> bool:
    if is_remote(location) or is_archived(location):
        return True
    folder = Path(location)
    return folder.is_dir() and (folder.suffix == ".zarr" or is_group_folder(folder))


def _stem(path: str) -> str:
    if _is_zarr(path):
        return image_name(path).replace("/", "_")
    name = Path(path).name
    for suffix in (".ome.tiff", ".ome.tif", COMPANION):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return stem(Path(name).stem)


def _distinct(paths: list[str]) -> list[str]:
    # Where a.png and a.tif meet, both keep their suffix.
    counts = Counter(map(_stem, paths))
    return [_stem(path) if counts[_stem(path)] == 1 else path.rsplit("/", 1)[-1] for path in paths]


def _check_destination(destination: Path, *, overwrite: bool) -> None:
    if not destination.exists() or is_begun(destination):
        return
    if not overwrite:
        raise StoreError(
            f"{destination}: expected nothing there, got an earlier result: add --overwrite or another name"
        )
    is_zarr = any((destination / name).exists() for name in ("zarr.json", ".zgroup"))
    if not is_zarr and not (destination.is_dir() and not any(destination.iterdir())):
        raise StoreError(f"{destination}: expected a Zarr to overwrite, got something else: choose another name")


def _with_choices(spec: AnySpec, options: ConvertOptions) -> AnySpec:
    # What a table says of a file goes before what is said of all.
    if isinstance(spec, StackSpec):
        channels = tuple(tuple(_chosen(each, options) for each in files) for files in spec.channels)
        return replace(spec, channels=channels)
    return _chosen(spec, options)


def _chosen(spec: SourceSpec, options: ConvertOptions) -> SourceSpec:
    return replace(spec, series=spec.series or options.series, stack=options.stack)
