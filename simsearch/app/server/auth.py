"""Who may come in: everybody on the own machine, elsewhere those with the token, or whom an auth module knows."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.server.auth_provider import AuthModule, AuthProvider
from bokeh.server.views.autoload_js_handler import AutoloadJsHandler
from bokeh.server.views.metadata_handler import MetadataHandler
from bokeh.util.token import get_token_payload
from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from simsearch.core.checks.hosts import is_loopback
from simsearch.core.checks.json_text import parse_json
from simsearch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

USER_KEY = "simsearch_user"
"""Under which a request, and a session's signed token, tell who it is."""

_TOKEN_BYTES = 32
_MIN_TOKEN_CHARS = 16
_LOGIN_DAYS = 30
_MAX_NAME_CHARS = 64
_WRONG_TOKEN_DELAY_S = 0.5
_TOKEN_ARGUMENT = "bokeh-token"  # under which Bokeh would take a session from a request


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in."""

    user: str
    """Name of those who have not given one."""
    token: str | None
    """What those who come in must know; None where no login is needed, or another decides."""
    module: Path | None
    """Python file with Bokeh's auth hooks that decides instead."""
    origins: tuple[str, ...]
    """``HOST:PORT`` of pages that may connect, beyond those of the server itself."""

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches the server may come in."""
        return self.token is None and self.module is None


def decide_access(
    address: str, *, user: str, token: str | None, module: Path | None, origins: Sequence[str] = ()
) -> Access:
    """Decide who may come in.

    Parameters
    ----------
    address : str
        What the server listens at.
    user : str
        Name of those who have not given one.
    token : str, optional
        Asked for in any case; by default one is made up unless only the own machine can reach the server.
    module : Path, optional
        Python file with Bokeh's auth hooks.
    origins : sequence of str
        ``HOST`` or ``HOST:PORT`` under which a reverse proxy shows the server.

    Raises
    ------
    ConfigError
        If the token is short, there is no such file, or both are given.
    """
    if module is not None:
        if token is not None:
            raise ConfigError("expected a token or an auth module, got both: leave one out")
        if not module.is_file():
            raise ConfigError(f"{module}: expected a Python file with auth hooks, got none there: check the path")
    elif token is not None and len(token) < _MIN_TOKEN_CHARS:
        raise ConfigError(
            f"expected a token of at least {_MIN_TOKEN_CHARS} characters, got {len(token)}: "
            "leave it out, and one is made up"
        )
    elif token is None and not (is_loopback(address) and all(is_loopback(o.rsplit(":", 1)[0]) for o in origins)):
        token = secrets.token_urlsafe(_TOKEN_BYTES)
    return Access(user, token, module, tuple(o if ":" in o else f"{o}:80" for o in origins))


def read_token(path: Path) -> str:
    """Read a token from the first line of a file.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: expected a file with a token, got {error}: check the path and who may read"
        ) from error


class StudyAuth(AuthProvider):
    """Tells Bokeh and the app's own handlers who asks.

    Parameters
    ----------
    access : Access
        Who may come in.
    cookie_name : str
        Name of the login cookie: browsers share cookies between the ports of a machine.
    """

    def __init__(self, access: Access, cookie_name: str) -> None:
        self._access, self._cookie_name = access, cookie_name
        self._module = None if access.module is None else AuthModule(access.module)
        super().__init__()

    @property
    def cookie_secret(self) -> str:
        """What login cookies are signed with; of a token that stays, logins last beyond a restart."""
        if self._access.token is None:
            return secrets.token_hex(32)
        return hmac.new(self._access.token.encode(), b"simsearch login cookie", hashlib.sha256).hexdigest()

    @property
    def get_user(self) -> None:
        """Leave it to `get_user_async`, which also covers what has no user of its own."""
        return

    @property
    def get_user_async(self) -> Callable[[Any], Awaitable[Any]]:
        """How to find out who asks."""
        return self._user

    @property
    def login_url(self) -> str | None:
        """Where to log in."""
        return self._module.login_url if self._module else "/login"

    @property
    def get_login_url(self) -> Callable[[Any], str] | None:
        """How an auth module finds where to log in."""
        return self._module.get_login_url if self._module else None

    @property
    def login_handler(self) -> type[RequestHandler] | None:
        """What answers there."""
        return self._module.login_handler if self._module else LoginHandler

    @property
    def logout_url(self) -> str | None:
        """Where to log out, if one can."""
        if self._module:
            return str(self._module.logout_url) if self._module.logout_url else None
        return None if self._access.is_open else "/logout"

    @property
    def logout_handler(self) -> type[RequestHandler] | None:
        """What answers there."""
        return self._module.logout_handler if self._module else LogoutHandler

    @property
    def endpoints(self) -> list[Any]:
        """Routes of login and logout."""
        if self._module:
            return list(self._module.endpoints)
        shared = {"access": self._access, "cookie_name": self._cookie_name}
        return [("/login", LoginHandler, shared), ("/logout", LogoutHandler, shared)]

    async def _user(self, handler: RequestHandler) -> str | None:
        """Find out who asks, before a handler of Bokeh or of the app does anything."""
        if isinstance(handler, AutoloadJsHandler | MetadataHandler):
            raise HTTPError(404)  # for pages of other sites, which have no business here
        if _TOKEN_ARGUMENT in handler.request.arguments or _TOKEN_ARGUMENT in handler.request.headers:
            raise HTTPError(403)  # sessions are the server's to make: pages get theirs with the page
        user = await self._known(handler)
        if isinstance(handler, WebSocketHandler):
            _check_websocket(handler, user)
        if user is not None:
            setattr(handler.request, USER_KEY, user)  # for SignedUser, which gets the request and not the handler
        return user

    async def _known(self, handler: RequestHandler) -> str | None:
        if self._access.is_open:
            _check_host(handler)
            return self._access.user
        if self._module is None:
            return read_login(handler, self._cookie_name)
        found = self._module.get_user(handler) if self._module.get_user else self._module.get_user_async(handler)
        found = await found if inspect.isawaitable(found) else found
        if not found:
            return None
        return _clean(found.decode() if isinstance(found, bytes) else str(found)) or self._access.user


class _LoginPages(RequestHandler):
    def initialize(self, access: Access, cookie_name: str) -> None:
        self._access, self._cookie_name = access, cookie_name

    def get_template_path(self) -> str:
        return str(Path(__file__).parents[1] / "templates")

    @property
    def _home(self) -> str:
        return str(self.application.prefix) + "/"  # type: ignore[attr-defined]  # Bokeh's application has one

    def _next(self) -> str:
        wanted = self.get_argument("next", self._home)
        # Browsers leave out tabs and ends of lines: without them, /<tab>/ is the address of another site.
        is_plain = wanted.isprintable() and "\\" not in wanted
        is_ours = is_plain and wanted.startswith(self._home) and not wanted.startswith("//")
        return wanted if is_ours else self._home


class LoginHandler(_LoginPages):
    """Asks for the token and a name."""

    def get(self) -> None:
        """Show the form, where there is anything to ask."""
        if self._access.is_open or read_login(self, self._cookie_name):
            self.redirect(self._next())
        else:
            self._show("")

    async def post(self) -> None:
        """Check the token, and remember who came in."""
        token = self._access.token
        if token is None or not hmac.compare_digest(self.get_argument("token", "").encode(), token.encode()):
            await asyncio.sleep(_WRONG_TOKEN_DELAY_S)
            self.set_status(401)
            self._show("This is not the token. It stands in the terminal where the app was started.")
            return
        name = _clean(self.get_argument("user", "")) or self._access.user
        is_https = self.request.protocol == "https"
        self.set_signed_cookie(
            self._cookie_name,
            json.dumps({"user": name}),
            expires_days=_LOGIN_DAYS,
            path=self._home,
            httponly=True,
            samesite="Lax",
            secure=is_https,
        )
        self.redirect(self._next(), status=303)

    def _show(self, problem: str) -> None:
        self.set_header("Cache-Control", "no-store")
        self.render("login.html", prefix=self._home[:-1], next=self._next(), user=self._access.user, problem=problem)


class LogoutHandler(_LoginPages):
    """Forgets who came in."""

    def get(self) -> None:
        """Ask whether that is meant: a link from elsewhere logs nobody out."""
        self.render("logout.html", prefix=self._home[:-1])

    def post(self) -> None:
        """Log out."""
        self.clear_cookie(self._cookie_name, path=self._home)
        self.redirect(self._home + "login", status=303)


def read_login(handler: RequestHandler, cookie_name: str) -> str | None:
    """Tell who is logged in, by the signed cookie."""
    value = handler.get_signed_cookie(cookie_name, max_age_days=_LOGIN_DAYS)
    return None if value is None else str(parse_json(value)["user"])


def _clean(name: str) -> str:
    return "".join(c for c in name if c.isprintable()).strip()[:_MAX_NAME_CHARS]


def _check_host(handler: RequestHandler) -> None:
    """Refuse other names of the own machine: a site can give itself one, and read what is meant for this machine."""
    host = handler.request.host.lower()
    allowed = handler.application.websocket_origins  # type: ignore[attr-defined]  # Bokeh's application has them
    if host not in allowed and f"{host}:80" not in allowed:
        raise HTTPError(
            403,
            f"expected one of the hosts {', '.join(sorted(allowed))}, got {host}: serve with --origin {host}",
        )


def _check_websocket(handler: WebSocketHandler, user: str | None) -> None:
    """Refuse strangers before the handshake, and those who would take part in another's session."""
    offered = handler.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    try:
        owner = get_token_payload(offered[1].strip()).get(USER_KEY)
    except (IndexError, ValueError, TypeError) as error:
        raise HTTPError(403) from error
    if user is None or owner != user:
        raise HTTPError(403)
