"""Handlers of pictures: tiles of the deep zoom, and what all of them share."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.web import HTTPError

from simsearch.app.urls import FULL_ZOOM, parse_shown
from simsearch.errors import ConfigError
from simsearch.io.pictures.render import Picture, ShownChannel, render_nothing, render_thumbnail, render_tile

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.server.pictures import Pictures
    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.workflows.curate.study import Study

TILE_ROUTE = r"/tiles/(\d{1,9})/(\d{1,2})/(-?\d{1,9})/(-?\d{1,9})"
INTENSITIES_ROUTE = r"/intensities/(\d{1,9})/(\d{1,9})/(\d{1,9})"
THUMBNAIL_ROUTE = r"/thumbnails/(\d{1,9})"
_NOTHING = render_nothing()


class ProtectedHandler(AuthRequestHandler):
    """Answers only those who are logged in: Bokeh's login does not cover what is not Bokeh's."""

    async def prepare(self) -> None:
        """Find out who asks, and refuse strangers."""
        await super().prepare()
        if not self.current_user:
            raise HTTPError(401)

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ANN401  Tornado's
        """Say in words what was wrong with a request."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish((isinstance(error, HTTPError) and error.log_message) or self._reason)


class PictureHandler(ProtectedHandler):
    """Answers with a picture. Its address names its version, so browsers keep it."""

    def initialize(self, study: Study, pictures: Pictures) -> None:
        """Take what all requests share."""
        self._study, self._pictures = study, pictures
        self._is_whole = True

    def shown(self, index: int) -> tuple[ShownChannel, ...]:
        """Understand what is to be shown of an image."""
        if index >= len(self._study.images):
            raise HTTPError(404)
        try:
            return parse_shown(self.get_arguments("c"), len(self._study.channel_names))
        except ConfigError as error:
            raise HTTPError(400, str(error)) from error

    async def send(self, index: int, render: Callable[[ImageMeta], Picture]) -> None:
        """Draw a picture of an image unless the browser has it, and send it."""
        self.set_header("Cache-Control", "private, max-age=86400, immutable")
        self.set_etag_header()
        if self.check_etag_header():
            self.set_status(304)
            return
        picture, self._is_whole = await self._pictures.draw(str(self.request.uri), index, render)
        if not self._is_whole:  # it may be mended
            self.set_header("Cache-Control", "no-store")
            self.clear_header("Etag")
        self.set_header("Content-Type", picture.mime)
        self.finish(picture.content)

    def compute_etag(self) -> str | None:
        """Name the picture by its address, so that none is drawn that the browser has."""
        uri = str(self.request.uri).encode()
        return f'"{hashlib.sha256(uri).hexdigest()[:32]}"' if self._is_whole else None


class TileHandler(PictureHandler):
    """Answers with tiles."""

    async def get(self, image: str, z: str, x: str, y: str) -> None:
        """Send one; a transparent pixel where there is none, which a viewer asks for beside and beyond an image."""
        index = int(image)
        shown = self.shown(index)
        await self.send(index, partial(_tile, shown=shown, z=int(z), y=int(y), x=int(x)))


class ThumbnailHandler(PictureHandler):
    """Answers with small pictures of whole images."""

    async def get(self, image: str) -> None:
        """Send one."""
        index = int(image)
        await self.send(index, partial(render_thumbnail, shown=self.shown(index)))


class IntensitiesHandler(ProtectedHandler):
    """Answers with the intensities of a pixel, in the order of the study's channels."""

    def initialize(self, study: Study, pictures: Pictures) -> None:
        """Take what all requests share."""
        self._study, self._pictures = study, pictures

    async def get(self, image: str, y: str, x: str) -> None:
        """Send them; nothing where there is no such pixel, or it cannot be read."""
        if int(image) >= len(self._study.images):
            raise HTTPError(404)
        values = await self._pictures.intensities(int(image), int(y), int(x))
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(values))


def _tile(image: ImageMeta, shown: tuple[ShownChannel, ...], z: int, y: int, x: int) -> Picture:
    if z > FULL_ZOOM:
        return _NOTHING
    return render_tile(image, shown, 1 << (FULL_ZOOM - z), y, x) or _NOTHING
