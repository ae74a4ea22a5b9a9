"""Whether the images of a study are those about which something was said.

Places that were marked mean nothing on another image, and features that were kept are not its features. Shapes,
channels and pixel types are compared whenever images are opened (`study_images`); here it is what they show.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.checks.formats import FORMAT_KEY, check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.core.tiles import Region
from simsearch.errors import SourceError, StoreError
from simsearch.io.ome_zarr.image import read_region
from simsearch.io.tables.records.replacing import replacing_text
from simsearch.workflows.curate.study import CACHE_NAME, study_images

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.curation.state import Curation
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.workflows.curate.study import Study

CONTENTS_NAME = "images.json"
_VERSION = 1
_SIDE = 1024  # pixels of the smallest level that are looked at, along each axis: it may be the only one


def check_contents(study: Study, curation: Curation) -> None:
    """Check that the images that are displayed, or marked, show what they showed when they were looked at first.

    What is looked at for the first time is remembered, also in studies of before.

    Raises
    ------
    SourceError
        If one shows something else; the message says which, and the way out.
    StoreError
        If the study cannot be read or written, or pixels cannot be read.
    """
    said_of = {patch.image for patch in curation.patches()} | set(curation.displayed)
    names = [name for name in curation.shapes if name in said_of]
    path = study.folder / CONTENTS_NAME
    known = _read(path)
    found = {image.name: content_hash(image) for image in study_images(study, names)} if names else {}
    changed = [name for name, content in found.items() if known.get(name, content) != content]
    if changed:
        raise SourceError(
            f"{', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''}: expected what was there when it was first "
            "looked at in this study, got an image of the same size that shows something else: put the old one back, "
            "or create another study. If all that was said holds for it too (it was converted anew, say), delete "
            f"{CONTENTS_NAME} and {CACHE_NAME} in {study.folder}"
        )
    if not found.keys() <= known.keys():
        _write(path, known | found)


def content_hash(image: ImageMeta) -> str:
    """Name what an image shows by the middle of its smallest level: up to 1,024 x 1,024 px, all channels."""
    shape = image.levels[-1].shape
    y0, x0 = (max(0, (length - _SIDE) // 2) for length in shape)
    pixels = read_region(image, len(image.levels) - 1, Region(y0, y0 + _SIDE, x0, x0 + _SIDE).clipped(shape))
    plain = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<")))
    return hashlib.sha256(plain.tobytes()).hexdigest()[:16]


def _read(path: Path) -> dict[str, str]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        check_format({FORMAT_KEY: content["version"]}, _VERSION, str(path))
        return {str(name): str(found) for name, found in content["images"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise StoreError(
            f"{path}: expected what the images of the study show, got {type(error).__name__}: {error}: restore it from "
            "a copy, or delete it if no image was replaced"
        ) from error


def _write(path: Path, contents: dict[str, str]) -> None:
    with replacing_text(path) as file:
        json.dump({"version": _VERSION, "images": contents}, file, indent=1)
