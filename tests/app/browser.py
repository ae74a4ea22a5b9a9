"""A person at a browser, and the server that the person uses, as a process of its own that can be killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsearch.workflows.curate.study import open_study, read_curation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page

    from simsearch.curation.state import Curation

PATIENCE_S = 240.0
"""How long to wait for anything: a busy machine is no bug."""

LONG_PATIENCE_S = 1200.0
"""How long to wait for a training, which takes a minute on two idle cores."""

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
"""Of processes: this copy of simsearch is run."""

SIMSEARCH = (sys.executable, "-m", "tests.app.briefly")
"""The command."""

_VIEWER = """([y, x]) => {
  const figure = Bokeh.documents[0].get_model_by_name('viewer');
  const view = Bokeh.index.find_one(figure);
  const corner = view.canvas_view.el.getBoundingClientRect();
  const { left, top, width, height } = view.frame.bbox;
  const [h, v] = [figure.x_range, figure.y_range];
  return [corner.left + left + (x + 0.5 - h.start) / (h.end - h.start) * width,
          corner.top + top + (v.end + y + 0.5) / (v.end - v.start) * height];
}"""


def find_chromium() -> str | None:
    """Find a Chromium on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def flawless_tab(chromium: Browser, height: int) -> Iterator[Page]:
    """Open a tab, in which nothing must go wrong."""
    tab = chromium.new_page(viewport={"width": 1280, "height": height})
    tab.set_default_timeout(90_000)
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield tab
    tab.close()
    assert problems == [], problems


def on_screen(tab: Page, y: float, x: float) -> tuple[float, float]:
    """Find a place of the image that is shown on the screen; y and x in level-0 pixels."""
    left, top = tab.evaluate(_VIEWER, [y, x])
    return left, top


def wait_until(is_so: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> Any:  # noqa: ANN401  what the function gives
    """Ask again and again until something is so, and return it."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"expected {what} within {patience_s:g} s")


@dataclass
class Server:
    """``simsearch serve`` of a study."""

    study: Path
    log: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, at the port that it had before."""
        self.port = self.port or _free_port()
        self.log.touch()
        n_started = self.log.read_text().count("Open http")
        command = [*SIMSEARCH, "serve", str(self.study), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--no-browser", "--user", "ada", "--cluster", "threads"],
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
            )
        wait_until(lambda: self._is_up(n_started), f"a server, see {self.log}:\n{self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it without a chance to save anything."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def curation(self) -> Curation:
        """Read what was said so far, as it stands on the disk."""
        return read_curation(open_study(self.study))[0].state

    def _is_up(self, n_started: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self.log.read_text().count("Open http") > n_started


class Person:
    """Somebody at a browser.

    Parameters
    ----------
    page : playwright.sync_api.Page
        The tab.
    server : Server
        The server.
    """

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.problems: list[str] = []
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)

    def go(self, name: str) -> None:
        """Open a page, and wait until it is in touch with the server."""
        self.page.goto(f"{self.server.url}/{name}")
        self.page.wait_for_selector("html[data-ready]")

    def step(self, title: str) -> None:
        """Click a step at the top."""
        self.page.locator(".steps a", has_text=title).click()
        self.page.wait_for_selector("html[data-ready]")

    def drag_box(self, y: float, x: float, side: float) -> None:
        """Draw a box on the image that is shown; in level-0 pixels."""
        self.settle()
        half = side / 2
        start = self.page.evaluate(_VIEWER, [y - half, x - half])
        end = self.page.evaluate(_VIEWER, [y + half, x + half])
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        mouse.move(*end, steps=4)
        mouse.up()

    def settle(self) -> None:
        """Wait until the viewer has its size, and shows the image at a place that stays."""

        def place() -> object:
            return self.page.evaluate(_VIEWER, [0, 0])

        wait_until(lambda: self.page.evaluate("Boolean(window.simsearch?.viewer?.image)"), "an image in the viewer")
        before: list[object] = []

        def is_still() -> bool:
            before.append(place())
            time.sleep(0.1)
            return len(before) > 2 and before[-1] == before[-2]

        wait_until(is_still, "a viewer that stays where it is")

    def shown_image(self) -> str:
        """Name the image in the viewer."""
        return str(self.page.evaluate("simsearch.viewer.image"))

    def numbers(self, selector: str) -> list[int]:
        """Read the whole numbers in an element."""
        text = self.page.locator(selector).inner_text().replace(",", "")
        return [int(number) for number in re.findall(r"\d+", text)]

    def saved(self) -> None:
        """Wait until everything is saved."""
        self.page.get_by_text("All changes saved").wait_for()

    def first(self, selector: str) -> Locator:
        """Find the first element."""
        return self.page.locator(selector).first


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
