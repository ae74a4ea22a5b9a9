"""What tiles take of a worker's memory: one formula, with figures that were measured (benchmarks/RESULTS.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from simsearch.nn.device import Arithmetic

Layers = Literal["whole", "float32", "bfloat16"]

_MIB = 2**20
_PROCESS = 320 * _MIB  # of one that reads and writes images
_PROCESS_WITH_TRUNK = 1000 * _MIB  # with torch, a trunk and a model
_TRUNK = {"whole": 190, "float32": 84, "bfloat16": 62}
"""Bytes that layers and vectors take for a pixel: layers that are whole, or computed only where the next one looks."""
_INTENSITY = 8  # bytes that an intensity takes where the trunk sees it: it is held twice
_RESCALING = 8  # and where it is read and rescaled, beside what it was read as
_VECTOR = 12, 6  # bytes for a number of a kept vector, where it is compared and where it is read
_COUNTED = 23  # bytes for a value whose percentiles and moments are measured
_CODED = 3.2  # bytes for each byte that is read, halved or written
_KEPT = 1.2  # and for each that is kept meanwhile
_ENDED_AT = 0.95  # of its limit: where Dask ends a worker (distributed.worker.memory.terminate)
LARGEST_TILE: dict[Arithmetic, int] = {"float32": 192, "bfloat16": 256}
"""Positions along a side of tiles that no other size is asked for: the largest for which a worker is planned."""
_RGB_TILE = 2368  # pixels along a side of what the largest of them reads


@dataclass(frozen=True, slots=True)
class Need:
    """Memory that the process of a worker needs, in bytes: one task computes, and the others read meanwhile."""

    process: int
    """Before there is a task."""
    computing: int
    """Of the task that computes."""
    reading: int
    """Of each other task."""
    smaller: str = ""
    """Option of commands that makes tasks smaller."""

    def of(self, n_tasks: int) -> int:
        """Tell what a worker needs that does so many tasks at a time.

        Examples
        --------
        >>> Need(process=1000, computing=300, reading=50).of(3)
        1400
        """
        return self.process + self.computing + max(0, n_tasks - 1) * self.reading


def need_to_see(
    n_pixels: int, n_channels: int, itemsize: float, smaller: str = "", *, layers: Layers = "float32"
) -> Need:
    """Tell what a tile needs whose pixels a trunk sees.

    Parameters
    ----------
    n_pixels : int
        Of all that is read for it, at the scale that is looked at.
    n_channels : int
        How many are read.
    itemsize : float
        Bytes of what is read for an intensity.
    smaller : str
        Option of commands that makes tiles smaller.
    layers : str
        How layers are computed: whole, or only where the next one looks, in float32 or bfloat16.
    """
    n_values = n_channels * n_pixels
    return Need(
        process=_PROCESS_WITH_TRUNK,
        computing=_TRUNK[layers] * n_pixels + _INTENSITY * n_values,
        reading=round((_RESCALING + itemsize) * n_values),
        smaller=smaller,
    )


def need_to_compare(n_numbers: int, smaller: str = "") -> Need:
    """Tell what a tile needs whose vectors were kept."""
    computing, reading = (n * n_numbers for n in _VECTOR)
    return Need(_PROCESS_WITH_TRUNK, computing, reading, smaller)


def need_to_count(n_values: int) -> Need:
    """Tell what a tile needs of which so many values are measured; several are at a time."""
    return Need(_PROCESS, _COUNTED * n_values, _COUNTED * n_values)


def need_to_code(n_bytes: int, n_kept: int = 0, smaller: str = "") -> Need:
    """Tell what a task needs that reads and writes so many bytes of pixels, and keeps some; several do at a time."""
    each = round(_CODED * n_bytes + _KEPT * n_kept)
    return Need(_PROCESS, each, each, smaller)


USUAL = need_to_see(_RGB_TILE**2, n_channels=3, itemsize=1, layers="bfloat16")
"""Of the largest tile of an RGB slide, where no other size is asked for."""


def fits(needed_bytes: int, limit_bytes: int) -> bool:
    """Tell whether Dask lets a worker go on that needs so much; one without a limit (0) it does.

    Examples
    --------
    >>> fits(90, 100), fits(99, 100), fits(99, 0)
    (True, False, True)
    """
    return not limit_bytes or needed_bytes <= _ENDED_AT * limit_bytes
