"""Where the pixels of an image lie, as far as its metadata can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.pixel_size import believable_pixel_size, micrometers
from simsearch.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.io.ome_zarr.ngff import Multiscale

Pair = tuple[float, float]

_FARTHEST_PX = 2.0**40  # of a first pixel, beyond which it lies nowhere


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes and places of the pixels of an image along y and x."""

    downsampling: tuple[Pair, ...]
    """For each level, level-0 pixels per pixel."""
    first: tuple[Pair, ...]
    """For each level, the centre of its first pixel in level-0 pixels."""
    pixel_size_um: Pair | None
    """Height and width of a level-0 pixel in micrometres, where they are known."""
    spacing: Pair
    """Distance of level-0 pixel centres: `pixel_size_um`, or in units that nobody named."""
    origin: Pair
    """Centre of the first level-0 pixel, in the units of `spacing`."""
    notes: tuple[str, ...]
    """What is not believed."""


def find_geometry(multiscale: Multiscale, shapes: Sequence[tuple[int, int]], path: str) -> Geometry:
    """Compare what the metadata say of levels with their shapes.

    Parameters
    ----------
    multiscale : Multiscale
        What the metadata say.
    shapes : sequence of (int, int)
        Height and width of each level in pixels.
    path : str
        Of the image, for messages.

    Raises
    ------
    SourceError
        If a level is larger than the one before it.
    """
    first = multiscale.datasets[0]
    stated = (1.0, 1.0) if first.scale is None else first.scale[-2:]
    size, note = believable_pixel_size((stated[0], stated[1]), multiscale.units)
    notes = [note] if note else []
    is_number = all(math.isfinite(side) and side > 0 for side in stated)
    is_named = any(micrometers(unit) for unit in multiscale.units)
    spacing = size or ((stated[0], stated[1]) if is_number and not is_named else (1.0, 1.0))
    factors = [side / number for side, number in zip(spacing, stated, strict=True)] if is_number else (1.0, 1.0)
    origin = [place * factor for place, factor in zip(first.translation[-2:], factors, strict=True)]
    if not all(abs(place) <= _FARTHEST_PX * side for place, side in zip(origin, spacing, strict=True)):  # NaN too
        if is_number:  # else that was told
            notes.append("a first pixel at " + " x ".join(f"{place:.6g}" for place in origin) + " is not believed")
        origin = [0.0, 0.0]
    downsampling, odd = _downsampling(multiscale, shapes, path)
    if odd:
        notes.append(f"the scale of level {odd[0]} does not fit its size in pixels, which is believed")
    first_pixels = tuple(
        _first_pixel(multiscale, level, factors, (stated[0], stated[1])) for level, factors in enumerate(downsampling)
    )
    return Geometry(downsampling, first_pixels, size, spacing, (origin[0], origin[1]), tuple(notes))


def _first_pixel(multiscale: Multiscale, level: int, downsampling: Pair, size: Pair) -> Pair:
    """Tell where the first pixel of a level is: as the metadata say if that is likely, else as of a mean."""
    dataset, base = multiscale.datasets[level], multiscale.datasets[0]
    places = []
    for axis, factor, side in zip((-2, -1), downsampling, size, strict=True):
        shift = (dataset.translation[axis] - base.translation[axis]) / side if side > 0 else math.nan
        is_stated = dataset.is_placed and 0 <= shift <= factor - 1
        places.append(shift if is_stated else (factor - 1) / 2)
    return places[0], places[1]


def _downsampling(
    multiscale: Multiscale, shapes: Sequence[tuple[int, int]], path: str
) -> tuple[tuple[Pair, ...], list[int]]:
    """Return the factors of all levels, and which levels have scales that do not fit."""
    base, found, odd = multiscale.datasets[0].scale, [], []
    for level, (dataset, shape) in enumerate(zip(multiscale.datasets, shapes, strict=True)):
        before = shapes[max(0, level - 1)]
        if shape[0] > before[0] or shape[1] > before[1]:
            raise SourceError(
                f"{path}: expected levels from the largest to the smallest, got {shape} px after {before} px: "
                "write the image again"
            )
        factors, is_stated = [], base is not None and dataset.scale is not None
        for axis in (0, 1):
            ratio = _ratio(dataset.scale, base, axis - 2)
            fits = ratio is not None and _fits(shapes[0][axis], shape[axis], ratio)
            factors.append(ratio if fits and ratio is not None else _factor(shapes[0][axis], shape[axis]))
            if not fits and is_stated and ratio is not None:
                odd.append(level)
        found.append((factors[0], factors[1]))
    return tuple(found), odd


def _ratio(scale: Sequence[float] | None, base: Sequence[float] | None, axis: int) -> float | None:
    if scale is None or base is None or not (base[axis] > 0 and math.isfinite(base[axis])):
        return None
    ratio = scale[axis] / base[axis]
    return ratio if math.isfinite(ratio) and ratio > 0 else None


def _fits(side: int, below: int, factor: float) -> bool:
    """Tell whether a side is another's at a factor: some tools round up, some down, level by level."""
    return factor >= 1 and abs(side / factor - below) <= max(1.0, 0.01 * below)


def _factor(side: int, below: int) -> float:
    power = 2.0 ** round(math.log2(side / below))
    return power if _fits(side, below, power) else side / below
