"""Opening TIFF files: alone, as a set of OME-TIFFs, or through the companion that describes such a set."""

from __future__ import annotations

import logging
from pathlib import Path
from xml.etree import ElementTree

from tifffile import TiffFile

from simsearch.errors import SourceError

COMPANION = ".companion.ome"
"""How files end that describe a set of OME-TIFFs, and have no pixels."""
_OF_SETS = (COMPANION, ".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf")
_MOST_XML = 2**28  # bytes; a set of a hundred thousand files has some tens of megabytes

# What tifffile finds wrong, we tell in one line, or in a note.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)


def open_tiff(path: str) -> tuple[TiffFile, tuple[str, ...]]:
    """Open a TIFF file, or the set that it or a companion belongs to.

    Returns
    -------
    (TiffFile, tuple of str)
        To be closed by the caller, and notes of what of its description is lost.

    Raises
    ------
    SourceError
        If a companion names no file that is there, or a set leads out of its folder.
    """
    if path.lower().endswith(COMPANION):
        return _open_set(path), ()
    tiff = TiffFile(path)
    try:
        is_ome = tiff.is_ome
    except Exception:
        tiff.close()
        raise
    return _described(tiff, path) if is_ome else (tiff, ())


def _described(tiff: TiffFile, path: str) -> tuple[TiffFile, tuple[str, ...]]:
    try:
        root = ElementTree.fromstring(tiff.ome_metadata or "")
        companion = _metadata_file(root)
        if companion is not None:
            tiff.close()
            return _open_member(path, companion)
        _check_names(root, path)
        if any(series.kind == "ome" for series in tiff.series):
            return tiff, ()
        reason = "it names no planes"
    except SourceError:
        tiff.close()
        raise
    except Exception as error:  # noqa: BLE001  whatever is wrong in a description, pixels may be sound
        reason = str(error).strip() or type(error).__name__
    tiff.close()
    return TiffFile(path, is_ome=False), (
        f"its OME-XML cannot be used ({reason[:100]}): pages are read as they come, without names and sizes",
    )


def one_of_each_set(paths: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Keep one of the files that are one image: a companion, else the first.

    Returns
    -------
    (list of str, tuple of str)
        Paths in their order, and a note for each set of which some are left out.
    """
    of_others: set[str] = set()
    notes = []
    for path in sorted(paths, key=lambda path: not path.lower().endswith(COMPANION)):
        if path not in of_others and path.lower().endswith(_OF_SETS):
            others = (set(_files_of_set(path)) & set(paths)) - {path} - of_others
            of_others |= others
            notes += [f"{len(others) + 1} files are one image, {Path(path).name}"] if others else []
    return [path for path in paths if path not in of_others], tuple(notes)


def _files_of_set(path: str) -> tuple[str, ...]:
    # Of a file that cannot be read there is no set: whoever opens it will tell.
    try:
        if path.lower().endswith(COMPANION):
            root = ElementTree.fromstring(_text(Path(path)))
        else:
            with TiffFile(path) as tiff:
                root = ElementTree.fromstring(tiff.ome_metadata or "<OME/>")
        companion = _metadata_file(root)
        if companion is not None:
            root = ElementTree.fromstring(_text(Path(path).with_name(companion)))
        names = _names(root)
    except Exception:  # noqa: BLE001  see above
        return ()
    return tuple(str(Path(path).with_name(name)) for name in names if name == Path(name).name)


def _open_set(companion: str) -> TiffFile:
    text = _text(Path(companion))
    root = ElementTree.fromstring(text)
    _check_names(root, companion)
    names = _names(root)
    first = next((file for name in names if (file := Path(companion).with_name(name)).is_file()), None)
    if first is None:
        got = f"none of {', '.join(names[:3])}" if names else "no names of files"
        raise SourceError(f"{companion}: expected the files that it describes beside it, got {got}: put all together")
    return TiffFile(first, omexml=text)


def _open_member(path: str, companion: str) -> tuple[TiffFile, tuple[str, ...]]:
    there = Path(path).with_name(Path(companion.replace("\\", "/")).name)
    if not there.is_file():
        return TiffFile(path, is_ome=False), (
            f"{there.name} is missing, which describes it: one file of a set is read, without names and sizes",
        )
    text = _text(there)
    _check_names(ElementTree.fromstring(text), str(there))
    return TiffFile(path, omexml=text), ()


def _text(file: Path) -> str:
    if file.stat().st_size > _MOST_XML:
        raise SourceError(f"{file}: expected at most {_MOST_XML} bytes of XML, got {file.stat().st_size}")
    return file.read_text(encoding="utf-8").strip()


def _metadata_file(root: ElementTree.Element) -> str | None:
    only = root.find("{*}BinaryOnly")
    return None if only is None else only.get("MetadataFile")


def _names(root: ElementTree.Element) -> list[str]:
    return list(dict.fromkeys(name for each in root.iterfind(".//{*}UUID") if (name := each.get("FileName"))))


def _check_names(root: ElementTree.Element, path: str) -> None:
    outside = next((name for name in _names(root) if Path(name).is_absolute() or ".." in Path(name).parts), None)
    if outside is not None:
        raise SourceError(f"{path}: expected files of a set beside it, got {outside[:80]!r}: put all into one folder")
