"""Questions to every process of a cluster that end in time: who does not answer is told apart, and holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simsearch.errors import SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Client

Value = TypeVar("Value")

_WAY_S = 5.0  # beyond the time for the answer itself: connecting, and bringing it back


@dataclass(frozen=True, slots=True)
class Answered(Generic[Value]):
    """What a process has answered."""

    value: Value


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why there is no answer."""

    reason: str
    is_late: bool = False
    """Whether none has come in time."""


Answer = Answered[Value] | Unanswered


def ask_here(function: Callable[..., Value], *arguments: object, timeout_s: float) -> Answer[Value]:
    """Call a function in a thread that is left behind if it takes too long, as a file system that hangs does.

    Examples
    --------
    >>> ask_here(len, "four", timeout_s=5)
    Answered(value=4)
    >>> ask_here(int, "four", timeout_s=5).reason
    "ValueError: invalid literal for int() with base 10: 'four'"
    """
    try:
        return Answered(_begun(function, arguments).result(timeout_s))
    except Exception as error:  # noqa: BLE001  whatever the function may raise
        return _unanswered(error, timeout_s)


def ask_workers(
    client: Client, function: Callable[..., Value], *arguments: object, workers: Sequence[str], timeout_s: float
) -> dict[str, Answer[Value]]:
    """Call a function in the process of each worker, beside its tasks.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    function : callable
        A function of a module, so that workers find it by name.
    *arguments : object
        The same for all.
    workers : sequence of str
        Addresses of those that are asked.
    timeout_s : float
        How long each may take.

    Returns
    -------
    dict of str to Answered or Unanswered
        By address.
    """

    async def ask(worker: str) -> Answer[Value]:
        answers = await client.run(_answer, function, arguments, timeout_s, workers=[worker], on_error="return")
        return _received(answers.get(worker, OSError("the worker has gone")))

    async def ask_all() -> list[Answer[Value]]:
        return list(await asyncio.gather(*(_waited_for(ask(worker), timeout_s + _WAY_S) for worker in workers)))

    return dict(zip(workers, client.sync(ask_all), strict=True))


def ask_scheduler(
    client: Client, function: Callable[..., Value], *arguments: object, timeout_s: float
) -> Answer[Value]:
    """Call a function in the process of the scheduler, beside its work."""

    async def ask() -> Answer[Value]:
        return _received(await client.run_on_scheduler(_answer, function, arguments, timeout_s))

    async def ask_in_time() -> Answer[Value]:
        return await _waited_for(ask(), timeout_s + _WAY_S)

    answer: Answer[Value] = client.sync(ask_in_time)
    return answer


def ask_dask_versions(client: Client, *, timeout_s: float) -> dict[str, Any]:
    """Ask what Dask tells of all processes, also of those that can take no question of ours; nothing if it is late."""

    async def ask() -> dict[str, Any]:
        asked: Any = client.get_versions()  # what Dask says that it returns depends on who asks
        try:
            told: dict[str, Any] = await asyncio.wait_for(asked, timeout_s)
        except (TimeoutError, OSError):
            return {}
        return told

    found: dict[str, Any] = client.sync(ask)
    return found


async def _answer(function: Callable[..., Value], arguments: Sequence[object], timeout_s: float) -> Answer[Value]:
    try:
        return Answered(await asyncio.wait_for(asyncio.wrap_future(_begun(function, arguments)), timeout_s))
    except Exception as error:  # noqa: BLE001  raised, Dask would log a page of it
        return _unanswered(error, timeout_s)


async def _waited_for(asked: Any, timeout_s: float) -> Answer[Any]:  # noqa: ANN401  of Dask, which has no types
    try:
        answer: Answer[Any] = await asyncio.wait_for(asked, timeout_s)
    except Exception as error:  # noqa: BLE001  whatever a lost connection and unpickling there raise
        return _unanswered(error, timeout_s)
    return answer


def _begun(function: Callable[..., Value], arguments: Sequence[object]) -> Future[Value]:
    """Call a function in a thread that does not keep its process from ending, as those of a pool do."""
    future: Future[Value] = Future()
    future.set_running_or_notify_cancel()  # cannot be cancelled from now on

    def work() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001  told to who waits
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="simsearch-asking").start()
    return future


def _received(answer: object) -> Answer[Any]:
    if isinstance(answer, Answered | Unanswered):
        return answer
    return _unanswered(answer if isinstance(answer, Exception) else TypeError(type(answer).__name__), 0)


def _unanswered(error: Exception, timeout_s: float) -> Unanswered:
    if isinstance(error, TimeoutError):
        return Unanswered(f"no answer in {timeout_s:.0f} s", is_late=True)
    reason = " ".join(str(error).split())
    return Unanswered(reason if isinstance(error, SimSearchError) else f"{type(error).__name__}: {reason}")
