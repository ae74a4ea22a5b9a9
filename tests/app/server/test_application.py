"""The server answers those who may come in, and nobody else; nothing outside the study can be read."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
import zipfile
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from bokeh.models import Div
from bokeh.util.token import get_token_payload
from PIL import Image
from tornado.web import StaticFileHandler

from simsearch.app import site
from simsearch.app.context import Page
from simsearch.app.server import application
from simsearch.app.server import downloads as downloads_module
from simsearch.app.server.application import ServeOptions, Site, StudyServer, make_server
from simsearch.app.server.auth import decide_access, read_token
from simsearch.app.server.downloads import Download, download_key, downloads
from simsearch.app.server.pictures import PictureCache
from simsearch.app.urls import FULL_ZOOM, Urls
from simsearch.errors import ConfigError
from simsearch.io.pictures.render import Picture, ShownChannel, render_damage
from tests.app.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simsearch.app.context import PageContext, PageFunction
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot

TOKEN = "a token that is long enough"


def _page(context: PageContext) -> Page:
    return Page({"main": Div(text=f"for {context.user}")}, lambda snapshot: None)


def _mount(context: PageContext, name: str, make: PageFunction) -> None:
    for root in make(context).roots.values():
        context.doc.add_root(root)
    context.doc.title = name


SITE = Site({"images": _page, "regions": _page}, _mount, lambda snapshot: "images")


@dataclass
class Answer:
    """What the server answered."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def text(self) -> str:
        """The content."""
        return self.content.decode()


class Browser:
    """Keeps cookies, follows nothing."""

    def __init__(self, server: StudyServer) -> None:
        self.port, self.prefix, self.cookies = server.port, server.prefix, dict[str, str]()

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a path; in names of headers, _ stands for -."""
        return self.ask("GET", path, headers=headers)

    def ask(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Ask, and keep the cookies of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Cookie": self.cookie, **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in sent.items()})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        for header in response.headers.get_all("Set-Cookie", []):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    @property
    def cookie(self) -> str:
        """All cookies, as they are sent."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def log_in(self, token: str = TOKEN, user: str = "", path: str = "/login") -> Answer:
        """Fill in the form."""
        form = self.get(f"{self.prefix}{path}").text
        found = re.search(r'name="_xsrf" value="([^"]+)"', form)
        assert found
        body = urlencode({"token": token, "user": user, "_xsrf": found[1]})
        return self.ask("POST", f"{self.prefix}/login", body)

    def session_token(self, page: str = "images") -> str:
        """Open a page, and take the token that its websocket begins with."""
        answer = self.get(f"{self.prefix}/{page}")
        found = re.search(r'"token":"([^"]+)"', answer.text)
        assert found, answer.text[:500]
        return found[1]

    def connect(self, session_token: str, *, origin: str = "", page: str = "images") -> bytes | int:
        """Return the first message of the websocket, or the status of a refusal."""
        with self.upgraded(session_token, origin=origin, page=page) as (_, stream, status):
            if status != 101:
                return status
            _, length = stream.read(2)
            return stream.read(length)

    @contextmanager
    def upgraded(
        self, session_token: str, *, origin: str = "", page: str = "images"
    ) -> Iterator[tuple[socket.socket, BinaryIO, int]]:
        """Open a websocket: its connection, what comes from it, and the status of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
            "Sec-WebSocket-Protocol": f"bokeh, {session_token}",
            "Origin": origin or f"http://127.0.0.1:{self.port}",
            "Cookie": self.cookie,
        }
        with closing(connection):
            connection.request("GET", f"{self.prefix}/{page}/ws", headers=headers)
            with connection.sock.makefile("rb") as stream:
                status = int(stream.readline().split()[1])
                while stream.readline().strip():
                    pass
                yield connection.sock, stream, status


def urls_of(live: LiveStudy, server: StudyServer) -> Urls:
    """Make addresses as pages do."""
    shown = (ShownChannel(0, "00FF00", 0.0, 300.0), ShownChannel(1, "0000FF", 0.0, 300.0))
    return Urls(server.prefix, {image.name: i for i, image in enumerate(live.study.images)}, shown, "1")


def tile(template: str, z: int = FULL_ZOOM, x: int = 0, y: int = 0) -> str:
    return template.format(Z=z, X=x, Y=y)


def test_the_own_machine_needs_no_login(live: LiveStudy) -> None:
    with serving(live, SITE) as server:
        browser = Browser(server)
        home = browser.get("/")
        assert (home.status, home.headers["Location"]) == (302, "/images")
        assert server.url == f"http://127.0.0.1:{server.port}/"
        page = browser.get("/images")
        assert page.status == 200
        assert get_token_payload(browser.session_token())["simsearch_user"] == "tester"
        assert b"ACK" in bytes(browser.connect(browser.session_token()))


def test_pictures_can_be_had_and_kept(live: LiveStudy) -> None:
    with serving(live, SITE) as server:
        browser, urls = Browser(server), urls_of(live, server)
        answers = {
            name: browser.get(path)
            for name, path in {
                "tile": tile(urls.tile_template("b")),
                "beside": tile(urls.tile_template("b"), FULL_ZOOM, 1, -1),
                "beyond": tile(urls.tile_template("b"), FULL_ZOOM + 1),
                "far away": tile(urls.tile_template("b"), FULL_ZOOM - 4),
                "crop": urls.crop_at("a", (40.5, 40.25), (24, 30)),
                "thumbnail": urls.thumbnail("c", urls.channels([1])),
            }.items()
        }
        assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 200)
        sizes = {name: Image.open(BytesIO(answer.content)).size for name, answer in answers.items()}
        assert sizes == {
            **dict.fromkeys(["tile", "far away"], (256, 256)),
            **dict.fromkeys(["beside", "beyond"], (1, 1)),
            **{"crop": (30, 24), "thumbnail": (176, 176)},
        }
        for answer in answers.values():
            assert "private" in answer.headers["Cache-Control"]
            assert "immutable" in answer.headers["Cache-Control"]
        again = browser.get(tile(urls.tile_template("b")), If_None_Match=answers["tile"].headers["Etag"])
        assert (again.status, again.content) == (304, b"")
        assert np.asarray(Image.open(BytesIO(answers["thumbnail"].content)))[..., :2].max() < 40  # only blue is shown


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/tiles/4/0/0/0?c=0,00FF00,0,9", 404, ""),
        ("/tiles/0/0/0/0?c=7,00FF00,0,9", 400, "expected one of 2 channels"),
        ("/tiles/0/0/0/0?c=0,nocolor,0,9", 400, "expected INDEX,COLOR,LOW,HIGH"),
        ("/tiles/0/0/0/0?c=0,00FF00,9,9", 400, "and a range"),
        ("/tiles/0/0/0/0?c=0,00FF00,nan,9", 400, "and a range"),
        ("/tiles/0/0/0/0?c=0,%20%20%20%20%20%20,0,9", 400, "expected INDEX,COLOR,LOW,HIGH"),
        ("/tiles/0/0/0/0?c=-1,00FF00,0,9", 400, "expected INDEX,COLOR,LOW,HIGH"),
        ("/tiles/0/0/0/0?" + "c=0,00FF00,0,9&" * 500, 400, "expected each of 2 channels once, got 500"),
        ("/images?bokeh-token=x", 403, ""),
        ("/assets/app.css%00.png", 404, ""),
        ("/static/js/bokeh.min.js%00", 404, ""),
        ("/images%0d%0aX-Evil:1", 404, ""),
        ("/tiles/0/0/0/0", 400, "expected a channel"),
        ("/tiles/..%2F..%2Fetc/0/0/0?c=0,00FF00,0,9", 404, ""),
        ("/crops/0/900/900/20/20?c=0,00FF00,0,9&side=64", 404, "expected a place inside the image"),
        ("/crops/0/50/50/20/20?c=0,00FF00,0,9&side=999999", 400, "expected a side from 1 to"),
        ("/crops/0/50/50/20/20?c=0,00FF00,0,9", 400, "expected a side from 1 to"),
        ("/downloads/" + "0" * 32, 404, "expected a file of the study"),
        ("/downloads/..%2Fstudy.json", 404, ""),
        ("/downloads/../study.json", 404, ""),
        ("/assets/../server.py", 403, ""),
        ("/assets/..%2Fserver.py", 403, ""),
        ("/assets/%2Fetc%2Fpasswd", 403, ""),
        ("/static/..%2f..%2fserver/server.py", 403, ""),
        ("/images/autoload.js?bokeh-autoload-element=1", 404, ""),
        ("/images/metadata", 404, ""),
    ],
)
def test_what_does_not_exist_is_refused(live: LiveStudy, path: str, status: int, words: str) -> None:
    with serving(live, SITE) as server:
        answer = Browser(server).get(path)
        assert answer.status == status
        assert words in answer.text


def test_a_damaged_chunk_is_a_hatched_tile_that_is_asked_for_again(live: LiveStudy, tmp_path: Path) -> None:
    with serving(live, SITE) as server:
        browser, urls = Browser(server), urls_of(live, server)
        server._pictures.image(0)  # described while it was whole
        broken = replace(server._pictures.image(0), path=str(tmp_path / "gone.ome.zarr"))
        server._pictures._images[0] = broken
        answer = browser.get(tile(urls.tile_template("a")))
        assert answer.status == 200
        assert answer.content == render_damage().content
        assert (answer.headers["Cache-Control"], answer.headers["Etag"]) == ("no-store", None)


def secured(live: LiveStudy) -> dict[str, str]:
    """All that is behind the login, by name."""
    urls = Urls("", {image.name: i for i, image in enumerate(live.study.images)}, (), "1")
    query = "c=0,00FF00,0,9"
    return {
        "tile": tile(urls.tile_template("a")).replace("?", f"?{query}&"),
        "crop": urls.crop_at("a", (40, 40), (24, 24)).replace("?", f"?{query}&"),
        "thumbnail": urls.thumbnail("a").replace("?", f"?{query}&"),
        "download": urls.download("0" * 32),
    }


def test_strangers_get_nothing(live: LiveStudy) -> None:
    with serving(live, SITE, ServeOptions("tester", token=TOKEN)) as server:
        stranger = Browser(server)
        assert {name: stranger.get(path).status for name, path in secured(live).items()} == dict.fromkeys(
            secured(live), 401
        )
        for path in ("/", "/images", "/regions"):
            answer = stranger.get(path)
            assert answer.status == 302
            assert urlsplit(answer.headers["Location"]).path == "/login"
            assert "token" not in answer.text
        friend = Browser(server)
        friend.log_in()
        session_token = friend.session_token()
        assert b"ACK" in bytes(friend.connect(session_token))
        assert stranger.connect(session_token) == 403
        assert stranger.connect("no token") == 403
        stranger.cookies[f"simsearch-{server.port}"] = friend.cookies[f"simsearch-{server.port}"][:-4] + "0000"
        assert stranger.get(secured(live)["tile"]).status == 401
        assert stranger.connect(session_token) == 403


def test_logging_in_needs_the_token_and_the_form(live: LiveStudy) -> None:
    with serving(live, SITE, ServeOptions("tester", token=TOKEN)) as server:
        assert server.url == f"http://127.0.0.1:{server.port}/login#{TOKEN}"
        browser = Browser(server)
        assert browser.ask("POST", "/login", urlencode({"token": TOKEN})).status == 403  # without the form's secret
        refused = browser.log_in("another token of some length")
        assert refused.status == 401
        assert "not the token" in refused.text
        assert browser.get("/images").status == 302
        answer = browser.log_in(user="  Ada\n\u202e Lovelace " + "x" * 100)
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = next(c for c in answer.headers.get_all("Set-Cookie", []) if c.startswith("simsearch-"))
        assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        user = get_token_payload(browser.session_token())["simsearch_user"]
        assert user.startswith("Ada Lovelace xxx")
        assert len(user) == 64
        statuses = {name: browser.get(path).status for name, path in secured(live).items()}
        assert statuses == {"tile": 200, "crop": 200, "thumbnail": 200, "download": 404}
        out = browser.get("/logout")
        found = re.search(r'name="_xsrf" value="([^"]+)"', out.text)
        assert found
        browser.ask("POST", "/logout", urlencode({"_xsrf": found[1]}))
        assert browser.get("/images").status == 302


def test_the_login_leads_to_no_other_site(live: LiveStudy) -> None:
    with serving(live, SITE, ServeOptions("tester", token=TOKEN)) as server:
        elsewhere = ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
        elsewhere += [f"/{c}/evil.example" for c in ("\t", "\n", "\r", "\r\n", "\x0b", "\u2028")]
        friend = Browser(server)
        friend.log_in()
        for wanted in elsewhere:
            query = "/login?" + urlencode({"next": wanted})
            assert 'name="next" value="/"' in Browser(server).get(query).text
            answer = friend.get(query)
            assert (answer.status, answer.headers["Location"]) == (302, "/"), wanted
        assert 'name="next" value="/regions"' in Browser(server).get("/login?next=/regions").text


def test_a_session_belongs_to_who_opened_it(live: LiveStudy) -> None:
    with serving(live, SITE, ServeOptions("tester", token=TOKEN)) as server:
        ada, eve = Browser(server), Browser(server)
        ada.log_in(user="ada")
        eve.log_in(user="eve")
        assert eve.connect(ada.session_token()) == 403
        assert eve.get("/images?bokeh-session-id=chosen").status == 403


def test_pages_of_other_sites_cannot_connect(live: LiveStudy) -> None:
    with serving(live, SITE) as server:
        browser = Browser(server)
        session_token = browser.session_token()
        assert browser.connect(session_token, origin="http://evil.example") == 403
        assert browser.connect(session_token, origin=f"http://127.0.0.1:{server.port + 1}") == 403
        refused = browser.get("/images", Host=f"evil.example:{server.port}")
        assert refused.status == 403
        assert browser.get(secured(live)["tile"], Host=f"evil.example:{server.port}").status == 403


def test_a_session_tells_no_headers_and_cookies(live: LiveStudy) -> None:
    with serving(live, SITE, ServeOptions("tester", token=TOKEN)) as server:
        browser = Browser(server)
        browser.log_in()
        found = re.search(r'"token":"([^"]+)"', browser.get("/images", Authorization="Bearer secret").text)
        assert found
        payload = get_token_payload(found[1])
        assert payload["headers"] == {}
        assert payload["cookies"] == {}
        assert "secret" not in json.dumps(payload)


def test_all_answers_carry_the_headers_that_browsers_protect_with(live: LiveStudy) -> None:
    with serving(live, SITE, ServeOptions("tester", token=TOKEN)) as server:
        browser = Browser(server)
        for path in ("/login", "/images", "/tiles/0/0/0/0", "/static/js/bokeh.min.js", "/nothing"):
            headers = browser.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
            assert headers["Server"] is None


def test_behind_a_reverse_proxy_all_is_under_the_prefix(live: LiveStudy) -> None:
    options = ServeOptions("tester", prefix="/lab/study/", token=TOKEN, origins=("lab.example",))
    with serving(live, SITE, options) as server:
        browser = Browser(server)
        assert browser.get("/images").status == 404
        assert urlsplit(browser.get("/lab/study/").headers["Location"]).path == "/lab/study/login"
        assert browser.log_in().headers["Location"] == "/lab/study/"
        assert browser.get("/lab/study/").headers["Location"] == "/lab/study/images"
        page = browser.get("/lab/study/images", Host="lab.example").text
        assert "/lab/study/static/js/bokeh" in page
        urls = urls_of(live, server)
        assert urls.asset("app.css").startswith("/lab/study/assets/app.css?v=")
        assert browser.get(tile(urls.tile_template("a"))).status == 200
        assert b"ACK" in bytes(browser.connect(browser.session_token(), origin="https://lab.example"))
        assert browser.connect(browser.session_token(), origin="https://other.example") == 403
        assert browser.get("/lab/study/login").status == 302  # is logged in
        plain, https = Browser(server), Browser(server)
        assert not any("Secure" in cookie for cookie in plain.log_in().headers.get_all("Set-Cookie", []))
        found = re.search(r'name="_xsrf" value="([^"]+)"', https.get("/lab/study/login").text)
        assert found
        body = urlencode({"token": TOKEN, "_xsrf": found[1]})
        cookies = https.ask("POST", "/lab/study/login", body, {"X-Forwarded-Proto": "https"}).headers
        assert any("Secure" in cookie for cookie in cookies.get_all("Set-Cookie", []))


def test_an_auth_module_decides_instead(live: LiveStudy, tmp_path: Path) -> None:
    module = tmp_path / "auth.py"
    module.write_text(
        "def get_user(handler):\n    return handler.request.headers.get('X-User')\n\nlogin_url = '/sign-in'\n"
    )
    with serving(live, SITE, ServeOptions("tester", auth_module=module)) as server:
        browser = Browser(server)
        assert server.url.endswith(f":{server.port}/")
        assert browser.get(secured(live)["tile"]).status == 401
        assert urlsplit(browser.get("/images").headers["Location"]).path == "/sign-in"
        assert browser.get("/login").status == 404
        assert browser.get(secured(live)["tile"], X_User="ada").status == 200
        found = re.search(r'"token":"([^"]+)"', browser.get("/images", X_User="ada").text)
        assert found
        assert get_token_payload(found[1])["simsearch_user"] == "ada"


@pytest.mark.parametrize(
    ("address", "options", "is_open"),
    [
        ("127.0.0.1", {}, True),
        ("localhost", {}, True),
        ("::1", {}, True),
        ("127.0.0.1", {"origins": ["localhost:9000"]}, True),
        ("127.0.0.1", {"origins": ["lab.example"]}, False),
        ("127.0.0.1", {"token": TOKEN}, False),
        ("0.0.0.0", {}, False),
        ("", {}, False),
        ("192.168.1.5", {}, False),
    ],
)
def test_whatever_others_can_reach_needs_a_token(address: str, options: dict[str, Any], is_open: bool) -> None:
    access = decide_access(address, user="tester", **{"token": None, "module": None, **options})
    assert access.is_open == is_open
    assert is_open or len(access.token or "") >= 16


def test_tokens_are_made_anew_and_short_ones_refused(tmp_path: Path) -> None:
    made = {decide_access("0.0.0.0", user="tester", token=None, module=None).token for _ in range(3)}
    assert len(made) == 3
    assert all(len(token or "") > 40 for token in made)
    with pytest.raises(ConfigError, match="at least 16 characters, got 5"):
        decide_access("127.0.0.1", user="tester", token="12345", module=None)
    with pytest.raises(ConfigError, match="got none there"):
        decide_access("0.0.0.0", user="tester", token=None, module=tmp_path / "auth.py")
    with pytest.raises(ConfigError, match="got both"):
        decide_access("0.0.0.0", user="tester", token=TOKEN, module=tmp_path / "auth.py")


def test_a_token_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN}\nand what is below\n")
    assert read_token(file) == TOKEN
    with pytest.raises(ConfigError, match="expected a file with a token, got"):
        read_token(tmp_path / "missing")


def test_pictures_are_kept_while_there_is_room() -> None:
    cache = PictureCache(cache_bytes=100_000)
    for name, size in (("a", 40_000), ("b", 40_000)):
        cache.put(name, Picture(b"." * size, "image/jpeg"))
    assert cache.get("a")
    cache.put("c", Picture(b"." * 30_000, "image/jpeg"))
    assert [bool(cache.get(name)) for name in "abc"] == [True, False, True]
    before = cache.n_bytes
    cache.put("a", Picture(b"." * 10_000, "image/jpeg"))
    assert cache.n_bytes == before - 30_000
    cache.put("d", Picture(b"." * 100_001, "image/jpeg"))
    assert cache.n_bytes == 0


def test_names_of_pictures_count_too_however_long_and_however_small_the_pictures() -> None:
    cache, nothing = PictureCache(cache_bytes=1_000_000), Picture(b".", "image/png")
    long, short = [str(i).zfill(50_000) for i in range(100)], [str(i) for i in range(10_000)]
    for name in (*long, *short):
        cache.put(name, nothing)
    assert cache.n_bytes <= 1_000_000
    assert sum(cache.get(name) is not None for name in short) < 1000
    assert not any(cache.get(name) for name in long)


def test_an_image_that_has_gone_is_hatched_and_not_black(live: LiveStudy) -> None:
    with serving(live, SITE) as server:
        browser, urls = Browser(server), urls_of(live, server)
        assert browser.get(tile(urls.tile_template("a"), FULL_ZOOM)).content != render_damage().content
        folder = Path(server._pictures.image(0).path)
        folder.rename(folder.with_name("elsewhere"))
        try:
            for path in (tile(urls.tile_template("a"), FULL_ZOOM - 1), urls.thumbnail("a")):
                answer = browser.get(path)
                assert answer.content == render_damage().content
                assert answer.headers["Cache-Control"] == "no-store"
        finally:
            folder.with_name("elsewhere").rename(folder)


def test_a_connection_that_says_nothing_is_closed(live: LiveStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_IDLE_S", 0.2)
    with serving(live, SITE) as server, socket.create_connection(("127.0.0.1", server.port or 0)) as slow:
        slow.settimeout(30)
        slow.sendall(b"GET /images HTTP/1.1\r\nHost: ")  # and no more
        assert slow.recv(1) == b""


def _trickle(slow: socket.socket, end_s: float = 30) -> None:
    """Send a byte again and again until the server hangs up."""
    slow.settimeout(0.02)
    last = time.monotonic() + end_s
    with suppress(ConnectionError):
        while time.monotonic() < last:
            slow.sendall(b"a")
            with suppress(TimeoutError):
                if not slow.recv(4096):
                    return
        pytest.fail("the connection is still open")


@pytest.mark.parametrize(
    "begin", ["GET /images HTTP/1.1\r\nX: ", "POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999\r\n\r\n"]
)
def test_a_request_that_trickles_in_is_given_up(live: LiveStudy, monkeypatch: pytest.MonkeyPatch, begin: str) -> None:
    monkeypatch.setattr(application, "_IDLE_S", 0.3)
    monkeypatch.setattr(application, "_BODY_S", 0.3)
    with serving(live, SITE) as server, socket.create_connection(("127.0.0.1", server.port or 0)) as slow:
        slow.sendall(begin.format(host=f"127.0.0.1:{server.port}").encode())
        _trickle(slow)


def test_a_message_of_a_page_that_trickles_in_is_given_up(live: LiveStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_PING_S", 0.3)
    with serving(live, SITE) as server:
        browser = Browser(server)
        with browser.upgraded(browser.session_token()) as (slow, _, status):
            assert status == 101
            slow.sendall(b"\x81\xfe\xff\xffmask")  # the head of a message of 65,535 bytes
            _trickle(slow)


def test_a_download_that_nobody_takes_is_given_up(live: LiveStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads_module, "_PATIENCE_S", 0.2)
    large = live.study.folder / "large.csv"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)  # more than sockets hold
    monkeypatch.setattr(application, "_downloads", lambda live: {download_key(large): Download(large.name, (large,))})
    with serving(live, SITE) as server, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        host = f"127.0.0.1:{server.port}"
        slow.sendall(f"GET /downloads/{download_key(large)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        slow.settimeout(30)
        time.sleep(1.0)  # the server waits less
        received = 0
        with suppress(ConnectionResetError):
            while piece := slow.recv(1 << 20):
                received += len(piece)
        assert received < 64 * 2**20
    large.unlink()


def test_only_files_in_the_study_can_be_downloaded(tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    inside, outside, leads_out = study / "table.csv", tmp_path / "secret", study / "link"
    inside.write_text("a")
    outside.write_text("b")
    leads_out.symlink_to(outside)
    paths = [inside, outside, leads_out, study, study / "missing", study / ".." / "secret"]
    each = [Download(path.name, (path,)) for path in paths]
    every = Download("all.zip", tuple(paths), archived=study)
    assert downloads(study, [*each, every]) == {
        download_key(inside): each[0],
        download_key(study): Download("all.zip", (inside,), archived=study),
    }


def test_an_archive_is_written_as_it_is_sent(tmp_path: Path) -> None:
    folder, rng = tmp_path / "detect-1", np.random.default_rng(0)
    files = [folder / "geojson" / "P" / "A" / f"0{i}" / "0.geojson" for i in (1, 2)]
    for path in files:
        path.parent.mkdir(parents=True)
        path.write_bytes(rng.bytes(5 << 20))
    (folder / "empty.csv").touch()
    os.utime(folder / "empty.csv", (0, 0))  # of before there was zip
    pieces = list(Download("detect-1.zip", (*files, folder / "empty.csv"), archived=folder).pieces())
    assert max(map(len, pieces)) < 3 << 20  # never a file as a whole
    with zipfile.ZipFile(BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "detect-1/geojson/P/A/01/0.geojson", "detect-1/geojson/P/A/02/0.geojson", "detect-1/empty.csv"
        ]  # fmt: skip
        assert archive.read("detect-1/geojson/P/A/02/0.geojson") == files[1].read_bytes()


def test_a_file_that_goes_while_an_archive_is_sent_ends_the_connection(
    live: LiveStudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(b"a" * 100)
    listed = Download("all.zip", (tmp_path / "a.csv", tmp_path / "gone.csv"), archived=tmp_path)
    monkeypatch.setattr(application, "_downloads", lambda live: {download_key(tmp_path): listed})
    with serving(live, SITE) as server, socket.create_connection(("127.0.0.1", server.port or 0)) as asking:
        host = f"127.0.0.1:{server.port}"
        asking.sendall(f"GET /downloads/{download_key(tmp_path)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        asking.settimeout(30)
        received = b""
        while piece := asking.recv(1 << 16):
            received += piece
    assert b"filename*=UTF-8''all.zip" in received
    assert not received.endswith(b"0\r\n\r\n")  # which would say that it is complete


def test_a_port_that_is_taken_is_said_so(live: LiveStudy) -> None:
    with serving(live, SITE) as server, pytest.raises(ConfigError, match=r"--address or --port"):
        make_server(live, ServeOptions("tester", port=server.port or 0), SITE)


def test_pages_are_made_once_before_anybody_comes(live: LiveStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    gone: list[str] = []

    def mount(context: PageContext, name: str, make: PageFunction) -> None:
        made.append(name)
        context.doc.on_session_destroyed(lambda _: gone.append(name))
        if name == "images":
            raise ConfigError("what a page says to who opens it")

    monkeypatch.setattr(StaticFileHandler, "_static_hashes", {})
    with serving(live, replace(SITE, mount=mount)) as server:
        server.make_for_nobody()
        hashed = [Path(path).name for path in StaticFileHandler._static_hashes]

    assert made == gone == ["images", "regions"]
    assert "bokeh.min.js" in hashed


def test_what_was_made_for_nobody_hears_of_nothing(live: LiveStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Callable[[], None]] = []
    subscribe = live.subscribe

    def counted(listener: Callable[[Snapshot], None]) -> Callable[[], None]:
        end = subscribe(listener)
        heard.append(end)
        return lambda: (end(), heard.remove(end))[0]

    monkeypatch.setattr(live, "subscribe", counted)
    with serving(live, site.SITE) as server:
        server.make_for_nobody()
        assert heard == []
    assert len(site.SITE.pages) > 1
