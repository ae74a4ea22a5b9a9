"""Numbers as people write them in tables: decimal commas, thousands separators, units behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

DecimalMark = Literal["", ".", ",", "both"]
"""Which mark other cells of a table prove to be the decimal one; empty if none does."""

_ODD = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'"})
_NUMBER = re.compile(
    r"([+-]?)(\d{1,3}(?:[ ']\d{3})+|\d*)((?:[.,]\d*)*)(e[+-]?\d+)?",
    re.IGNORECASE | re.ASCII,
)
_AMOUNT = re.compile(r"([+-]?[\d.,' ]*\d(?:e[+-]?\d+)?[.,]?)\s*([^\d\s.,+-].*)?", re.IGNORECASE | re.ASCII)
_OTHER = {".": ",", ",": "."}


class AmbiguousNumberError(ValueError):
    """A number that means one thing here and another there, such as 1,234."""


def parse_number(text: str, mark: DecimalMark = "") -> int | float | None:
    """Read a number.

    Parameters
    ----------
    text : str
        Without a unit. Groups of three digits may stand apart: 1,234.5 and 1.234,5 and 1 234,5 and 1'234.5.
    mark : {"", ".", ",", "both"}
        What other cells of the table prove, for those that could mean either.

    Returns
    -------
    int, float or None
        None if it is none, or is not finite.

    Raises
    ------
    AmbiguousNumberError
        If it may be one number or a thousand times that.

    Examples
    --------
    >>> parse_number("0,5"), parse_number("1.234,5"), parse_number("1,234", mark="."), parse_number("-")
    (0.5, 1234.5, 1234, None)
    """
    if mark in ("", ".") and (plain := _plain(text)) is not None:
        return plain
    if (normal := _normal(text, mark)) is None:
        return None
    try:
        return int(normal)
    except ValueError:  # too long for an integer, or none
        value = float(normal)
    return value if abs(value) < float("inf") else None


def find_decimal_mark(cells: Iterable[str]) -> DecimalMark:
    """Tell which decimal mark cells prove.

    Examples
    --------
    >>> find_decimal_mark(["A01", "0,2 nM", "1,234"]), find_decimal_mark(["1,234"]), find_decimal_mark(["0,2", "0.2"])
    (',', '', 'both')
    """
    cells = list(cells)
    if not any("," in cell or cell.count(".") > 1 for cell in cells):  # most tables, of which some have a million rows
        return ""
    proofs = {_proof(split_amount(cell)[0]) for cell in cells if "," in cell or "." in cell} - {""}
    return "both" if len(proofs) > 1 else proofs.pop() if proofs else ""


def split_amount(text: str) -> tuple[str, str]:
    """Divide what a cell says into a number and what stands behind it.

    Examples
    --------
    >>> split_amount("10uM"), split_amount("0,2 µM"), split_amount("1e-3 mol/L"), split_amount("DMSO")
    (('10', 'uM'), ('0,2', 'µM'), ('1e-3', 'mol/L'), ('', 'DMSO'))
    """
    found = _AMOUNT.fullmatch(text.translate(_ODD).strip())
    return (found[1].strip(), (found[2] or "").strip()) if found else ("", text.strip())


def _plain(text: str) -> int | float | None:
    """Read what Python reads too, which is faster."""
    if not text.isascii() or not text[-1:].isdigit() or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return None if abs(value) == float("inf") else int(text) if text.lstrip("+-").isdigit() else value


def _parts(text: str) -> tuple[str, str, str, str] | None:
    """Return sign, digits, what follows with marks, and exponent."""
    found = _NUMBER.fullmatch(text.translate(_ODD).strip())
    if found is None or not re.search("[0-9]", found[2] + found[3]):
        return None
    return found[1], re.sub("[ ']", "", found[2]), found[3], found[4] or ""


def _normal(text: str, mark: DecimalMark) -> str | None:
    """Write a number as Python does; None if it is none."""
    if (parts := _parts(text)) is None:
        return None
    sign, digits, rest, exponent = parts
    marks = re.findall("[.,]", rest)
    if not marks:
        return sign + digits + exponent
    *groups, last = re.split("[.,]", rest)[1:]
    if len(marks) == 1:
        if _is_either(digits, rest, exponent) and _is_thousands(text, rest[0], mark):
            return sign + digits + last
        return f"{sign}{digits or 0}.{last or 0}{exponent}"
    return _grouped(sign, digits, marks, groups, last)


def _grouped(sign: str, digits: str, marks: list[str], groups: list[str], last: str) -> str | None:
    """Read 1,234,567 and 1,234.5."""
    inner = groups if marks[-1] != marks[0] else [*groups, last]
    if len(set(marks[:-1])) != 1 or not 1 <= len(digits) <= 3 or any(len(group) != 3 for group in inner):
        return None
    whole = sign + digits + "".join(inner)
    return whole if marks[-1] == marks[0] else f"{whole}.{last or 0}"


def _is_either(digits: str, rest: str, exponent: str) -> bool:
    return len(rest) == 4 and 1 <= len(digits) <= 3 and digits[0] != "0" and not exponent


def _is_thousands(text: str, found: str, mark: DecimalMark) -> bool:
    if mark == "both" or (found == "," and not mark):
        raise AmbiguousNumberError(
            f"{text!r}, which may be {text.replace(found, '.')} or {text.replace(found, '')}: write one of these"
        )
    return mark == _OTHER[found]


def _proof(text: str) -> Literal["", ".", ","]:
    parts = _parts(text)
    if parts is None or not (marks := re.findall("[.,]", parts[2])) or _normal(text, ".") is None:
        return ""
    if len(marks) == 1:
        found = "" if _is_either(*parts[1:]) else marks[0]
    else:
        found = marks[-1] if marks[-1] != marks[0] else _OTHER[marks[0]]
    return "," if found == "," else "." if found == "." else ""
