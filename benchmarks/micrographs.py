"""Drawn images like those of electron microscopes and other kinds no trunk was trained on: what they hold is known.

Nothing here may be trained on (`benchmarks.procedural` is what is), so that it judges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Grey = NDArray[np.float32]

MITOCHONDRIA, VESICLES, GRANULES = "mitochondria", "vesicles", "dense granules"
SIDES = {MITOCHONDRIA: 56, VESICLES: 32, GRANULES: 32}
"""Of the patches that are searched for, in pixels."""

_WINDOW = 40  # half the side of the window that an organelle is drawn in, in pixels
_DENSITY = {MITOCHONDRIA: 9, VESICLES: 26, GRANULES: 14}
"""Organelles on 512 x 512 px."""


@dataclass(frozen=True, slots=True)
class Micrograph:
    """A drawn section of a cell, and what is in it."""

    image: NDArray[np.uint8]
    """(H, W)"""
    centres: dict[str, NDArray[np.float64]]
    """(N, 2) y and x of the organelles of each kind."""


def micrograph(rng: np.random.Generator, side: int, *, contrast: float = 0.7, noise: float = 0.06) -> Micrograph:
    """Draw a section: membranes and reticulum, ribosomes, and organelles that do not touch.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    side : int
        Height and width in pixels.
    contrast : float
        Between black and white, 1 for all of the range.
    noise : float
        Standard deviation of the noise in the same unit; a part of it is correlated over 2 pixels.
    """
    image = _cytoplasm(rng, side)
    placed, taken = {}, np.empty((0, 3))
    for kind, density in _DENSITY.items():
        centres, taken = _places(rng, side, round(density * (side / 512) ** 2), SIDES[kind] / 2, taken)
        for y, x in centres:
            _put(image, _ORGANELLES[kind](rng), y, x)
        placed[kind] = centres
    return Micrograph(_exposed(rng, image, contrast, noise), placed)


def woven(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw a fabric of threads over and under each other."""
    pitch, angle = rng.uniform(8, 30), rng.uniform(0, math.pi)
    rows, columns = np.mgrid[:side, :side] + 2.0 * _smooth(rng, (2, side, side), 20)
    u = (rows * math.cos(angle) + columns * math.sin(angle)) / pitch
    v = (columns * math.cos(angle) - rows * math.sin(angle)) / pitch
    is_over = (np.floor(u) + np.floor(v)) % 2 == 0
    round_u, round_v = (np.sqrt(np.clip(1 - (2 * (w % 1) - 1) ** 2, 0, 1)) for w in (u, v))
    fibres = 0.1 * np.sin(40 * np.where(is_over, u, v) + 3 * _smooth(rng, (side, side), 4))
    return _exposed(rng, np.where(is_over, round_u, 0.8 * round_v) + fibres, 0.8, 0.04)


def lattice(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw columns of atoms in grains of several orientations, as of high resolution."""
    spacing, n = rng.uniform(6, 14), int(rng.integers(1, 8))
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    _, grain = cKDTree(rng.uniform(0, side, (n, 2))).query(np.stack([rows, columns], -1))
    turn = rng.uniform(0, math.pi / 3, n)[grain]
    waves = [np.cos(2 * math.pi / spacing * (rows * np.sin(turn + k) + columns * np.cos(turn + k))) for k in _HEXAGON]
    return _exposed(rng, 0.5 + 0.16 * sum(waves) + 0.1 * _smooth(rng, (side, side), 60), 0.6, 0.12)


def phase_contrast(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw flat cells with bright halos, as phase contrast shows them."""
    height = np.clip(_smooth(rng, (side, side), rng.uniform(8, 25)) - rng.uniform(0.2, 1.0), 0, None)
    thickness = height + 0.15 * _smooth(rng, (side, side), 2.5) * (height > 0)
    halo = ndimage.gaussian_filter(thickness, 10) - thickness
    return _exposed(rng, 0.5 + 0.45 * halo / max(float(np.abs(halo).max()), 1e-6), 0.8, 0.03)


UNSEEN: dict[str, Callable[[np.random.Generator, int], NDArray[np.uint8]]] = {
    "micrographs": lambda rng, side: micrograph(rng, side).image,
    "micrographs, faint": lambda rng, side: micrograph(rng, side, contrast=0.25, noise=0.06).image,
    "woven": woven,
    "lattice": lattice,
    "phase contrast": phase_contrast,
}
"""Kinds of grey images that judge a trunk's features, each (side, side) uint8."""

_HEXAGON = tuple(k * math.pi / 3 for k in range(3))


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> Grey:
    """Smooth noise over the last two axes; its standard deviation is 1."""
    axes = (0,) * (len(shape) - 2) + (size, size)
    noise: Grey = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), axes, truncate=3)
    unit: Grey = noise / noise.std()
    return unit


def _cytoplasm(rng: np.random.Generator, side: int) -> Grey:
    shape = (side, side)
    image = 0.68 + 0.03 * _smooth(rng, shape, 1.5) + 0.04 * _smooth(rng, shape, 30)
    border = np.abs(_smooth(rng, shape, 45))  # where cells meet: two dark leaflets with a light gap
    image -= 0.4 * np.exp(-(((border / _slope(border)) - 3) ** 2) / 2.5)
    where = _smooth(rng, shape, 40) > 0.6
    sheets = np.abs(_smooth(rng, shape, 9))
    image -= 0.25 * where * np.exp(-((sheets / _slope(sheets) / 1.3) ** 2))
    dots = (rng.random(shape) < 0.006 * (1 + 2 * where)).astype(np.float32)
    dotted: Grey = image - np.clip(2.2 * ndimage.gaussian_filter(dots, 1.0), 0, 0.3)
    return dotted


def _slope(values: Grey) -> Grey:
    """How steep a field is, so that dividing by it gives pixels from where it is zero."""
    rows, columns = np.gradient(values)
    return ndimage.gaussian_filter(np.hypot(rows, columns), 3) + 1e-3  # type: ignore[no-any-return]  # scipy's


def _places(
    rng: np.random.Generator, side: int, n: int, radius: float, taken: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place circles that keep clear of those that are taken, (M, 3) y, x and radius."""
    found = []
    for _ in range(40 * n):
        y, x = rng.uniform(radius, side - radius, 2)
        if (np.hypot(taken[:, 0] - y, taken[:, 1] - x) > 0.75 * (taken[:, 2] + radius)).all():
            taken = np.concatenate([taken, [[y, x, radius]]])
            found.append((y, x))
        if len(found) == n:
            break
    return np.array(found, np.float64).reshape(-1, 2), taken


def _put(image: Grey, organelle: tuple[Grey, Grey], y: float, x: float) -> None:
    """Lay an organelle, its tones and how far it covers, over an image."""
    tones, cover = organelle
    top, left = round(y) - _WINDOW, round(x) - _WINDOW
    rows = slice(max(0, top), min(len(image), top + 2 * _WINDOW))
    columns = slice(max(0, left), min(len(image), left + 2 * _WINDOW))
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    image[rows, columns] += cover[inside] * (tones[inside] - image[rows, columns])


def _disc(rng: np.random.Generator, radius: float, flat: float, rough: float) -> tuple[Grey, Grey, Grey]:
    """Return the signed distance in pixels to an ellipse with a bent outline, negative inside, and its axes."""
    at = np.arange(-_WINDOW, _WINDOW, dtype=np.float32)
    turn = rng.uniform(0, math.pi)
    along = at[:, None] * math.sin(turn) + at * math.cos(turn)
    across = at[:, None] * math.cos(turn) - at * math.sin(turn)
    angle = np.arctan2(across, along)
    bent = 1 + sum(rough * rng.uniform(-1, 1) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4))
    distance = (np.hypot(along, across / flat) / bent - radius) * flat**0.5
    return distance.astype(np.float32), along, across


def _mitochondrion(rng: np.random.Generator) -> tuple[Grey, Grey]:
    """Draw a dark matrix, two membranes around it, and cristae across."""
    distance, along, _ = _disc(rng, rng.uniform(19, 27), rng.uniform(0.5, 0.75), 0.05)
    waves = along + 2.5 * _smooth(rng, along.shape, 6)
    cristae = np.clip(np.sin(2 * math.pi * waves / rng.uniform(6, 9)) * 2, 0, 1)
    tones = 0.42 + 0.25 * cristae * (distance < -4) + 0.03 * _smooth(rng, along.shape, 1.2)
    tones = np.where(np.abs(distance + 2.2) < 1.0, 0.7, tones)
    tones = np.where((np.abs(distance) < 1.2) | (np.abs(distance + 4) < 0.8), 0.2, tones)
    return tones.astype(np.float32), np.clip(1.5 - distance, 0, 1)


def _vesicle(rng: np.random.Generator) -> tuple[Grey, Grey]:
    """Draw a dark ring around a light lumen."""
    distance, *_ = _disc(rng, rng.uniform(7, 10), rng.uniform(0.8, 1), 0.04)
    tones = np.where(np.abs(distance) < 1.3, 0.25, rng.uniform(0.75, 0.9))
    return tones.astype(np.float32), np.clip(1.5 - distance, 0, 1)


def _granule(rng: np.random.Generator) -> tuple[Grey, Grey]:
    """Draw a ring, as of a vesicle, around a dark core."""
    distance, *_ = _disc(rng, rng.uniform(8, 10.5), rng.uniform(0.8, 1), 0.04)
    tones = np.where(distance < -rng.uniform(2.5, 4), rng.uniform(0.15, 0.3), 0.8)
    tones = np.where(np.abs(distance) < 1.0, 0.35, tones)
    return tones.astype(np.float32), np.clip(1.5 - distance, 0, 1)


_ORGANELLES = {MITOCHONDRIA: _mitochondrion, VESICLES: _vesicle, GRANULES: _granule}


def _exposed(rng: np.random.Generator, image: Grey, contrast: float, noise: float) -> NDArray[np.uint8]:
    """Blur an image a little and record it: dark, noisy, in 256 steps."""
    seen = 0.5 + contrast * (ndimage.gaussian_filter(image, rng.uniform(0.6, 1.1)) - 0.5)
    grains = 0.8 * rng.standard_normal(image.shape) + 0.6 * _smooth(rng, image.shape, 0.8)
    recorded: NDArray[np.uint8] = np.round(255 * np.clip(seen + noise * grains, 0, 1)).astype(np.uint8)
    return recorded
