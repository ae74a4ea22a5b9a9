"""Units of doses, as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_EXPONENTS = {"": 0, "k": 3, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
_KINDS = {
    "molar": re.compile("(?P<of>[munpf]?)(?:m|mol/l|molar)"),
    "mass per volume": re.compile("(?P<of>[kmunpf]?)g/(?P<per>[mun]?)l"),
    "activity per volume": re.compile("(?P<of>[km]?)i?u/(?P<per>[mu]?)l"),
    "share": re.compile(r"(?P<of>)(?:%|percent)(?: ?\(?v/v\)?)?"),
    "share by mass": re.compile(r"(?P<of>)% ?\(?w/v\)?"),
    "fold": re.compile("(?P<of>)(?:x|fold)"),
    "multiplicity of infection": re.compile("(?P<of>)moi"),
    "absorbed dose": re.compile("(?P<of>[munk]?)gy"),
}
KNOWN_UNITS = "M, mM, uM, nM, pM, mg/mL, ug/mL, ng/mL, U/mL, %, x, MOI or Gy"
"""For messages: what `parse_unit` knows, in short."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a dose is measured in."""

    kind: str
    """Doses of one kind can be converted."""
    exponent: int
    """Power of ten of the kind's own unit."""


def parse_unit(text: str) -> Unit | None:
    """Read a unit in any spelling; None if it is none that is known.

    Examples
    --------
    >>> parse_unit("µM") == parse_unit("umol/L") == parse_unit("uM"), parse_unit("bananas")
    (True, None)
    """
    plain = text.strip().casefold().replace("\u03bc", "u").replace("\u00b5", "u").replace("micro", "u")
    plain = plain.replace("mcg", "ug").replace("\u00b7l-1", "/l").replace(" per ", "/").replace("liter", "l")
    for kind, pattern in _KINDS.items():
        if found := pattern.fullmatch(plain):
            per = found.groupdict().get("per") or ""
            return Unit(kind, _EXPONENTS[found["of"]] - _EXPONENTS[per])
    return None


def convert_dose(value: float, unit: Unit, target: Unit) -> float:
    """Write a dose in another unit of its kind; a factor of a thousand leaves no rounding behind.

    Examples
    --------
    >>> convert_dose(0.2, parse_unit("uM"), parse_unit("nM")), convert_dose(5, parse_unit("nM"), parse_unit("uM"))
    (200.0, 0.005)
    """
    steps = unit.exponent - target.exponent
    factor = float(10 ** abs(steps))
    return value * factor if steps >= 0 else value / factor
