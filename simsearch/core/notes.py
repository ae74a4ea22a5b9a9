"""What users should know, in few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def said_once(found: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, ...]:
    """Gather notes on images: what is true of a thousand of them is said once.

    Parameters
    ----------
    found : iterable of (str, iterable of str)
        Name of each image, and the notes on it.

    Examples
    --------
    >>> said_once([("a", ["no unit"]), ("b", ["no unit", "no name"])])
    ('2 images: no unit', 'b: no name')
    """
    names: dict[str, list[str]] = {}
    for image, notes in found:
        for note in dict.fromkeys(notes):
            names.setdefault(note, []).append(image)
    return tuple(f"{each[0] if len(each) == 1 else f'{len(each)} images'}: {note}" for note, each in names.items())


def some_of(names: Sequence[object], most: int = 3) -> str:
    """Name the first, and say how many more there are.

    Examples
    --------
    >>> some_of("abc"), some_of("abcde")
    ('a, b, c', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(map(str, names[:most]))}{more}"


def but_for(aside: Sequence[str]) -> str:
    """Say of objects that some classes are not among them.

    Examples
    --------
    >>> f"fraction of objects{but_for(['debris'])}"
    'fraction of objects but debris'
    """
    return f" but {', '.join(aside)}" if aside else ""
