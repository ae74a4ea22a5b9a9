"""DICOM whole slides through wsidicom: of a region only its tiles are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.io.sources.microscopes.container import SeriesFacts, check_piece, library
from simsearch.io.sources.protocol import source_errors
from simsearch.io.sources.series import SeriesInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_MARK_AT, _MARK = 128, b"DICM"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_AFTER_THE_MATRIX = 0x00490000  # tags are sorted: what follows describes every single frame
_SAME_ORIGIN_MM = 0.05  # levels of one section start within a pixel of the coarsest of them


@dataclass(frozen=True, slots=True)
class _Level:
    """What the head of a file says: which slide, and which level of it."""

    path: str
    series: str
    name: str
    shape: tuple[int, int]
    origin_mm: tuple[float, float]
    is_extended: bool
    """Computed from several focal planes."""
    paths: tuple[tuple[str, str], ...]
    """Identifiers and descriptions of its optical paths."""


class DicomContainer:
    """A folder of slides, or the slide that a file belongs to."""

    def __init__(self, path: str) -> None:
        library("wsidicom", path)
        self._path = path
        self._open_slide: tuple[int, Any] | None = None
        levels = _levels(path)
        if not levels:
            raise SourceError(f"{path}: expected a DICOM whole slide, got other DICOM: save it as TIFF first")
        self._sections = _sections(levels)
        self.series = [SeriesInfo(_name(section, self._sections), section[0].shape) for section in self._sections]

    def describe(self, index: int) -> SeriesFacts:
        """Tell what is known of a slide."""
        level = self._base(index)
        instance = level.default_instance
        tile = instance.tile_size
        check_piece(2 * 3 * tile.width * tile.height, self._path)
        size, doubt = None, None
        if level.pixel_spacing is not None:
            size, doubt = believable_pixel_size((level.pixel_spacing.height, level.pixel_spacing.width), "mm")
        names = self._names(index, level)
        return SeriesFacts(
            dtype=instance.image_data.dtype,
            channel_names=names,
            channel_colors=(None,) * len(names),
            pixel_size_um=size,
            n_planes=len(self._focal_planes(level)),
            notes=(doubt,),
        )

    def read(self, index: int, region: Region, z: int, t: int) -> NDArray[np.generic]:
        """Read a region of all optical paths."""
        level = self._base(index)
        slide = self._slide(index)
        height, width = region.shape
        focus = self._focal_planes(level)[z]
        planes = [
            np.atleast_3d(
                slide.read_region((region.x0, region.y0), 0, (width, height), z=focus, path=path, as_array=True)
            )
            for path in self._paths(index)
        ]
        return np.moveaxis(np.concatenate(planes, axis=-1), -1, 0)

    def close(self) -> None:
        """Close the files."""
        if self._open_slide is not None:
            self._open_slide[1].close()
            self._open_slide = None

    def _slide(self, index: int) -> Any:  # noqa: ANN401  wsidicom's WsiDicom
        if self._open_slide is None or self._open_slide[0] != index:
            self.close()
            section = self._sections[index]
            files = [level.path for level in section if level.shape == section[0].shape]
            slide = library("wsidicom", self._path).WsiDicom.open(files)
            self._open_slide = index, slide
            n_open = len(slide.files or [])
            if n_open != len(files):
                raise ValueError(f"{len(files) - n_open} of {len(files)} files of its finest level cannot be read")
        return self._open_slide[1]

    def _base(self, index: int) -> Any:  # noqa: ANN401  wsidicom's Level
        return self._slide(index).pyramids[0].base_level

    def _focal_planes(self, level: Any) -> list[float]:  # noqa: ANN401
        planes = {tuple(sorted(each)) for each in level.focal_planes_by_optical_path.values()}
        if len(planes) != 1:
            raise SourceError(f"{self._path}: expected the same focal planes for all channels, got {sorted(planes)}")
        return list(planes.pop())

    def _told(self, index: int) -> dict[str, str]:
        return {path: name for level in self._sections[index] for path, name in level.paths}

    def _paths(self, index: int) -> list[str]:
        # wsidicom has them in another order in every process.
        order = {path: i for i, path in enumerate(self._told(index))}
        return sorted(self._base(index).optical_paths, key=lambda path: (order.get(path, len(order)), path))

    def _names(self, index: int, level: Any) -> tuple[str, ...]:  # noqa: ANN401
        told = self._told(index)
        paths = [told.get(path, "") for path in self._paths(index)]
        if level.default_instance.image_data.samples_per_pixel == 1:
            return tuple(paths)
        if len(paths) == 1:
            return RGB_NAMES
        return tuple(f"{path or f'Channel {i}'} {sample}" for i, path in enumerate(paths, 1) for sample in RGB_NAMES)


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, of any kind."""
    with path.open("rb") as file:
        return file.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK


def _levels(path: str) -> list[_Level]:
    pydicom = library("pydicom", path)
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    found = [_level(pydicom, each) for each in sorted(folder.iterdir()) if each.is_file() and is_dicom(each)]
    levels = [level for level in found if level is not None]
    if folder == Path(path):
        return levels
    own = next((level for level in levels if Path(level.path) == Path(path)), None) or _level(pydicom, Path(path))
    return [level for level in levels if own is not None and level.series == own.series]


def _level(pydicom: Any, path: Path) -> _Level | None:  # noqa: ANN401  a module
    with source_errors(str(path), "a DICOM file"), path.open("rb") as file:
        if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
            raise ValueError("a deflated file, which may unpack to any size")
        head = pydicom.filereader.read_partial(file, stop_when=lambda tag, *_: tag >= _AFTER_THE_MATRIX)
        kind = list(head.get("ImageType") or [])
        if head.get("SOPClassUID") != _WHOLE_SLIDE or "VOLUME" not in kind:
            return None  # the label, an overview, annotations
        origin: Any = next(iter(head.get("TotalPixelMatrixOriginSequence") or []), {})
        return _Level(
            path=str(path),
            series=str(head.SeriesInstanceUID),
            name=str(head.get("SeriesDescription") or head.get("ContainerIdentifier") or path.stem),
            shape=(int(head.TotalPixelMatrixRows), int(head.TotalPixelMatrixColumns)),
            origin_mm=(_offset(origin, "X"), _offset(origin, "Y")),
            is_extended=str(head.get("ExtendedDepthOfField")) == "YES",
            paths=tuple(
                (str(each.get("OpticalPathIdentifier")), str(each.get("OpticalPathDescription") or ""))
                for each in head.get("OpticalPathSequence") or []
            ),
        )


def _offset(origin: Any, axis: str) -> float:  # noqa: ANN401  pydicom's Dataset
    return float(origin.get(f"{axis}OffsetInSlideCoordinateSystem") or 0)


def _sections(levels: Iterable[_Level]) -> list[list[_Level]]:
    """Group the levels of each piece of tissue, the finest first."""
    sections: list[list[_Level]] = []
    for level in sorted(levels, key=lambda level: level.shape, reverse=True):
        same = next((section for section in sections if _are_one(section[0], level)), None)
        if same is None:
            sections.append([level])
        else:
            same.append(level)
    return sections


def _are_one(one: _Level, other: _Level) -> bool:
    distance = max(abs(a - b) for a, b in zip(one.origin_mm, other.origin_mm, strict=True))
    return (one.series, one.is_extended) == (other.series, other.is_extended) and distance <= _SAME_ORIGIN_MM


def _name(section: list[_Level], sections: list[list[_Level]]) -> str:
    alike = [each for each in sections if each[0].name == section[0].name]
    return section[0].name if len(alike) == 1 else f"{section[0].name} {alike.index(section) + 1}"
