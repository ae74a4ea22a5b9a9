"""Which planes of a stack make an image: its axes, as the file or the user names them, and what is chosen of them."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import ConfigError, SourceError
from simsearch.io.ome_zarr.image import Selection, check_selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.io.sources.protocol import SourceSpec

_STACKS = {"channels": "c", "z": "z", "t": "t"}
_NOUNS = {"c": "channels", "z": "z planes", "t": "time points"}
_UNNAMED = "iq"  # tifffile's letters for pages that nobody has named

ChannelPlanes = list[list[tuple[int, ...]]]
"""For each channel the planes whose maximum it is, and for each of these those of its samples that are stored apart."""


def named_axes(axes: str, shape: tuple[int, ...], spec: SourceSpec) -> tuple[dict[str, int], tuple[str, ...]]:
    """Name the axes of a file as the user does; else what has no name is taken for z.

    Parameters
    ----------
    axes : str
        A letter an axis; I and Q where the file has no name.
    shape : tuple of int
        Their lengths.
    spec : SourceSpec
        May say what the stack is.

    Returns
    -------
    (dict of str to int, tuple of str)
        Lengths of t, c, z, y, x and s (those that there are) in the order of the file, and a note if they are a guess.

    Raises
    ------
    ConfigError
        If the user names a stack where there is none, or several.
    SourceError
        If there are other axes, or several without a name.
    """
    # Unnamed axes of length 1 are no matter, and there may be several.
    found = [(axis, n) for axis, n in zip(axes.lower(), shape, strict=True) if axis not in _UNNAMED or n > 1]
    letters = "".join(axis for axis, _ in found)
    notes: tuple[str, ...] = ()
    unnamed = [axis for axis in letters if axis in _UNNAMED]
    if spec.stack is not None:
        letters = _renamed(letters, found, spec)
    elif len(unnamed) == 1 and "z" not in letters:
        n_pages = dict(found)[unnamed[0]]
        notes = (f"{n_pages} pages are taken for z planes: --stack channels|t says otherwise",)
        letters = letters.replace(unnamed[0], "z")
    known = len(set(letters)) == len(letters) and not set(letters) - set("tczyxs")
    if not known or not letters.endswith(("yx", "yxs")):
        raise SourceError(
            f"{spec.path}: expected axes out of T, C, Z, Y, X, S, got {axes[:20]}: save it as OME-TIFF with its axes"
        )
    return {axis: n for axis, (_, n) in zip(letters, found, strict=True)}, notes


def _renamed(letters: str, found: list[tuple[str, int]], spec: SourceSpec) -> str:
    name = _STACKS[spec.stack or "z"]
    stacks = [axis for axis in letters if axis in _UNNAMED] or [axis for axis, n in found if axis in "tcz" and n > 1]
    if len(stacks) != 1 or (name in letters and name != stacks[0]):
        raise ConfigError(
            f"{spec.path}: expected one stack of planes for --stack {spec.stack}, got {len(stacks)}: leave it out, and "
            "choose with --z and --t"
        )
    return letters.replace(stacks[0], name)


def default_names(n_channels: int) -> tuple[str, ...]:
    """Name channels that have no names."""
    return ("Intensity",) if n_channels == 1 else tuple(f"Channel {i + 1}" for i in range(n_channels))


def leading_axes(lengths: Mapping[str, int]) -> dict[str, int]:
    """Return the axes that count planes: all before y, in their order."""
    before = list(lengths)[: list(lengths).index("y")]
    return {axis: lengths[axis] for axis in before}


def choose_planes(leading: Mapping[str, int], spec: SourceSpec) -> ChannelPlanes:
    """Choose the planes of an image.

    Parameters
    ----------
    leading : mapping of str to int
        Lengths of the axes that count planes, in their order.
    spec : SourceSpec
        May choose planes and time points, or one plane alone.

    Returns
    -------
    ChannelPlanes
        Indices into all planes.

    Raises
    ------
    ConfigError
        If a z or t axis needs a choice, or there is no such plane.
    """
    if spec.plane is not None:
        return [[_samples(leading, _plane_at(leading, spec, spec.plane))]]
    planes = _indices("z", spec.z, leading, spec.path)
    times = _indices("t", spec.t, leading, spec.path)
    return [
        [_samples(leading, {"c": c, "z": z, "t": t}) for z, t in product(planes, times)]
        for c in range(leading.get("c", 1))
    ]


def every_plane(leading: Mapping[str, int]) -> list[tuple[int, ...]]:
    """Return all planes, each with its samples that are stored apart."""
    axes = [axis for axis in leading if axis != "s"]
    every = product(*(range(leading[axis]) for axis in axes))
    return [_samples(leading, dict(zip(axes, at, strict=True))) for at in every]


def _plane_at(leading: Mapping[str, int], spec: SourceSpec, plane: int) -> dict[str, int]:
    axes = {axis: n for axis, n in leading.items() if axis != "s"}
    n_planes = math.prod(axes.values())
    if not 0 <= plane < n_planes:
        raise ConfigError(f"{spec.path}: expected one of its {n_planes} planes, got {plane}: count them from 0")
    at = np.unravel_index(plane, tuple(axes.values())) if axes else ()
    return {axis: int(i) for axis, i in zip(axes, at, strict=True)}


def _samples(leading: Mapping[str, int], at: Mapping[str, int]) -> tuple[int, ...]:
    if not leading:
        return (0,)
    lengths = tuple(leading.values())
    return tuple(
        int(np.ravel_multi_index([{**at, "s": s}.get(axis, 0) for axis in leading], lengths))
        for s in range(leading.get("s", 1))
    )


def _indices(axis: str, selection: Selection, leading: Mapping[str, int], path: str) -> range:
    n = leading.get(axis, 1)
    chosen = check_selection("z" if axis == "z" else "t", selection, n, path)
    return range(n) if chosen == "max" else range(chosen or 0, (chosen or 0) + 1)
