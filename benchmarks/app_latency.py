"""How long a person waits at the browser: six images, features ready, in real Chromium."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

import numpy as np
from playwright.sync_api import sync_playwright

from benchmarks.live import make_study
from benchmarks.scale import TISSUE_SHARE
from benchmarks.synthetic import CELL, islands, write_slide
from simsearch.workflows.curate.study import Study, StudyOptions, create_study

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

_LOW = 0.2  # threshold
_N = 20  # of each that is measured several times
_N_BOXES = 100_000
_PATIENCE_MS = 300_000
_TILES = "[...simsearch.model('viewer').renderers[0].tile_source.tiles.values()]"
_ARE_THERE = f"{_TILES}.every((tile) => tile.loaded)"
_MOVE = """([ratio, shift]) => {
  const { x_range: x, y_range: y } = simsearch.model('viewer');
  for (const range of [x, y]) {
    const span = range.end - range.start;
    const start = range.start + (range === x || ratio < 1 ? shift * span : 0);
    range.setv({ start, end: start + ratio * span });
  }
}"""
# Each fetched once to have the server draw it, and timed when the server has it and the browser has not.
_TILE_TIMES = """async () => {
  const source = simsearch.model('viewer').renderers[0].tile_source;
  const urls = [];
  for (let tile = 0; tile < 32; tile += 1) {
    urls.push(source.url.replace('{Z}', 20).replace('{X}', tile % 8).replace('{Y}', tile >> 3));
  }
  const timed = async (url) => {
    const begin = performance.now();
    await (await fetch(url, { cache: 'no-store' })).blob();
    return performance.now() - begin;
  };
  const [first, again] = [[], []];
  for (const url of urls) first.push(await timed(url));
  for (const url of urls) again.push(await timed(url));
  return [first, again];
}"""
_SLIDE = """async (values) => {
  const times = [];
  for (const value of values) {
    const begin = performance.now();
    simsearch.viewer.threshold('class 1', value);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    times.push(performance.now() - begin);
  }
  return times;
}"""
_MANY = """(n) => {
  const { width, height } = simsearch.viewer.size();
  const column = (make, type = Float32Array) => type.from({ length: n }, (_, row) => make(row));
  const data = { x: column((row) => (row * 7919) % width), y: column((row) => -((row * 104729) % height)),
    score: column((row) => 1 - row / n), is_flagged: new Uint8Array(n), is_own: new Uint8Array(n) };
  simsearch.model('peaks:class 1').setv({ data }, { sync: false });
}"""
_CHANGED = """(name) => { window.changed = new Promise((done) => {
  const { data } = simsearch.model(name).properties;
  const tell = () => { data.change.disconnect(tell); done(performance.now()); };
  data.change.connect(tell);
  window.addEventListener('pointerup', () => { window.began = performance.now(); }, { capture: true, once: true });
}); }"""
_PLACE = """([y, x]) => {
  const figure = simsearch.model('viewer');
  const view = Bokeh.index.find_one(figure);
  const corner = view.canvas_view.el.getBoundingClientRect();
  const { left, top, width, height } = view.frame.bbox;
  return [corner.left + left + (x - figure.x_range.start) / (figure.x_range.end - figure.x_range.start) * width,
          corner.top + top + (figure.y_range.end + y) / (figure.y_range.end - figure.y_range.start) * height];
}"""


def run(side: int) -> Iterator[tuple[str, float]]:
    """Measure.

    Yields
    ------
    str, float
        What a person waits for, and how many milliseconds.
    """
    with tempfile.TemporaryDirectory() as folder, _opened(make_study(Path(folder), side)) as (page, url, pid):
        yield from _measure(page, url, pid)


def run_slide(side: int) -> Iterator[tuple[str, float]]:
    """Measure how a slide is zoomed and panned in its first seconds, while its features are computed."""
    with tempfile.TemporaryDirectory() as folder:
        slide = write_slide(Path(folder) / "slide.ome.zarr", side, islands(-(-side // CELL), TISSUE_SHARE))
        with _opened(create_study(Path(folder) / "study", [slide], StudyOptions())) as (page, url, _):
            begin = time.perf_counter()
            page.goto(f"{url}regions")
            page.wait_for_function(f"window.simsearch?.viewer?.image && {_TILES}.length && {_ARE_THERE}")
            yield "the page opened until all visible tiles are there", 1000 * (time.perf_counter() - begin)
            for name, ratio, shift in (("zoomed in by 0.8", 0.8, 0.1), ("panned by a quarter of the view", 1.0, 0.25)):
                waits = [_move(page, ratio, shift) for _ in range(_N)]
                yield f"{name} until all visible tiles are there, median", statistics.median(waits)
                yield f"{name} until all visible tiles are there, most", max(waits)


def _move(page: Page, ratio: float, shift: float) -> float:
    begin = time.perf_counter()
    page.evaluate(_MOVE, [ratio, shift])
    page.wait_for_timeout(20)  # the viewer asks for tiles
    page.wait_for_function(_ARE_THERE)
    return 1000 * (time.perf_counter() - begin)


@contextmanager
def _opened(study: Study) -> Iterator[tuple[Page, str, int]]:
    """Serve a study, and open a browser."""
    command = [sys.executable, "-m", "simsearch", "serve", str(study.folder), "--no-browser", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = _address(server)
        with sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
            yield browser.new_page(viewport={"width": 1280, "height": 720}), url, server.pid
            browser.close()
    finally:
        server.terminate()
        server.wait()


class _Asker(threading.Thread):
    """Asks a server for something small all the time: what it waits for, everybody waits for."""

    def __init__(self, url: str, pid: int) -> None:
        super().__init__(daemon=True)
        self._url, self._is_over = url, threading.Event()
        self._loop = Path(f"/proc/{pid}/task/{pid}/schedstat")  # the event loop runs in the main thread
        self.waited: list[tuple[float, float]] = []
        """How long in ms, and for how much of it the event loop had a core, however busy the machine is."""

    def run(self) -> None:
        while not self._is_over.wait(0.01):
            begin, cpu_ns = time.perf_counter(), self._cpu_ns()
            urllib.request.urlopen(self._url).read()
            self.waited.append((1000 * (time.perf_counter() - begin), (self._cpu_ns() - cpu_ns) / 1e6))

    def stop(self) -> tuple[list[float], list[float]]:
        self._is_over.set()
        self.join()
        waited, computed = zip(*self.waited, strict=True)
        return list(waited), list(computed)

    def _cpu_ns(self) -> int:
        return int(self._loop.read_text().split()[0])


def _address(server: subprocess.Popen[str]) -> str:
    for line in server.stdout or ():
        if "http://" in line:
            return line[line.index("http://") :].strip()
    raise SystemExit("expected an address of the server, got none")


def _measure(page: Page, url: str, pid: int) -> Iterator[tuple[str, float]]:
    page.set_default_timeout(_PATIENCE_MS)
    page.wait_for_timeout(1000)  # a browser takes longer to start
    asker = _Asker(f"{url}assets/icon.svg", pid)
    asker.start()
    page.goto(f"{url}regions")
    page.wait_for_selector("html[data-ready]")
    page.wait_for_function("!document.querySelector('#jobs').textContent")  # features are there
    waited, computed = asker.stop()
    yield "a small question while features are computed, median", statistics.median(waited)
    yield "a small question while features are computed, 99 of 100 at most", float(np.percentile(waited, 99))
    yield "a small question while features are computed, most", max(waited)
    yield "what of one the event loop computes, most", max(computed)
    begin = time.perf_counter()
    page.goto(f"{url}regions")
    page.wait_for_function(f"window.simsearch?.viewer?.image && {_TILES}.length && {_ARE_THERE}")
    yield "a page opened until all visible tiles are there", 1000 * (time.perf_counter() - begin)
    first, again = page.evaluate(_TILE_TIMES)
    yield "a tile that nobody has looked at, median", statistics.median(first)
    yield "a warm tile, median", statistics.median(again)
    waits = [_draw(page, 200 + 90 * i, 300 + 50 * i, after="classes" if i == 0 else "peaks:class 1") for i in range(4)]
    yield "the next box to its new suggestions on the screen, median", statistics.median(waits[1:])
    slides = page.evaluate(_SLIDE, [0.9 - 0.02 * i for i in range(_N)])
    yield "a step of the threshold to the repainted image, median", statistics.median(slides)
    yield "a step of the threshold to the repainted image, most", max(slides)
    page.evaluate(_SLIDE, [_LOW])  # so that there is something to flag
    yield "a click on a suggestion to its flag on the screen, median", statistics.median(_flags(page))
    page.evaluate(_MANY, _N_BOXES)
    slides = page.evaluate(_SLIDE, [0.9 - 0.02 * i for i in range(_N)])
    yield f"the same step with {_N_BOXES:,} boxes, median", statistics.median(slides)
    yield f"the same step with {_N_BOXES:,} boxes, most", max(slides)


def _draw(page: Page, y: float, x: float, after: str) -> float:
    """Draw a box; return how long it takes until the boxes on the screen are others."""
    if after != "classes":
        page.evaluate(_CHANGED, after)
    start, end = (page.evaluate(_PLACE, [y + d, x + d]) for d in (-24, 24))
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()
    if after == "classes":
        page.wait_for_function("simsearch.model('peaks:class 1')?.data.x.length > 0")
        return 0.0
    waited: float = page.evaluate("changed.then((now) => now - began)")
    page.wait_for_timeout(700)  # a person looks
    return waited


def _flags(page: Page) -> Iterator[float]:
    for _ in range(10):
        if not _flag(page):
            return
        yield page.evaluate("changed.then((now) => now - began)")
        page.wait_for_timeout(300)


def _flag(page: Page) -> bool:
    """Click on a suggestion; tell whether there was one."""
    found: list[Any] = page.evaluate("""() => {
      const { x, y, score, is_flagged: flagged } = simsearch.model('peaks:class 1').data;
      const least = simsearch.model('limit of peaks:class 1').data.threshold[0];
      for (let row = 12; row < x.length; row += 1) {
        if (score[row] >= least && !flagged[row]) return [-y[row], x[row]];
      }
      return [];
    }""")
    if found:
        page.evaluate(_CHANGED, "peaks:class 1")
        page.mouse.click(*page.evaluate(_PLACE, found))
    return bool(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048, help="of an image in pixels")
    parser.add_argument("--slide", type=int, help="instead, of one slide in pixels, such as 100000")
    options = parser.parse_args()
    for what, milliseconds in run_slide(options.slide) if options.slide else run(options.side):
        print(f"{what}: {milliseconds:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
