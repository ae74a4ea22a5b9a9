"""Many images described at once: metadata of each are read, and those that say the same are parsed once.

The fields of a plate differ in what names them and where they come from; what is read of all else is compared as text,
so that a field of another size, type or channels is none of the others.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsearch.core.checks.json_text import parse_json
from simsearch.errors import SimSearchError
from simsearch.io.ome_zarr.image import ImageMeta, Selection, describe_image
from simsearch.io.ome_zarr.stores import as_location, image_name, is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence

READERS = 8  # metadata of a plate is thousands of small files: over a network they are better read together

_Text = tuple[str, ...]


def describe_images(locations: Sequence[str], *, z: Selection = None, t: Selection = None) -> list[ImageMeta]:
    """Describe images, several at a time.

    Raises
    ------
    SourceError
        If one is not there, or is no OME-Zarr.
    ConfigError
        If a z or t axis needs a choice.
    """
    described = []
    for found in describe_each(locations, z=z, t=t):
        if isinstance(found, SimSearchError):
            raise found
        described.append(found)
    return described


def describe_each(
    locations: Sequence[str], *, z: Selection = None, t: Selection = None
) -> list[ImageMeta | SimSearchError]:
    """Describe images, several at a time; of one that cannot be described, the error."""
    known: dict[_Text, ImageMeta] = {}

    def describe(location: str) -> ImageMeta | SimSearchError:
        text = _text(location)
        if text is not None and (alike := known.get(text)) is not None:
            return replace(alike, path=location, name=image_name(location))
        try:
            found = describe_image(location, z=z, t=t)
        except SimSearchError as error:
            return error
        if text is not None and text == _text(location):  # else it was written anew meanwhile
            known[text] = found
        return found

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(describe, map(as_location, locations)))


def _text(location: str) -> _Text | None:
    """Read all that an image in a folder is described by, as text; None where it is not as simple as that."""
    folder = Path(location)
    if is_remote(location) or not folder.is_dir():
        return None
    try:
        return _of_zarr_3(folder) if (folder / "zarr.json").exists() else _of_zarr_2(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # whoever reads it with care says what is wrong


def _of_zarr_3(folder: Path) -> _Text | None:
    group = parse_json((folder / "zarr.json").read_bytes())
    attributes = group.pop("attributes")
    if group.get("consolidated_metadata") is not None:  # that count instead of those of the arrays
        return None
    ome = attributes["ome"]
    return "3", _canonical(group), _unnamed(ome), *_files(folder, ome, ("zarr.json",))


def _of_zarr_2(folder: Path) -> _Text | None:
    if (folder / ".zmetadata").exists():
        return None
    ome = parse_json((folder / ".zattrs").read_bytes())
    ome.pop("simsearch", None)  # where it comes from, which differs
    group = (folder / ".zgroup").read_text()
    return "2", group, _unnamed(ome), *_files(folder, ome, (".zarray", ".zattrs"))


def _files(folder: Path, ome: Any, names: tuple[str, ...]) -> list[str]:  # noqa: ANN401  as nested as JSON
    paths = [folder / dataset["path"] / name for dataset in ome["multiscales"][0]["datasets"] for name in names]
    return [path.read_text() if path.exists() else "" for path in paths]


def _unnamed(ome: Any) -> str:  # noqa: ANN401
    first, *others = ome["multiscales"]
    return _canonical({**ome, "multiscales": [{**first, "name": ""}, *others]})


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True)
