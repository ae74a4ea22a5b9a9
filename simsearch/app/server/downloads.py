"""Handler of downloads: files that the study lists, by keys that tell no path."""

from __future__ import annotations

import asyncio
import hashlib
import io
import mimetypes
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from simsearch.app.server.tiles import ProtectedHandler
from simsearch.errors import SimSearchError
from simsearch.io.pictures.drawing import vector_of
from simsearch.io.tables.records.results_folder import PAGE_NAME
from simsearch.workflows.run.html_report.page import write_html_report

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from simsearch.workflows.run.results import ResultView

DOWNLOAD_ROUTE = r"/downloads/([0-9a-f]{32})"
_CHUNK_BYTES = 1 << 20  # read and sent at a time
_PATIENCE_S = 120.0  # for one of them


@dataclass(frozen=True, slots=True)
class Download:
    """A file, or an archive of files."""

    name: str
    """What a browser saves it as."""
    files: tuple[Path, ...]
    archived: Path | None = None
    """Of an archive: the folder whose name is that of the folder in it."""
    made: Callable[[], object] | None = None
    """Of a file that is written anew whenever somebody asks for it: writes it."""

    def pieces(self) -> Generator[bytes]:
        """Read what is sent; of a file or an archive of any size, a mebibyte or so at a time."""
        if self.made:
            self.made()
        return _zipped(self.files, self.archived) if self.archived else _read(self.files[0])


def download_key(path: Path) -> str:
    """Name a file in addresses, or the archive of a folder."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:32]


def flat_name(path: Path, folder: Path) -> str:
    """Name a file of a run so that no two of a folder of downloads are the same.

    Examples
    --------
    >>> from pathlib import Path
    >>> flat_name(Path("detect-1/geojson/plate/A/01/0.geojson"), Path("detect-1"))
    'plate_A_01_0.geojson'
    """
    first, *others = path.relative_to(folder).parts
    return "_".join(others or [first])


def archive_name(result: ResultView) -> str:
    """Name the archive of all files of a run."""
    return f"{result.id}.zip"


def page_name(result: ResultView) -> str:
    """Name the page of a run."""
    return f"{result.id}.html"


def result_downloads(result: ResultView) -> list[Download]:
    """List what can be downloaded of a run: each file, a page to read, and an archive of all."""
    overlays = (file for path in result.overlays for file in (path, vector_of(path)))
    files, page = (*result.files, *overlays), result.folder / PAGE_NAME
    each = [Download(flat_name(path, result.folder), (path,)) for path in files]
    return [
        *each,
        Download(page_name(result), (page,), made=partial(write_html_report, result.folder)),
        Download(archive_name(result), (*files, page), archived=result.folder),
    ]


def downloads(folder: Path, listed: Iterable[Download]) -> dict[str, Download]:
    """List what may be downloaded, by its keys.

    Parameters
    ----------
    folder : Path
        The study's: files that lie or lead outside it are left out.
    listed : iterable of Download
        The files and archives.
    """
    inside = folder.resolve()
    found = {}
    for each in listed:
        files = tuple(path for path in each.files if path.resolve().is_relative_to(inside))
        if not each.made:
            files = tuple(path for path in files if path.resolve().is_file())
        if files:
            found[download_key(each.archived or files[0])] = replace(each, files=files)
    return found


def _read(path: Path) -> Generator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            yield piece


class _Written(io.RawIOBase):
    """Takes what an archive writes, until it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:  # noqa: ANN401  what zipfile gives: any buffer
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def _zipped(files: Iterable[Path], folder: Path) -> Generator[bytes]:
    """Write an archive piece by piece; nowhere is it as a whole."""
    written = _Written()
    with ZipFile(written, "w") as archive:
        for path in files:
            entry = ZipInfo.from_file(path, path.relative_to(folder.parent), strict_timestamps=False)
            entry.compress_type = ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as target:
                for piece in _read(path):
                    target.write(piece)
                    yield written.take()
    yield written.take()


class DownloadHandler(ProtectedHandler):
    """Sends files and archives in pieces, so that a large one takes no memory and holds nobody up."""

    def initialize(self, listed: Callable[[], Mapping[str, Download]]) -> None:
        """Take what lists them; it is called in a thread, at each request."""
        self._listed = listed

    async def get(self, key: str) -> None:
        """Send a file or an archive."""
        found = (await asyncio.to_thread(self._listed)).get(key)
        if found is None:
            raise HTTPError(404, "expected a file of the study, got a key of none: reload the page")
        self.set_header("Content-Type", mimetypes.guess_type(found.name)[0] or "application/octet-stream")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(found.name)}")
        self.set_header("Cache-Control", "no-store")
        try:
            pieces = await asyncio.to_thread(found.pieces)
        except SimSearchError as error:
            raise HTTPError(409, str(error).replace("%", "%%")) from error
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                self.write(piece)
                await asyncio.wait_for(self.flush(), _PATIENCE_S)
        except StreamClosedError:  # whoever asked has gone
            return
        except (TimeoutError, OSError):  # or takes nothing, and keeps a file and a connection open; or a file has gone
            if self.request.connection:
                self.request.connection.close()
        finally:
            await asyncio.to_thread(pieces.close)
