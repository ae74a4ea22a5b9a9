"""What people ask for is done in order; what fails is said, and the next thing is done all the same."""

from __future__ import annotations

import threading

from simsearch.app.session.deeds import Deeds
from simsearch.errors import CurationError


def _fail(error: Exception) -> None:
    raise error


def test_deeds_are_done_in_order_outside_the_callers_thread() -> None:
    done: list[tuple[int, bool]] = []
    gate, finished, here = threading.Event(), threading.Event(), threading.get_ident()
    deeds = Deeds(lambda n_waiting, message: None)
    deeds(lambda: gate.wait(20))
    for number in range(5):
        deeds(lambda number=number: done.append((number, threading.get_ident() == here)))
    deeds(finished.set)
    assert not done
    gate.set()
    assert finished.wait(20)
    assert done == [(number, False) for number in range(5)]
    deeds.close()


def test_reports_count_down_and_name_what_failed_in_words() -> None:
    reports: list[tuple[int, str]] = []
    finished = threading.Event()

    def report(n_waiting: int, message: str) -> None:
        reports.append((n_waiting, message))
        if len(reports) == 6:
            finished.set()

    gate = threading.Event()
    deeds = Deeds(report)
    deeds(lambda: gate.wait(20))
    deeds(lambda: _fail(CurationError("expected a prototype, got none: draw one")))
    deeds(lambda: _fail(KeyError("odd")))
    gate.set()
    assert finished.wait(20)
    assert [n for n, _ in reports][-3:] == [2, 1, 0]
    assert [message for _, message in reports][-3:] == [
        "",
        "Draw one. This needs a prototype, and there is none.",
        "Something went wrong (KeyError: 'odd'). The log of the server has more.",
    ]
    deeds.close()
