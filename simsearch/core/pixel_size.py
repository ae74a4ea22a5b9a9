"""Pixel sizes as files state them, in any unit: believed only where they can be those of a microscope."""

from __future__ import annotations

import math
import unicodedata

_SMALLEST_UM, _LARGEST_UM = 1e-5, 1000.0  # 0.1 angstrom is beyond any electron microscope, 1 mm beyond any light one
_PREFIXES = (
    "yotta Y 24, zetta Z 21, exa E 18, peta P 15, tera T 12, giga G 9, mega M 6, kilo k 3, hecto h 2, deca da 1, "
    "deci d -1, centi c -2, milli m -3, micro u -6, nano n -9, pico p -12, femto f -15, atto a -18, zepto z -21, "
    "yocto y -24"
)
_MICROMETERS = {
    **{
        f"{prefix}{meter}": float(f"1e{int(exponent) + 6}")
        for name, symbol, exponent in map(str.split, _PREFIXES.split(","))
        for prefix, meter in ((name, "meter"), (symbol, "m"))
    },
    **dict.fromkeys(("meter", "m"), 1e6),
    **dict.fromkeys(("\u03bcm", "micron", "micra"), 1.0),
    **dict.fromkeys(("angstrom", "ångström", "Å", "å"), 1e-4),
    **dict.fromkeys(("inch", "inches", "in", '"'), 25_400.0),
    **dict.fromkeys(("thou", "mil"), 25.4),
    **dict.fromkeys(("foot", "feet", "ft"), 304_800.0),
    **dict.fromkeys(("yard", "yd"), 914_400.0),
    **dict.fromkeys(("mile", "mi"), 1.609344e9),
    **dict.fromkeys(("point", "pt"), 25_400.0 / 72),
    "parsec": 3.0856775814913673e22,
}
_NO_UNIT = ("", "none", "null", "pixel", "pixels", "px")
_WAY_OUT = "`simsearch convert --pixel-size` sets one"

Size = tuple[float, float]


def micrometers(unit: object) -> float | None:
    r"""Return how many micrometres a unit of length is; None for what is none.

    Names and symbols of all SI prefixes, with the micro sign in either code point, and those of older units.

    Examples
    --------
    >>> micrometers("nanometre"), micrometers("\u00b5m"), micrometers("\u03bcm"), micrometers("Microns")
    (0.001, 1.0, 1.0, 1.0)
    >>> micrometers("pixel"), micrometers(None), micrometers(["um"])
    (None, None, None)
    """
    if not isinstance(unit, str):
        return None
    # The micro sign and the angstrom sign become letters; ImageJ writes the former as an escape.
    text = unicodedata.normalize("NFKC", unit.strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ"))
    lower = text.casefold().replace("metre", "meter")
    singular = lower.removesuffix("s") if len(lower) > len("ms") + 1 else lower  # milliseconds are no metres
    known = (text, lower, singular)  # as it is first: Mm is no mm
    return next((_MICROMETERS[name] for name in known if name in _MICROMETERS), None)


def believable_pixel_size(
    size: tuple[object, object], unit: tuple[object, object] | str | None
) -> tuple[Size | None, str | None]:
    """Believe what a file says of its pixels, or tell why not.

    Parameters
    ----------
    size : (object, object)
        Height and width of a pixel as the file has them: numbers, or text.
    unit : (object, object), str or None
        Unit of both, or of each; None, empty or "pixel" where the file names none.

    Returns
    -------
    ((float, float) or None, str or None)
        Height and width in micrometres, and a note if there is a size that is not believed or has no unit.

    Examples
    --------
    >>> believable_pixel_size((3250, 3250), "angstrom")
    ((0.325, 0.325), None)
    >>> believable_pixel_size((1, 1), None)
    (None, None)
    >>> print(believable_pixel_size((0.5, -0.5), ("um", "um"))[1])
    a pixel size of 0.5 x -0.5 um is not believed; `simsearch convert --pixel-size` sets one
    """
    units = unit if isinstance(unit, tuple) else (unit, unit)
    numbers = [_number(side) for side in size]
    factors = [micrometers(each) for each in units]
    named = [
        each for each in units if not (each is None or (isinstance(each, str) and each.strip().lower() in _NO_UNIT))
    ]
    said = f"a pixel size of {_said(size[0])} x {_said(size[1])}"
    if None in numbers or any(not (math.isfinite(n) and n > 0) for n in numbers if n is not None):
        return None, f"{said}{_of_unit(named)} is not believed; {_WAY_OUT}"
    if not named:
        return (None, None) if numbers == [1.0, 1.0] else (None, f"{said} has no unit; {_WAY_OUT}")
    if None in factors:
        return None, f"{said}{_of_unit(named)} has a unit that is not known; {_WAY_OUT}"
    height, width = (n * f for n, f in zip(numbers, factors, strict=True) if n is not None and f is not None)
    if not all(_SMALLEST_UM <= side <= _LARGEST_UM for side in (height, width)):
        return None, f"{said}{_of_unit(named)} is not believed; {_WAY_OUT}"
    return (height, width), None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _said(value: object) -> str:
    number = _number(value)
    return f"{number:.6g}" if number is not None else repr(value)[:40]


def _of_unit(units: list[object]) -> str:
    # What a file calls a unit may be anything: not printable characters are escaped.
    texts = dict.fromkeys(
        unit if isinstance(unit, str) and unit.isalpha() and len(unit) < 20 else repr(unit)[:40] for unit in units
    )
    return "".join(f" {text}" for text in texts)
