"""Which of the microscopes' own kinds a file is: its content decides."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simsearch.io.sources.microscopes.container import Container, MicroscopeSource, list_microscope_series
from simsearch.io.sources.microscopes.czi import CziContainer
from simsearch.io.sources.microscopes.dicom import DicomContainer, is_dicom
from simsearch.io.sources.microscopes.lif import LifContainer
from simsearch.io.sources.microscopes.nd2 import Nd2Container
from simsearch.io.sources.microscopes.oif import OifContainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.io.sources.protocol import ImageSource, SourceSpec
    from simsearch.io.sources.series import SeriesInfo

    Reader = Callable[[SourceSpec], ImageSource]

SUFFIXES = frozenset([".czi", ".lif", ".nd2", ".oib", ".oif"])
"""Suffixes by which such files are picked out of a folder; DICOM's folders are one file."""

_KINDS: dict[str, Callable[[str], Container]] = {
    "a CZI file": CziContainer,
    "a LIF file": LifContainer,
    "an ND2 file": Nd2Container,
    "an OIF or OIB file": OifContainer,
    "a DICOM whole slide": DicomContainer,
}
_HEADS = {
    b"ZISRAWFILE": "a CZI file",
    b"\xda\xce\xbe\x0a": "an ND2 file",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an OIF or OIB file",
}
_LIF_HEAD = b"p\0\0\0"
_LIF_MARK_AT, _LIF_MARK = 13, "<LMSDataContainerHeader".encode("utf-16-le")
_OIF_HEADS = (b"\xff\xfe[\0", b"[")  # text, so that the suffix has its say too

_READERS: dict[str, Reader] = {
    kind: partial(MicroscopeSource, kind=kind, opened=opened) for kind, opened in _KINDS.items()
}
LISTS: dict[Reader, Callable[[str], tuple[SeriesInfo, ...]]] = {
    _READERS[kind]: partial(list_microscope_series, kind=kind, opened=opened) for kind, opened in _KINDS.items()
}
"""What lists the images of a file, for each reader."""


def microscope_reader(path: str) -> Reader | None:
    """Return what reads a file or folder; None if it is of no such kind."""
    kind = _kind(Path(path))
    return _READERS[kind] if kind else None


def is_dicom_folder(folder: Path) -> bool:
    """Return whether a folder has DICOM files: it is one source then, as each slide is several files."""
    return folder.is_dir() and any(is_dicom(each) for each in folder.glob("*.dcm"))


def _kind(path: Path) -> str | None:
    if path.is_dir():
        return "a DICOM whole slide" if is_dicom_folder(path) else None
    with path.open("rb") as file:
        head = file.read(_LIF_MARK_AT + len(_LIF_MARK))
    known = next((kind for start, kind in _HEADS.items() if head.startswith(start)), None)
    if known:
        return known
    if head.startswith(_LIF_HEAD) and head.endswith(_LIF_MARK):
        return "a LIF file"
    if head.startswith(_OIF_HEADS) and path.suffix.lower() == ".oif":
        return "an OIF or OIB file"
    return "a DICOM whole slide" if is_dicom(path) else None
