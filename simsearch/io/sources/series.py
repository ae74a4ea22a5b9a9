"""Files with several images: what each is called, and which of them is the one."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simsearch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = "all"
"""What a user says for every image of a file."""

_EXTRA = re.compile(
    r"(?<![a-z])(macro|label|thumb|thumbnail|overview|preview|barcode|slide photo)(?![a-z])", re.IGNORECASE
)
_N_NAMED = 5  # a plate in one file would fill the screen


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One of the images of a file."""

    name: str
    """What the file calls it; after `named_apart` unlike all others, and never empty."""
    shape: tuple[int, int]
    """Height and width in pixels."""
    is_extra: bool = False
    """Whether it goes with another image: reduced, a label, a macro, an overview."""

    def __str__(self) -> str:
        return f"{self.name} ({self.shape[0]} x {self.shape[1]})"


def named_apart(images: Sequence[SeriesInfo]) -> tuple[SeriesInfo, ...]:
    """Give every image a name of its own, and tell from names which go with another image.

    Examples
    --------
    >>> [each.name for each in named_apart([SeriesInfo("", (9, 9)), SeriesInfo("A", (9, 9)), SeriesInfo("A", (9, 9))])]
    ['0', 'A 1', 'A 2']
    """
    counts = Counter(image.name.strip() for image in images)
    names: list[str] = []
    for i, image in enumerate(images):
        name = image.name.strip()
        name = name if name and counts[name] == 1 else f"{name} {i}".strip()
        while name in names:
            name += "_"
        names.append(name)
    return tuple(
        replace(image, name=name, is_extra=image.is_extra or _EXTRA.search(image.name) is not None)
        for image, name in zip(images, names, strict=True)
    )


def choose_series(images: Sequence[SeriesInfo], wanted: str | None, path: str) -> tuple[int, tuple[str, ...]]:
    """Choose one image of a file: the one that is wanted, or the largest that goes with no other.

    Parameters
    ----------
    images : sequence of SeriesInfo
        At least one, as `named_apart` returns them.
    wanted : str, optional
        A name, or the index of an image.
    path : str
        Of the file, for messages.

    Returns
    -------
    (int, tuple of str)
        Index of the image, and a note of those that are left out without having been asked for.

    Raises
    ------
    ConfigError
        If there is no such image.

    Examples
    --------
    >>> choose_series([SeriesInfo("macro", (40, 50), is_extra=True), SeriesInfo("scan", (70, 90))], None, "a.tif")
    (1, ('1 more image in the file was left out: macro (40 x 50): --series NAME',))
    """
    if wanted is not None:
        return _named(images, wanted, path), ()
    best = max(range(len(images)), key=lambda i: (not images[i].is_extra, images[i].shape[0] * images[i].shape[1], -i))
    others = [image for i, image in enumerate(images) if i != best]
    if not others:
        return best, ()
    count = "1 more image in the file was" if len(others) == 1 else f"{len(others)} more images in the file were"
    return best, (f"{count} left out: {_listed(others)}: --series NAME",)


def file_name_of(name: str) -> str:
    """Turn the name of an image into a part of a file name, which can lead nowhere else.

    Examples
    --------
    >>> file_name_of("../ROI 1/2"), file_name_of("..")
    ('ROI_1_2', 'image')
    """
    return re.sub(r"[^\w+-]+", "_", name).strip("_")[:80] or "image"


def _named(images: Sequence[SeriesInfo], wanted: str, path: str) -> int:
    for i, image in enumerate(images):
        if image.name == wanted:
            return i
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 10 and int(wanted) < len(images):
        return int(wanted)
    raise ConfigError(
        f"{path}: expected one of its {len(images)} images ({_listed(images)}), got --series {wanted}: give a name, an "
        f"index from 0 to {len(images) - 1}, or all"
    )


def _listed(images: Sequence[SeriesInfo]) -> str:
    listed = ", ".join(map(str, images[:_N_NAMED]))
    return listed if len(images) <= _N_NAMED else f"{listed} and {len(images) - _N_NAMED} more"
