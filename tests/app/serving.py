"""A server of a study in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tornado.ioloop import IOLoop

from simsearch.app.server.application import ServeOptions, Site, StudyServer, make_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.app.session.live import LiveStudy


@contextmanager
def serving(live: LiveStudy, site: Site, options: ServeOptions | None = None) -> Iterator[StudyServer]:
    """Serve in a thread with an event loop of its own."""
    started, made = threading.Event(), []

    def serve() -> None:
        async def until_stopped() -> None:
            server = make_server(live, options or ServeOptions("tester"), site)
            server.start()
            made.append((server, IOLoop.current(), stop))
            started.set()
            await stop.wait()
            await server.close()

        stop = asyncio.Event()
        asyncio.run(until_stopped())

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(30)
    server, loop, stop = made[0]
    try:
        yield server
    finally:
        loop.add_callback(stop.set)
        thread.join(30)
