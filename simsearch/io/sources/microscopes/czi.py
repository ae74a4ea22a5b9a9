"""Zeiss's CZI through pylibCZIrw: of a mosaic only the tiles that a region touches are decoded."""

from __future__ import annotations

import re
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.errors import SourceError
from simsearch.io.ome_zarr.colors import RGB_NAMES
from simsearch.io.sources.microscopes.container import SeriesFacts, check_piece, library
from simsearch.io.sources.microscopes.czi_blocks import TileLengths
from simsearch.io.sources.series import SeriesInfo
from simsearch.io.tables.xml import parse_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_DTYPES = {
    "Gray8": np.uint8,
    "Gray16": np.uint16,
    "Gray32Float": np.float32,
    "Bgr24": np.uint8,
    "Bgr48": np.uint16,
}
_OTHER_AXES = {"R": "rotations", "I": "illuminations", "H": "phases", "V": "views", "B": "blocks"}
_MOST_STEPS = 100  # of channels, planes or time points for each tile: some may be missing, but not nearly all
_MOST_PIXELS = 2**28  # of a mosaic, a hundredth of what it may have for each tile
_WHITE = (1.0, 1.0, 1.0)  # where a camera in colour has not been, there is no tissue
_BLACK = (0.0, 0.0, 0.0)


class CziContainer:
    """A CZI file."""

    def __init__(self, path: str) -> None:
        self._path = path
        with ExitStack() as stack:
            self._file = library("pylibCZIrw.czi", path).CziReader(path)
            stack.callback(self._file.close)
            self._lengths = TileLengths(stack.enter_context(Path(path).open("rb")))
            self._open()
            self._stack = stack.pop_all()

    def _open(self) -> None:
        self._axes: dict[str, tuple[int, int]] = self._file.total_bounding_box_no_pyramid
        self._xml = parse_xml((self._file.raw_metadata or "<ImageDocument/>").encode(), self._path)
        scenes = self._file.scenes_bounding_rectangle_no_pyramid
        self._keys: list[int | None] = sorted(scenes) or [None]  # numbers of scenes may have gaps
        self._boxes = [scenes[key] for key in sorted(scenes)] or [self._file.total_bounding_rectangle_no_pyramid]
        names = {each.get("Index"): each.get("Name") for each in self._xml.iterfind(".//Dimensions/S/Scenes/Scene")}
        self.series = [
            SeriesInfo(names.get(str(key)) or f"scene {(key or 0) + 1}", (box.h, box.w))
            for key, box in zip(self._keys, self._boxes, strict=True)
        ]
        self._check_extent()
        self._pixel_types = [self._file.get_channel_pixel_type(c) for c in self._channels]

    def _check_extent(self) -> None:
        counted = count()
        self._file.enumerate_subblocks(lambda *_: next(counted) >= 0)
        n_tiles = next(counted)
        if not n_tiles or min(min(box.h, box.w) for box in self._boxes) < 1:
            raise SourceError(f"{self._path}: expected an image, got a CZI without tiles: export it again")
        most = max(*(self._length(axis) for axis in "CZT"), *(box.h * box.w // _MOST_PIXELS for box in self._boxes))
        if most > _MOST_STEPS * n_tiles:
            raise ValueError(f"{n_tiles} tiles for channels, planes, time points or a size that take {most}")

    @property
    def _channels(self) -> range:
        return range(*self._axes.get("C", (0, 1)))

    def describe(self, index: int) -> SeriesFacts:
        """Tell what is known of a scene."""
        unknown = next((each for each in self._pixel_types if each not in _DTYPES), None)
        if unknown:
            raise SourceError(
                f"{self._path}: expected pixels of type {', '.join(_DTYPES)}, got {unknown}: export it in one of them"
            )
        names, colors = self._names_and_colors()
        size, doubt = self._pixel_size()
        return SeriesFacts(
            dtype=np.result_type(*(_DTYPES[each] for each in self._pixel_types)),
            channel_names=names,
            channel_colors=colors,
            pixel_size_um=size,
            n_planes=self._length("Z"),
            n_times=self._length("T"),
            notes=(doubt, *self._notes()),
        )

    def read(self, index: int, region: Region, z: int, t: int) -> NDArray[np.generic]:
        """Compose a region from the tiles that it touches."""
        return np.concatenate(
            [
                self._read_channel(index, region, {"C": c, "Z": self._first("Z") + z, "T": self._first("T") + t})
                for c in self._channels
            ]
        )

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _read_channel(self, index: int, region: Region, plane: dict[str, int]) -> NDArray[np.generic]:
        box, scene = self._boxes[index], self._keys[index]
        height, width = region.shape
        roi = (box.x + region.x0, box.y + region.y0, width, height)
        pixel_type = self._pixel_types[plane["C"] - self._channels.start]
        self._check_tiles(index, roi, plane)
        is_rgb = pixel_type.startswith("Bgr")
        pixels: NDArray[np.generic] = self._file.read(
            roi=roi,
            plane=plane,
            scene=scene,
            pixel_type=pixel_type,
            background_pixel=_WHITE if is_rgb else _BLACK,
        )
        return np.moveaxis(pixels[..., ::-1] if is_rgb else pixels, -1, 0)

    def _check_tiles(self, index: int, roi: tuple[int, int, int, int], plane: dict[str, int]) -> None:
        tiles = self._tiles(roi, plane)
        check_piece(6 * max(tiles.values(), default=0), self._path)  # a pixel has up to three samples of 16 bits
        if not tiles and not self._tiles(self._boxes[index], plane):
            raise ValueError(f"no tiles of {' '.join(f'{axis}{at}' for axis, at in plane.items())}")
        self._lengths.check(tiles)

    def _tiles(self, roi: tuple[int, int, int, int], plane: dict[str, int]) -> dict[int, int]:
        n_pixels: dict[int, int] = {}

        def add(tile: int, about: Any) -> bool:  # noqa: ANN401  libCZI's SubBlockInfo
            n_pixels[tile] = about.physicalSize.w * about.physicalSize.h
            return True

        known = {axis: at for axis, at in plane.items() if axis in self._axes}
        self._file.enumerate_subblocks_subset(add, plane=known, roi=roi, only_layer0=True)
        return n_pixels

    def _length(self, axis: str) -> int:
        start, stop = self._axes.get(axis, (0, 1))
        return stop - start

    def _first(self, axis: str) -> int:
        return self._axes.get(axis, (0, 1))[0]

    def _notes(self) -> list[str]:
        return [
            f"the first of {self._length(axis)} {noun} is read"
            for axis, noun in _OTHER_AXES.items()
            if self._length(axis) > 1
        ]

    def _pixel_size(self) -> tuple[tuple[float, float] | None, str | None]:
        found = {
            each.get("Id"): each.findtext("Value") or "" for each in self._xml.iterfind(".//Scaling/Items/Distance")
        }
        if not {"Y", "X"} <= set(found) or not any(found[axis].strip("0. ") for axis in "YX"):
            return None, None
        return believable_pixel_size((found["Y"], found["X"]), "m")

    def _names_and_colors(self) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        acquired = self._described(".//Information/Image/Dimensions/Channels/Channel")
        shown = self._described(".//DisplaySetting/Channels/Channel")
        names: list[str] = []
        colors: list[str | None] = []
        for c, pixel_type in zip(self._channels, self._pixel_types, strict=True):
            told = [each[c] for each in (acquired, shown) if c in each]
            name = next((name for each in told if (name := each.get("Name") or each.get("ShortName"))), "")
            if pixel_type.startswith("Bgr"):
                lone = len(self._channels) == 1
                names += RGB_NAMES if lone else [f"{name or f'Channel {c + 1}'} {sample}" for sample in RGB_NAMES]
                colors += [None] * 3
            else:
                names.append(name)
                colors.append(next((color for each in reversed(told) if (color := _color(each))), None))
        return tuple(names), tuple(colors)

    def _described(self, place: str) -> dict[int, Element]:
        found = {}
        for index, each in enumerate(self._xml.iterfind(place)):
            number = re.fullmatch(r"Channel:(\d+)", each.get("Id", ""))
            found[int(number[1]) if number else index] = each
        return found


def _color(element: Element) -> str | None:
    digits = re.fullmatch(r"#(?:[0-9A-Fa-f]{2})?([0-9A-Fa-f]{6})", (element.findtext("Color") or "").strip())
    return digits[1].upper() if digits else None
