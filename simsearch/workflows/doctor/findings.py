"""What checks find: how bad it is, where, and the way out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simsearch.errors import SimSearchError

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found."""

    check: str
    """Name of the check."""
    level: Level
    """``problem``: a run would fail or be unsafe. ``warning``: it would be slower, or may fail."""
    found: str
    """What was found."""
    remedy: str = ""
    """What to do about it."""
    places: tuple[str, ...] = ()
    """Processes that it was found in: ``client``, ``scheduler`` or addresses of workers, each with its host."""


def merged(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Put together what was found in several places.

    Examples
    --------
    >>> both = list(merged([Finding("a", "problem", "slow", places=(place,)) for place in ("x", "y")]))
    >>> len(both), both[0].places
    (1, ('x', 'y'))
    """
    places = defaultdict[tuple[str, Level, str, str], list[str]](list)
    for each in findings:
        places[each.check, each.level, each.found, each.remedy].extend(each.places)
    for (check, level, found, remedy), where in places.items():
        yield Finding(check, level, found, remedy, tuple(dict.fromkeys(where)))


def or_fine(check: str, findings: Iterable[Finding], words: str) -> list[Finding]:
    """Put together what a check has found, or say in words that all is fine."""
    return list(merged(findings)) or [Finding(check, "ok", words)]


def of_error(check: str, error: SimSearchError | str, places: tuple[str, ...] = ()) -> Finding:
    """Make a problem of an error, whose message ends with the way out.

    Examples
    --------
    >>> of_error("cluster", "expected workers, got none: start some")
    Finding(check='cluster', level='problem', found='expected workers, got none', remedy='start some', places=())
    """
    found, _, remedy = str(error).rpartition(": ")
    return Finding(check, "problem", found or str(error), remedy if found else "", places)


def named(place: str, reason: str) -> str:
    """Name a place in the reason of a failure that does not."""
    return reason if place in reason else f"{place}: expected to reach it, got {reason}: check the path"


def counted(n: int, noun: str) -> str:
    """Count things.

    Examples
    --------
    >>> counted(1, "worker"), counted(8, "process")
    ('1 worker', '8 processes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"1 {noun}" if n == 1 else f"{n} {plural}"


def gib(n_bytes: float) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> gib(3 * 2**30)
    '3.0 GiB'
    """
    return f"{n_bytes / 2**30:.1f} GiB"
