"""The server of the app: pages, pictures and downloads of one study at one port, behind one login."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import psutil
from bokeh.application import Application
from bokeh.application.handlers.handler import Handler
from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.server.util import create_hosts_allowlist
from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import ErrorHandler, OutputTransform, StaticFileHandler, authenticated

from simsearch.app.context import PageContext
from simsearch.app.server.auth import USER_KEY, Access, StudyAuth, decide_access
from simsearch.app.server.crops import CROP_ROUTE, CropHandler
from simsearch.app.server.downloads import DOWNLOAD_ROUTE, Download, DownloadHandler, downloads, result_downloads
from simsearch.app.server.pictures import Pictures
from simsearch.app.server.tiles import (
    INTENSITIES_ROUTE,
    THUMBNAIL_ROUTE,
    TILE_ROUTE,
    IntensitiesHandler,
    ThumbnailHandler,
    TileHandler,
)
from simsearch.app.urls import ASSETS, Urls
from simsearch.core.checks.hosts import is_loopback
from simsearch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tornado.httputil import HTTPHeaders, HTTPServerRequest

    from simsearch.app.context import PageFunction
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot

_IDLE_S = 75.0  # that a browser may say nothing on a connection, or take for the head of a request
_BODY_S = 30.0  # for what it sends with one: a form
_PING_S = 75.0  # between questions whether a page is still there, which its browser has as long to answer
_MAX_BODY_BYTES = 2**20
_ANY_ADDRESS = ("", "0.0.0.0", "::")
# Bokeh's page has a script in it, and CustomJS is compiled in the browser; nothing comes from elsewhere.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
}


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve a study."""

    user: str
    """Name of those who have not given one."""
    address: str = "127.0.0.1"
    """What to listen at."""
    port: int = 0
    """0 for any that is free."""
    prefix: str = ""
    """Path under which a reverse proxy shows the server."""
    token: str | None = None
    """What those who come in must know; by default one is made up where others can reach the server."""
    auth_module: Path | None = None
    """Python file with Bokeh's auth hooks, which then decides who may come in."""
    origins: tuple[str, ...] = ()
    """``HOST`` or ``HOST:PORT`` under which a reverse proxy shows the server."""
    memory_bytes: int | None = None
    """What holding the displayed images may take; by default half of what is free."""


@dataclass(frozen=True, slots=True)
class Site:
    """What is served."""

    pages: Mapping[str, PageFunction]
    """By their names in addresses."""
    mount: Callable[[PageContext, str, PageFunction], None]
    """Puts a page into its document, and draws what changes."""
    home: Callable[[Snapshot], str]
    """Names the page to begin with."""


class StudyServer(BaseServer):
    """A server of one study. Start it, and run its ``io_loop``."""

    def __init__(
        self,
        application: BokehTornado,
        http: HTTPServer,
        access: Access,
        pictures: Pictures,
        make_for_nobody: Callable[[], None],
    ) -> None:
        super().__init__(IOLoop.current(), application, http)
        self._access, self._pictures = access, pictures
        self.make_for_nobody = make_for_nobody
        """Makes each page once: what takes longer the first time, nobody who is there has to wait for."""

    @property
    def url(self) -> str:
        """What to open in a browser; it holds the token, where one is needed, in the part that is never sent."""
        address = str(self.address)
        host = socket.gethostname() if address in _ANY_ADDRESS else address
        base = f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.prefix}/"
        return base if self._access.token is None else f"{base}login#{self._access.token}"

    def stop(self, wait: bool = True) -> None:
        """Answer nobody any more."""
        super().stop(wait)
        self._pictures.close()

    async def close(self) -> None:
        """Answer nobody any more, and hang up on those who are connected."""
        self.stop()
        await self._http.close_all_connections()


def make_server(live: LiveStudy, options: ServeOptions, site: Site) -> StudyServer:
    """Make the server of a study, listening; not started yet.

    Parameters
    ----------
    live : LiveStudy
        The study.
    options : ServeOptions
        Where, and for whom.
    site : Site
        The pages.

    Raises
    ------
    ConfigError
        If the address or port cannot be had, or the options contradict each other.
    """
    access = decide_access(
        options.address, user=options.user, token=options.token, module=options.auth_module, origins=options.origins
    )
    listening = _listening(options.address, options.port)
    port = int(listening.getsockname()[1])
    pictures = Pictures(live.study)
    urls = Urls(
        prefix=_prefix(options.prefix),
        indices={image.name: index for index, image in enumerate(live.study.images)},
        shown=pictures.shown_channels(),
        version=secrets.token_hex(4),
    )
    make_context = partial(
        PageContext,
        live,
        urls=urls,
        pixel_size_um=pictures.pixel_size_um,
        fitting_channels=pictures.fitting_channels,
    )
    auth = StudyAuth(access, f"simsearch-{port}")
    application = StudyApplication(
        {f"/{name}": _application(site, name, make_context) for name in site.pages},
        prefix=urls.prefix,
        extra_websocket_origins=create_hosts_allowlist([*_hosts(options.address, port), *access.origins], port),
        extra_patterns=_patterns(live, pictures, site),
        use_index=False,
        auth_provider=auth,
        cookie_secret=auth.cookie_secret,
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Strict"},
        sign_sessions=True,
        secret_key=secrets.token_bytes(32),
        include_headers=[],
        include_cookies=[],
        transforms=[SecurityHeaders],
        websocket_ping_interval=_PING_S,  # who is in the middle of a message cannot answer: one that trickles in ends
        websocket_ping_timeout=_PING_S,
    )
    http = HTTPServer(
        application,
        xheaders=True,  # behind a reverse proxy, https is what the proxy says
        idle_connection_timeout=_IDLE_S,
        body_timeout=_BODY_S,
        max_body_size=_MAX_BODY_BYTES,
    )
    http.add_socket(listening)
    make_for_nobody = partial(_make_for_nobody, application, site, partial(make_context, user=options.user))
    return StudyServer(application, http, access, pictures, make_for_nobody)


class StudyApplication(BokehTornado):
    """Answers no addresses with control characters, which end in errors further down, or worse."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:  # noqa: ANN401  Tornado's
        """Find who answers."""
        if unquote(request.path).isprintable():
            return super().find_handler(request, **kwargs)
        return self.get_handler_delegate(request, ErrorHandler, {"status_code": 404})


class SignedUser(Handler):
    """Has the signed token of a session tell who opened it, and makes the page for them."""

    def __init__(self, make_page: Callable[[Document, str], None]) -> None:
        super().__init__()
        self._make_page = make_page

    def process_request(self, request: HTTPServerRequest) -> dict[str, Any]:
        """Add what `StudyAuth` found out."""
        return {USER_KEY: getattr(request, USER_KEY)}

    def modify_document(self, doc: Document) -> None:
        """Make the page."""
        payload = doc.session_context.token_payload
        self._make_page(doc, str(payload[USER_KEY]))


class SecurityHeaders(OutputTransform):
    """Adds headers to all answers, those of Bokeh and errors included."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add them."""
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.pop("Server", None)
        return status_code, headers, chunk


class HomeHandler(AuthRequestHandler):
    """Sends whoever comes to the page where there is something to do."""

    def initialize(self, home: Callable[[], str]) -> None:
        """Take what names the page."""
        self._home = home

    @authenticated
    def get(self) -> None:
        """Redirect."""
        self.redirect(f"{self.application.prefix}/{self._home()}")


def _patterns(live: LiveStudy, pictures: Pictures, site: Site) -> list[Any]:
    drawn = {"study": live.study, "pictures": pictures}
    return [
        (r"/?", HomeHandler, {"home": lambda: site.home(live.snapshot)}),
        (TILE_ROUTE, TileHandler, drawn),
        (CROP_ROUTE, CropHandler, drawn),
        (THUMBNAIL_ROUTE, ThumbnailHandler, drawn),
        (INTENSITIES_ROUTE, IntensitiesHandler, drawn),
        (DOWNLOAD_ROUTE, DownloadHandler, {"listed": partial(_downloads, live)}),
        (r"/assets/(.*)", StaticFileHandler, {"path": str(ASSETS)}),
    ]


def _downloads(live: LiveStudy) -> dict[str, Download]:
    listed = [Download(path.name, (path,)) for model in live.snapshot.models for path in model.files]
    for result in live.results():
        listed += result_downloads(result)
    return downloads(live.study.folder, listed)


def _application(site: Site, name: str, make_context: Callable[..., PageContext]) -> Application:
    def make_page(doc: Document, user: str) -> None:
        site.mount(make_context(user=user, doc=doc), name, site.pages[name])

    return Application(SignedUser(make_page))


def _make_for_nobody(application: BokehTornado, site: Site, make_context: Callable[..., PageContext]) -> None:
    application.resources().render()  # which takes hashes of BokehJS
    for name, make_page in site.pages.items():
        doc = Document()
        with suppress(Exception):  # who opens the page is told
            site.mount(make_context(doc=doc), name, make_page)
            doc.to_json()
        for let_go in doc.session_destroyed_callbacks:
            let_go(None)


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"expected to listen at {address}, port {port}, got {error}: name another with --address or --port"
        ) from error
    listening.setblocking(False)
    return listening


def _hosts(address: str, port: int) -> list[str]:
    """Names under which pages of the server can be had."""
    if is_loopback(address):
        names = ["localhost", "127.0.0.1"]
    elif address in _ANY_ADDRESS:
        found = [each.address for addresses in psutil.net_if_addrs().values() for each in addresses]
        names = ["localhost", socket.gethostname(), socket.getfqdn(), *(a for a in found if a.count(".") == 3)]
    else:
        names = [address]
    return [f"{name.lower()}:{port}" for name in dict.fromkeys(names) if ":" not in name]


def _prefix(prefix: str) -> str:
    stripped = prefix.strip("/")
    return f"/{stripped}" if stripped else ""
