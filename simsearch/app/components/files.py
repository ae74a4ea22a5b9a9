"""Files that can be downloaded, written for scripts to offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.app.server.downloads import download_key, flat_name
from simsearch.io.pictures.drawing import vector_of

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.app.urls import Urls


def file_part(path: Path, urls: Urls, folder: Path) -> dict[str, str]:
    """Write a file of a folder of results: its name there, and the name that it is saved under."""
    name = str(path.relative_to(folder))
    return {"name": name, "saved": flat_name(path, folder), "url": urls.download(download_key(path))}


def picture_part(path: Path, urls: Urls, folder: Path) -> dict[str, Any]:
    """Write a picture to show and to offer, which may be there as SVG too."""
    vector = vector_of(path)
    files = {"png": path} | ({"svg": vector} if vector.exists() else {})
    return {"name": path.stem, "files": {kind: file_part(file, urls, folder) for kind, file in files.items()}}
