"""Handler of downloads: files that the study lists, by keys that tell no path."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from typing import TYPE_CHECKING
from urllib.parse import quote

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from simsearch.app.server.tiles import ProtectedHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

DOWNLOAD_ROUTE = r"/downloads/([0-9a-f]{32})"
_CHUNK_BYTES = 1 << 20  # read and sent at a time
_PATIENCE_S = 120.0  # for one of them


def download_key(path: Path) -> str:
    """Name a file in addresses."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:32]


def downloads(folder: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """List files that may be downloaded, by their keys.

    Parameters
    ----------
    folder : Path
        The study's: what lies or leads outside it is left out.
    paths : iterable of Path
        The files.
    """
    inside = folder.resolve()
    return {
        download_key(path): path for path in paths if path.resolve().is_relative_to(inside) and path.resolve().is_file()
    }


class DownloadHandler(ProtectedHandler):
    """Sends files in pieces, so that a large one takes no memory and holds nobody up."""

    def initialize(self, listed: Callable[[], Mapping[str, Path]]) -> None:
        """Take what lists the files; it is called in a thread, at each request."""
        self._listed = listed

    async def get(self, key: str) -> None:
        """Send a file."""
        path = (await asyncio.to_thread(self._listed)).get(key)
        if path is None:
            raise HTTPError(404, "expected a file of the study, got a key of none: reload the page")
        self.set_header("Content-Type", mimetypes.guess_type(path.name)[0] or "application/octet-stream")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(path.name)}")
        self.set_header("Cache-Control", "no-store")
        file = await asyncio.to_thread(path.open, "rb")
        try:
            while piece := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                self.write(piece)
                await asyncio.wait_for(self.flush(), _PATIENCE_S)
        except StreamClosedError:  # whoever asked has gone
            return
        except TimeoutError:  # or takes nothing, and keeps a file and a connection open
            if self.request.connection:
                self.request.connection.close()
        finally:
            await asyncio.to_thread(file.close)
