"""Stopping work from outside: from a button, another thread or a signal."""

from __future__ import annotations

from threading import Event as Flag
from typing import TYPE_CHECKING

from simsearch.errors import Cancelled

if TYPE_CHECKING:
    from simsearch.runtime.events import Event, Observer


class CancelToken:
    """What whoever starts work and whoever stops it share; safe between threads."""

    def __init__(self) -> None:
        self._flag = Flag()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._flag.is_set()

    def cancel(self) -> None:
        """Ask to stop. Once asked, always asked."""
        self._flag.set()


def cancellable(observe: Observer, token: CancelToken) -> Observer:
    """Make a workflow that tells an observer stop soon after a token is cancelled.

    Workflows tell what happens several times a second, even where nothing does (`Waiting`), and end with whatever an
    observer raises: tasks that have not begun are given up, and what is done is kept.

    Parameters
    ----------
    observe : callable
        Gets the events up to then.
    token : CancelToken
        What is cancelled.

    Returns
    -------
    callable
        To be given to a workflow, which then raises `Cancelled`.
    """

    def check(event: Event) -> None:
        if token.is_cancelled:
            raise Cancelled("stopped as asked: what is done is kept, and the same again goes on from there")
        observe(event)

    return check
