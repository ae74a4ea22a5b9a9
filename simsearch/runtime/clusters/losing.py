"""A scheduler that no longer answers, in words, and Dask hushed where it would tell of that in its own."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from distributed.comm.core import CommClosedError

from simsearch.errors import ClusterError, SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client


def address_of(client: Client) -> str:
    """Tell where the scheduler of a client is, or was."""
    return str(client.scheduler.address) if client.scheduler else "an address that was never reached"


def lost_scheduler(address: str) -> ClusterError:
    """Say that a scheduler no longer answers."""
    return ClusterError(
        f"expected the Dask scheduler at {address} to go on answering, got no connection: start it and its workers "
        "again and run the same command"
    )


@contextmanager
def lost_told(client: Client, tell: Callable[[], ClusterError]) -> Iterator[None]:
    """Raise what is told of a lost scheduler instead of what Dask raises."""
    try:
        yield
    except (OSError, CommClosedError) as error:
        if isinstance(error, SimSearchError) or client.status == "running":
            raise
        raise tell() from error


_CANCEL = "sync.<locals>.cancel"
"""Of distributed: what it calls on Ctrl-C, which fails where nothing has begun, and is logged with its traceback."""


@contextmanager
def hushed() -> Iterator[Callable[[], None]]:
    """Offer to hear no more of Dask: where work is stopped in the middle, that workers had some in hand is no news.

    Yields
    ------
    callable
        From when it is called, Dask says nothing until the end.
    """
    handlers = logging.getLogger("distributed").handlers  # its children have levels of their own, but share these

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] != "distributed"

    def is_news(record: logging.LogRecord) -> bool:
        return _CANCEL not in record.getMessage()

    def hush() -> None:
        for handler in handlers:
            handler.addFilter(is_of_others)

    callbacks = logging.getLogger("tornado.application")
    callbacks.addFilter(is_news)
    try:
        yield hush
    finally:
        callbacks.removeFilter(is_news)
        for handler in handlers:
            handler.removeFilter(is_of_others)
