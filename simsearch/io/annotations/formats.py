"""Which reader an annotation file needs: its content decides, not its suffix."""

from __future__ import annotations

import codecs
import gzip
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from simsearch.errors import AnnotationError, ConfigError, SimSearchError, SourceError
from simsearch.io.annotations import imagej
from simsearch.io.annotations.asap import parse_asap
from simsearch.io.annotations.image_scope import parse_image_scope
from simsearch.io.annotations.label_image import HEADS as PIXELS
from simsearch.io.annotations.label_image import read_labels
from simsearch.io.annotations.ndpa import SlideFrame, parse_ndpa
from simsearch.io.annotations.qupath import parse_features
from simsearch.io.ome_zarr.stores import is_group_folder
from simsearch.io.places import as_os_errors, read_at_most
from simsearch.io.tables.xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.io.annotations.regions import Found

KNOWN = (
    "a CSV, GeoJSON of QuPath, XML of ImageScope or ASAP, NDPA, regions of interest of ImageJ (.roi, .zip) or a label "
    "image (TIFF, PNG, OME-Zarr)"
)
SUFFIXES = (
    (".geojson", ".geojson.gz"),
    (".xml", ".ndpa", ".roi", ".zip"),
    (".tif", ".tiff", ".png"),
)
"""By which annotations are picked out of a folder: the first of these that are there."""

_MOST_BYTES = 2**28  # of one file; what is parsed of it takes more than ten times as much
_LEAST_BYTES = 256  # that a file in an archive costs, however little it holds
_GZIP, _ZIP = b"\x1f\x8b", b"PK"
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Readable(Protocol):
    """An open file of bytes."""

    def read(self, size: int, /) -> bytes:
        """Read at most so many."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The image that a file is about, as far as a reader must know it."""

    shape: Callable[[], tuple[int, int]]
    """Its height and width in pixels, or an error."""
    frame: Callable[[], SlideFrame]
    """Where it lies on its slide, or an error."""


def read_regions(path: Path, target: Target) -> Found | None:
    """Read regions out of an annotation file.

    Parameters
    ----------
    path : Path
        A file, or the folder of labels of OME-Zarr.
    target : Target
        What it is about.

    Returns
    -------
    Found or None
        None for plain text, as tables are.

    Raises
    ------
    SourceError
        If it cannot be read.
    AnnotationError
        If it is not what it begins as, or not about the image.
    ConfigError
        If it is of no known kind.
    """
    if path.is_dir() or is_group_folder(path):
        return read_labels(path, target.shape())
    try:
        if read_at_most(path, 4) in PIXELS:
            return read_labels(path, target.shape())
        with as_os_errors(), path.open("rb") as file:
            content = bounded(file, str(path))
    except SimSearchError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: expected {KNOWN}, got {error}: check the path") from error
    return _parsed(content, str(path), target)


def bounded(file: Readable, name: str, most_bytes: int | None = None) -> bytes:
    """Read all of a file, or refuse what is too large.

    Raises
    ------
    AnnotationError
        If it holds more.
    """
    limit = _MOST_BYTES if most_bytes is None else most_bytes
    content = file.read(limit + 1)
    if len(content) > limit:
        raise AnnotationError(
            f"{name}: expected annotations of at most {_MOST_BYTES // 2**20} MiB, got more: export what was drawn, "
            "without detections and cells"
        )
    return content


def _parsed(content: bytes, name: str, target: Target) -> Found | None:
    if not content.startswith((_GZIP, _ZIP)):
        return _plain(content, name, target)
    members = _unpacked(content, name)
    if len(members) > 1 or members[0][1].startswith(imagej.HEAD):
        return imagej.parse_rois(members)
    member = members[0][0] if content.startswith(_GZIP) else f"{name}, {members[0][0]}"
    found = _plain(members[0][1], member, target)
    if found is None:
        raise ConfigError(f"{name}: expected {KNOWN}, got an archive of {members[0][0]}: unpack it")
    return found


def _plain(content: bytes, name: str, target: Target) -> Found | None:
    if content.startswith(imagej.HEAD):
        return imagej.parse_rois([("region 1", content)])
    start = _start(content)
    if start.startswith("<"):
        return _xml(content, name, target)
    if start.startswith(("{", "[")) or name.endswith((".geojson", ".json")):
        return parse_features(content, name)
    if not start or "\0" in start:
        got = "another kind of file" if content else "an empty file"
        raise ConfigError(f"{name}: expected {KNOWN}, got {got}: export the annotations as one of these")
    return None


def _start(content: bytes) -> str:
    encoding = next((name for mark, name in _BOMS.items() if content.startswith(mark)), "utf-8")
    return content[:1024].decode(encoding, errors="ignore").lstrip()


def _xml(content: bytes, name: str, target: Target) -> Found:
    root = parse_xml(content, name)
    if root.tag == "Annotations":
        return parse_image_scope(root)
    if root.tag == "ASAP_Annotations":
        return parse_asap(root)
    if root.tag == "annotations":
        return parse_ndpa(root, target.frame())
    raise ConfigError(f"{name}: expected {KNOWN}, got XML of <{root.tag[:60]}>: export the annotations as one of these")


def _unpacked(content: bytes, name: str) -> list[tuple[str, bytes]]:
    """Unpack the regions of interest of an archive, or the one file in it."""
    try:
        if content.startswith(_GZIP):
            with gzip.open(io.BytesIO(content)) as file:
                return [(name.removesuffix(".gz"), bounded(file, name))]
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _members(archive, name)
    except SimSearchError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        struct.error,
    ) as error:
        raise SourceError(f"{name}: expected an archive, got {error}: pack it again") from error


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _members(archive: zipfile.ZipFile, name: str) -> list[tuple[str, bytes]]:
    infos = [each for each in archive.infolist() if not f"/{each.filename}".endswith("/")]
    infos = [each for each in infos if not each.filename.startswith("__MACOSX/")]
    infos = [each for each in infos if each.filename.lower().endswith(".roi")] or infos
    if not infos or (len(infos) > 1 and not infos[0].filename.lower().endswith(".roi")):
        raise ConfigError(
            f"{name}: expected an archive of regions of interest (.roi) or of one annotation file, got one of "
            f"{len(infos)} files: unpack it, and name a file or the folder"
        )
    members: list[tuple[str, bytes]] = []
    left = _MOST_BYTES
    for each in infos:
        with archive.open(each) as file:
            members.append((_printable(each.filename), bounded(file, name, left)))
        left -= max(len(members[-1][1]), _LEAST_BYTES)
    return members
