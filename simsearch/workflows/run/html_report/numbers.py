"""Numbers and lists as they stand in a sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from simsearch.core.accuracy.sampling import Bounded

_LONGEST = 32  # characters of a cell of a plate map
_NARROW = "\N{NARROW NO-BREAK SPACE}"


def counted(n: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "box", "boxes"), counted(12345, "cell")
    ('1 box', '12,345 cells')
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def listed(parts: Iterable[str]) -> str:
    """Write a list as in a sentence.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"]), listed([])
    ('a', 'a and b', 'a, b and c', '')
    """
    *first, last = [*parts] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def by_class(values: Mapping[str, int]) -> str:
    """Write how many there are of each class, those without any left out.

    Examples
    --------
    >>> by_class({"nucleus": 3, "debris": 0, "cytoplasm": 1200})
    '3 nucleus and 1,200 cytoplasm'
    """
    return listed(f"{n:,} {name}" for name, n in values.items() if n)


def percent(share: float | None) -> str:
    """Write a share; a dash of none.

    Examples
    --------
    >>> [percent(share).replace(_NARROW, " ") for share in (0.913, 0.004, 1.0, None, math.nan)]
    ['91 %', '0.4 %', '100 %', '–', '–']
    """
    if share is None or math.isnan(share):
        return "\N{EN DASH}"
    return f"{100 * share:.{1 if 0 < share < 0.1 else 0}f}{_NARROW}%"


def within(bounded: Bounded, *, is_share: bool = True) -> str:
    """Write an estimate with its interval.

    Examples
    --------
    >>> from simsearch.core.accuracy.sampling import Bounded
    >>> within(Bounded(0.9, 0.8, 0.96)).replace(_NARROW, " "), within(Bounded(1234.4, 900, 1500), is_share=False)
    ('90 % (80–96 %)', '1,234 (900–1,500)')
    """
    if math.isnan(bounded.value):
        return "\N{EN DASH}"
    if not is_share:
        return f"{bounded.value:,.0f} ({bounded.low:,.0f}\N{EN DASH}{bounded.high:,.0f})"
    return f"{percent(bounded.value)} ({100 * bounded.low:.0f}\N{EN DASH}{percent(bounded.high)})"


def short(value: float | None) -> str:
    """Write a number in three digits; a dash of none.

    Examples
    --------
    >>> [short(value) for value in (9.957, 3612.4, 0.01234, 1e-9, 12.0, None)]
    ['9.96', '3,610', '0.0123', '1e-09', '12', '–']
    """
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    if value and 100 <= abs(value) < 1e6:
        digits = 2 - math.floor(math.log10(abs(value)))
        return f"{round(value, digits):,.0f}"
    return f"{value:.3g}"


def sides(shape: tuple[float, float]) -> str:
    """Write height and width.

    Examples
    --------
    >>> sides((48.0, 52.5))
    '48 × 52.5'
    """
    return f"{shape[0]:g} \N{MULTIPLICATION SIGN} {shape[1]:g}"


def tidy(cell: str) -> str:
    """Write what a plate map says as people do, the beginning of what is long.

    Examples
    --------
    >>> tidy("10000.0"), tidy("0.5"), tidy("positive_control"), tidy("LY294002.10"), tidy("")
    ('10000', '0.5', 'positive control', 'LY294002.10', '')
    >>> len(tidy("x" * 200))
    32
    """
    text = cell.removesuffix(".0") if cell.removesuffix(".0").isdecimal() else cell.replace("_", " ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
