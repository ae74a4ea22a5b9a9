"""From a study to a server that people work with, until it is told to stop."""

from __future__ import annotations

import gc
import signal
import webbrowser
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simsearch.app.server.application import ServeOptions, make_server
from simsearch.app.session.live import LiveStudy
from simsearch.runtime.clusters.workers import Yielding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tornado.ioloop import IOLoop

    from simsearch.app.server.application import Site
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    client: Client,
    study: Study,
    options: ServeOptions,
    site: Site,
    *,
    tell: Callable[[str, str], None],
    open_browser: bool,
) -> None:
    """Serve a study until SIGINT (Ctrl-C) or SIGTERM; to be called in the main thread.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    study : Study
        The study, which nobody else has open for writing.
    options : ServeOptions
        Where, and for whom.
    site : Site
        The pages.
    tell : callable
        Gets the address to open, and what should be known before (empty if nothing), once the server answers.
    open_browser : bool
        Whether to open the address in a browser of this machine.

    Raises
    ------
    StoreError
        If the study is open elsewhere, cannot be read or written, or is damaged.
    ConfigError
        If the address or port cannot be had, or the options contradict each other.
    """
    with LiveStudy(client, study, options.memory_bytes) as live:
        client.register_plugin(Yielding())
        server = make_server(live, options, site)
        loop: IOLoop = server.io_loop
        server.start()
        server.make_for_nobody()
        gc.freeze()  # what was imported stays; to look through it again and again makes everybody wait
        try:
            tell(server.url, live.snapshot.notice)
            if open_browser:
                loop.add_callback(webbrowser.open, server.url)
            with _stopping(loop):
                loop.start()
        finally:
            server.stop()


@contextmanager
def _stopping(loop: IOLoop) -> Iterator[None]:
    """Let signals stop a loop; a second one does what it always does."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def stop(number: int, frame: object) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        loop.add_callback_from_signal(loop.stop)

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
