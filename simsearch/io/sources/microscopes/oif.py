"""Olympus's OIF (a folder of planes) and OIB (the same in one file) through oiffile and tifffile."""

from __future__ import annotations

import re
from collections import defaultdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import zarr
from tifffile import TiffFile

from simsearch.core.pixel_size import believable_pixel_size
from simsearch.errors import SourceError
from simsearch.io.sources.microscopes.container import SeriesFacts, check_piece, library
from simsearch.io.sources.series import SeriesInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region

_PLANE = re.compile(r"s_((?:[A-Z]\d+)+)(-R\d+)?\.tif", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"(\d+),(\d+)(?:\.0*)?")  # FluoView on a German Windows writes 0,207.0


class _Folder:
    """A settings file with its planes in a folder beside it."""

    def __init__(self, path: str) -> None:
        self._folder = Path(f"{path}.files")
        if not self._folder.is_dir():
            raise SourceError(f"{path}: expected its planes in {self._folder.name}, got no such folder: fetch it too")
        self.names = sorted(each.name for each in self._folder.iterdir())
        self.settings = library("oiffile", path).SettingsFile(path)

    def open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("rb")

    def close(self) -> None:
        pass


class _Compound:
    """The same in a compound file, through olefile: oiffile follows chains of sectors that close on themselves."""

    def __init__(self, path: str) -> None:
        oiffile, olefile = library("oiffile", path), library("olefile", path)
        self._file = olefile.OleFileIO(path)
        streams = {parts[-1]: parts for parts in self._file.listdir()}
        if "OibInfo.txt" not in streams:
            self._file.close()
            raise SourceError(
                f"{path}: expected an OIB of Olympus, got another kind of compound file: export it as OME-TIFF"
            )
        try:
            info = oiffile.SettingsFile(self._file.openstream("OibInfo.txt"), "OibInfo.txt")["OibSaveInfo"]
            self._streams = {
                str(name).rsplit("/", 1)[-1]: streams[stream]
                for stream, name in info.items()
                if stream.startswith("Stream") and stream in streams
            }
            self.names = sorted(self._streams)
            self.settings = oiffile.SettingsFile(self.open(info[info["MainFileName"]]), "main")
        except BaseException:
            self._file.close()
            raise

    def open(self, name: str) -> BinaryIO:
        return BytesIO(self._file.openstream(self._streams[name]).read())

    def close(self) -> None:
        self._file.close()


class OifContainer:
    """An OIF or OIB file: the acquisition, and pictures of where it was made."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files = _Folder(path) if path.lower().endswith(".oif") else _Compound(path)
        try:
            self._groups = _groups(self._files.names)
            if not self._groups:
                raise SourceError(f"{path}: expected planes such as s_C001.tif, got none: its other files are missing")
            self._pages = [self._page(next(iter(group.values()))) for group in self._groups.values()]
            self.series = [
                SeriesInfo(name, shape, is_extra=name != "acquisition")
                for name, (shape, _) in zip(self._groups, self._pages, strict=True)
            ]
        except BaseException:
            self._files.close()
            raise

    def describe(self, index: int) -> SeriesFacts:
        """Tell what is known of an image."""
        channels, planes, times = self._axes(index)
        size, doubt = self._pixel_size(next(iter(self._group(index).values())))
        n_missing = len(channels) * len(planes) * len(times) - len(self._group(index))
        if n_missing:
            raise SourceError(f"{self._path}: expected a plane for every step, got {n_missing} less: files are missing")
        return SeriesFacts(
            dtype=self._pages[index][1],
            channel_names=tuple(self._channel_name(c, band) for c, band in channels),
            channel_colors=(None,) * len(channels),
            pixel_size_um=size,
            n_planes=len(planes),
            n_times=len(times),
            notes=(doubt,),
        )

    def read(self, index: int, region: Region, z: int, t: int) -> NDArray[np.generic]:
        """Read the strips of a region from the files of all channels."""
        channels, planes, times = self._axes(index)
        group = self._group(index)
        names = [group[(c, band, planes[z], times[t])] for c, band in channels]
        return np.stack([self._plane(name, region, self._pages[index]) for name in names])

    def close(self) -> None:
        """Close the file."""
        self._files.close()

    def _group(self, index: int) -> dict[tuple[int, int, int, int], str]:
        return list(self._groups.values())[index]

    def _axes(self, index: int) -> tuple[list[tuple[int, int]], list[int], list[int]]:
        places = list(self._group(index))
        return sorted({at[:2] for at in places}), sorted({at[2] for at in places}), sorted({at[3] for at in places})

    def _page(self, name: str) -> tuple[tuple[int, int], np.dtype[Any]]:
        with self._files.open(name) as file, TiffFile(file, name=name) as tiff:
            page = tiff.pages.first
            if len(page.shape) != 2:
                raise ValueError(f"a plane of shape {page.shape} in {name}")
            return (page.shape[0], page.shape[1]), np.dtype(page.dtype)

    def _plane(self, name: str, region: Region, like: tuple[tuple[int, int], np.dtype[Any]]) -> NDArray[np.generic]:
        with self._files.open(name) as file, TiffFile(file, name=name) as tiff:
            page = tiff.pages.first
            if (page.shape, page.dtype) != like:
                raise ValueError(f"{page.shape} px {page.dtype} in {name}, and {like[0]} px {like[1]} in another plane")
            ends = np.add(page.dataoffsets, page.databytecounts)
            if not ends.size or 0 in page.databytecounts or int(ends.max()) > tiff.filehandle.size:
                raise ValueError(f"a cut off {name}")
            check_piece(int(np.prod(page.chunks)) * np.dtype(page.dtype).itemsize, self._path)
            pixels: NDArray[np.generic] = np.asarray(zarr.open_array(page.aszarr(), mode="r")[region.slices])
            return pixels

    def _channel_name(self, channel: int, band: int) -> str:
        told = self._files.settings.get(f"Channel {channel} Parameters", {})
        names = (str(told.get(key) or "") for key in ("DyeName", "CH Name"))
        name = next((name for name in names if name not in ("", "None")), "")
        return f"{name or f'Channel {channel}'} band {band}" if band else name

    def _pixel_size(self, plane: str) -> tuple[tuple[float, float] | None, str | None]:
        told = self._files.settings.get("Reference Image Parameter", {})
        beside = Path(plane).with_suffix(".pty").name
        if beside in self._files.names:
            own = library("oiffile", self._path).SettingsFile(self._files.open(beside), beside)
            told = own.get("Image Parameters", told)
        sides = [_number(told.get(f"{side}ConvertValue")) for side in ("Height", "Width")]
        units = [str(told.get(f"{side}Unit", "")) for side in ("Height", "Width")]
        if None in sides:
            return None, None
        return believable_pixel_size((sides[0], sides[1]), (units[0], units[1]))


def _groups(names: Iterable[str]) -> dict[str, dict[tuple[int, int, int, int], str]]:
    # Planes whose names have the same letters are one image; R marks where a line was scanned.
    groups: dict[str, dict[tuple[int, int, int, int], str]] = defaultdict(dict)
    for name in names:
        found = _PLANE.fullmatch(name)
        if found is None:
            continue
        at = {letter.upper(): int(number) for letter, number in re.findall(r"([A-Za-z])(\d+)", found[1])}
        others = "".join(f" {letter}{number}" for letter, number in at.items() if letter not in "CLZT")
        image = ("reference " + found[2][1:] if found[2] else "acquisition") + others
        groups[image][(at.get("C", 1), at.get("L", 0), at.get("Z", 1), at.get("T", 1))] = name
    return dict(sorted(groups.items(), key=lambda group: group[0].startswith("reference")))


def _number(value: object) -> object:
    comma = _DECIMAL_COMMA.fullmatch(value) if isinstance(value, str) else None
    return f"{comma[1]}.{comma[2]}" if comma else value
