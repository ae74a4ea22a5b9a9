from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
from distributed.utils import LoopRunner, sync

from simsearch.runtime.clusters.losing import hushed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def runner() -> Iterator[LoopRunner]:
    runner = LoopRunner(asynchronous=False)
    runner.start()
    yield runner
    runner.stop()


def test_who_is_stopped_before_dask_has_begun_what_it_cancels_sees_no_page_of_it(
    runner: LoopRunner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    async def nothing() -> None:
        pass

    def stop() -> None:
        held, done = threading.Event(), threading.Event()
        runner.loop.add_callback(held.wait)  # so that Ctrl-C comes before the loop has begun
        with monkeypatch.context() as patch:
            patch.setattr("distributed.utils.threading.Event", type("Event", (threading.Event,), {"wait": interrupted}))
            with pytest.raises(KeyboardInterrupt):
                sync(runner.loop, nothing)
        runner.loop.add_callback(done.set)
        held.set()
        assert done.wait(10)

    with hushed():
        stop()
        logging.getLogger("tornado.application").error("something else")
    assert [record.getMessage() for record in caplog.records] == ["something else"]
