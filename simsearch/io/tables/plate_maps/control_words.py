"""Words by which people call controls."""

from __future__ import annotations

import re
from typing import Final, Literal

POSITIVE: Final = "positive_control"
NEGATIVE: Final = "negative_control"
EMPTY: Final = "empty"
"""What the column ``role`` of a plate map says of wells."""
Role = Literal["positive_control", "negative_control", "empty"]


def _vocabulary(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NEGATIVE = _vocabulary(
    "neg negative negativ negcon negctrl negcontrol negativkontrolle vehicle veh solvent dmso mock untreated "
    "unbehandelt placebo scramble scrambled sictrl sicontrol nontargeting nontreated"
)
_POSITIVE = _vocabulary("pos positive positiv poscon posctrl poscontrol positivkontrolle")
_EMPTY = _vocabulary("empty blank leer unused")
_CARRIERS = _vocabulary("ethanol etoh methanol meoh water h2o pbs medium media buffer saline")
_ABBREVIATIONS: dict[str, Role] = {"nc": NEGATIVE, "vc": NEGATIVE, "pc": POSITIVE}
_CONTROL = _vocabulary("control controls ctrl ctrls ctl cntrl con kontrolle")
_BESIDE = _CONTROL | _vocabulary("well wells only cells treated transfected alone final v w cp diverse orf")
_UNDECIDED = _CONTROL | _vocabulary("yes true ja y")
_SAMPLES = _vocabulary(
    "sample samples test treated treatment trt compound compounds drug experimental experiment dose doseseries screen "
    "unknown no false nein n probe"
)
_NOTHING = _vocabulary("none na nan nil")
_WITHOUT = re.compile(r"\b(?:no|non|not|un)[\s_-]+(?:treat|drug|compound|target|inhibit|stimul)\w*")
_SHARE = re.compile(r"\d+(?:[.,]\d+)?\s*%")
_SIGNED = re.compile(r"(?:(?<!\w)([-+]))?\s*(control|ctrl|ctl|kontrolle)\s*([-+])?")


def role_of_drug(text: str) -> Role | None:
    """Tell the role of a well from the name of what is in it; None if that is no control.

    Examples
    --------
    >>> role_of_drug("0.1 % DMSO"), role_of_drug("Neg. Ctrl"), role_of_drug("positive"), role_of_drug("DMSO + taxol")
    ('negative_control', 'negative_control', 'positive_control', None)
    """
    tokens = _tokens(text)
    return _role(tokens) or (NEGATIVE if tokens and tokens <= _CARRIERS | _BESIDE and tokens & _CARRIERS else None)


def role_of_word(text: str) -> Role | None:
    """Tell the role that a column of roles gives; None if it is none that is known.

    Examples
    --------
    >>> role_of_word("negative_control"), role_of_word("PC"), role_of_word("vehicle"), role_of_word("control")
    ('negative_control', 'positive_control', 'negative_control', None)
    """
    tokens = _tokens(text)
    if len(tokens) == 1 and (short := _ABBREVIATIONS.get(next(iter(tokens)))):
        return short
    return role_of_drug(text)


def is_undecided(text: str) -> bool:
    """Tell whether a word says that a well is a control, but not which."""
    return text.strip() in ("1", "+", "-1") or (bool(_tokens(text)) and _tokens(text) <= _UNDECIDED)


def is_sample(text: str) -> bool:
    """Tell whether a role is that of a well which is tested."""
    return "".join(_words(text)) in _SAMPLES or text.strip() in ("", "0")


def is_nothing(text: str) -> bool:
    """Tell whether a cell says no more than an empty one: ``-``, ``n/a``, ``none``."""
    return "".join(_words(text)) in _NOTHING or not re.search(r"\w", text)


def _role(tokens: frozenset[str]) -> Role | None:
    known: tuple[tuple[frozenset[str], Role], ...] = (
        (_NEGATIVE, NEGATIVE),
        (_POSITIVE, POSITIVE),
        (_EMPTY, EMPTY),
    )
    return next((role for words, role in known if tokens & words and tokens <= words | _BESIDE), None)


def _words(text: str) -> list[str]:
    """Divide text into words, without shares such as 0.1 %; a sign at a control is one."""
    plain = _SHARE.sub(" ", _WITHOUT.sub("untreated", text.casefold()))
    plain = _SIGNED.sub(lambda found: " ".join((_sign(found[1]), found[2], _sign(found[3]))), plain)
    return [word for word in re.split(r"[\W_]+", plain) if word]


def _sign(text: str | None) -> str:
    return {"+": " pos ", "-": " neg "}.get(text or "", "")


def _tokens(text: str) -> frozenset[str]:
    return frozenset(_words(text))
