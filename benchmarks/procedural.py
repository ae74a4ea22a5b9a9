"""Images of no kind, drawn by chance: a trunk that learns from them is not to know what it will be shown.

Noise of any spectrum, dead leaves, cells with walls, filaments, gratings, speckle, fractals and their mixtures; pure
functions of a generator of random numbers. What judges trunks (`benchmarks.unseen`) is drawn by other means.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import fft, ndimage
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Grey = NDArray[np.float32]
    """(side, side) intensities in [0, 1]"""

_RANGE = 2.5  # standard deviations on either side of the mean that noise is shown in
_IFS_POINTS, _IFS_STEPS = 4000, 40


def draw(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw an image of a family, or of two of them mixed, in grey or in colour.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    side : int
        Height and width in pixels.

    Returns
    -------
    (side, side, 3) uint8 array
    """
    image = _grey(rng, side)
    if rng.random() < 0.35:
        image = mixed(rng, image, _grey(rng, side))
    if rng.random() < 0.15:
        image = relief(rng, image)
    return np.round(255 * coloured(rng, image)).astype(np.uint8)


def clouds(rng: np.random.Generator, side: int) -> Grey:
    """Draw noise of amplitude 1/f^a, in half of the images stretched along a direction."""
    return _shown(_spectral(rng, side, _radius(rng, side) ** -rng.uniform(0.3, 2.2)))


def bands(rng: np.random.Generator, side: int) -> Grey:
    """Draw noise of one wavelength, as it is or thresholded: blobs and labyrinths."""
    noise = _band(rng, side, _scale(rng, 4, side / 4))
    if rng.random() < 0.3:
        return _shown(noise)
    steepness, level = _scale(rng, 1, 20), rng.uniform(-1.2, 1.2)
    cut: Grey = (1 / (1 + np.exp(np.clip(-steepness * (noise - level), -30, 30)))).astype(np.float32)
    return cut


def ridges(rng: np.random.Generator, side: int) -> Grey:
    """Draw a sum of octaves of folded noise, as of mountains or veins."""
    wavelength, total = _scale(rng, side / 8, side), np.zeros((side, side), np.float32)
    for octave in range(rng.integers(1, 6)):
        total += 0.55**octave * np.abs(_band(rng, side, max(3, wavelength / 2**octave)))
    return _shown(-total)


def warped(rng: np.random.Generator, side: int) -> Grey:
    """Draw clouds or gratings that were drawn out by other noise: marble, flow, wood."""
    image = gratings(rng, side) if rng.random() < 0.5 else clouds(rng, side)
    strength, wavelength = _scale(rng, 3, side / 5), _scale(rng, side / 10, side)
    rows, columns = np.mgrid[:side, :side]
    at = [axis + strength * _band(rng, side, wavelength) for axis in (rows, columns)]
    bent: Grey = ndimage.map_coordinates(image, at, order=1, mode="reflect")
    return bent


def leaves(rng: np.random.Generator, side: int) -> Grey:
    """Draw dead leaves: shapes of power-law sizes that hide each other, with textures inside."""
    n, smallest = int(rng.integers(30, 700)), _scale(rng, 1.5, 12)
    index = Image.new("I", (side, side), 0)
    pen = ImageDraw.Draw(index)
    sizes = np.minimum(smallest * rng.uniform(1e-4, 1, n) ** (-1 / rng.uniform(1.2, 2.5)), side / 2.5)
    for number, size in enumerate(np.sort(sizes)[::-1] if rng.random() < 0.5 else sizes, start=1):
        _shape(pen, rng, rng.uniform(0, side, 2), float(size), fill=number)
    labels = np.asarray(index)
    tones, textures = rng.uniform(0, 1, n + 1).astype(np.float32), [clouds(rng, side), gratings(rng, side)]
    depth = (rng.uniform(0, 0.6) * rng.uniform(0, 1, n + 1) * (rng.random(n + 1) < 0.6)).astype(np.float32)
    chosen = rng.integers(2, size=n + 1)[labels]
    image: Grey = np.clip(tones[labels] + depth[labels] * (np.where(chosen == 0, *textures) - 0.5), 0, 1)
    return image


def outlines(rng: np.random.Generator, side: int) -> Grey:
    """Draw rings, polygons and strokes of all widths over each other, on an even ground or on clouds."""
    canvas = Image.new("F", (side, side), rng.uniform(0, 1))
    pen = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(4, 120)):
        size, width, tone = _scale(rng, 3, side / 4), int(_scale(rng, 1, 8)), rng.uniform(0, 1)
        centre = rng.uniform(0, side, 2)
        if rng.random() < 0.5:
            _shape(pen, rng, centre, size, outline=tone, width=width)
        else:
            points = centre + np.cumsum(rng.normal(0, size / 2, (rng.integers(2, 7), 2)), axis=0)
            pen.line([tuple(p) for p in points.tolist()], fill=tone, width=width)
    image: Grey = np.asarray(canvas, np.float32)
    return mixed(rng, image, clouds(rng, side)) if rng.random() < 0.4 else image


def cells(rng: np.random.Generator, side: int) -> Grey:
    """Draw Voronoi cells with walls, tones of their own and, in some images, a spot in each."""
    points = _points(rng, side, _scale(rng, 8, side / 3))
    rows, columns = np.mgrid[:side, :side]
    bend = _scale(rng, 0.3, 8)
    at = np.stack([axis + bend * _band(rng, side, _scale(rng, 8, 80)) for axis in (rows, columns)], -1)
    distance, nearest = cKDTree(points).query(at, k=2)
    tones = rng.uniform(0, 1) + rng.uniform(0, 0.5) * rng.uniform(-1, 1, len(points))
    image = tones[nearest[..., 0]]
    wall = np.exp(-(((distance[..., 1] - distance[..., 0]) / _scale(rng, 1, 8)) ** 2))
    image = image + wall * rng.uniform(-1, 1)
    if rng.random() < 0.4:
        spot = np.exp(-((distance[..., 0] / _scale(rng, 1.5, 12)) ** rng.choice([2, 6])))
        image = image + spot * rng.uniform(-1, 1)
    shown: Grey = np.clip(image, 0, 1).astype(np.float32)
    return shown


def filaments(rng: np.random.Generator, side: int) -> Grey:
    """Draw smooth random walks, some of which branch, as lines or as tubes with dark or bright walls."""
    canvas = Image.new("1", (side, side), 0)
    pen = ImageDraw.Draw(canvas)
    step, turn = rng.uniform(3, 12), _scale(rng, 0.03, 0.6)
    for _ in range(rng.integers(2, 40)):
        n = int(rng.integers(5, 80))
        heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, turn, n))
        path = rng.uniform(0, side, 2) + np.cumsum(step * np.stack([np.sin(heading), np.cos(heading)], 1), axis=0)
        pen.line([tuple(p) for p in path.tolist()], fill=1)
        for begin in rng.integers(0, n, rng.integers(0, 4)):  # branches
            aside = heading[begin] + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2) + np.cumsum(rng.normal(0, turn, 12))
            branch = path[begin] + np.cumsum(step * np.stack([np.sin(aside), np.cos(aside)], 1), axis=0)
            pen.line([tuple(p) for p in branch.tolist()], fill=1)
    distance = ndimage.distance_transform_edt(~np.asarray(canvas)).astype(np.float32)
    middle = rng.uniform(2, 8) if rng.random() < 0.3 else 0.0
    line = np.exp(-(((distance - middle) / _scale(rng, 0.7, 6)) ** 2))
    ground = clouds(rng, side) * rng.uniform(0, 0.5) if rng.random() < 0.6 else np.zeros_like(line)
    image: Grey = np.clip(ground + line * rng.uniform(0.3, 1), 0, 1)
    return image


def gratings(rng: np.random.Generator, side: int) -> Grey:
    """Draw a few waves over each other: stripes, checks, rings, and ones whose wavelength changes; soft or hard."""
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    total = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(1, 4)):
        angle, wavelength = rng.uniform(0, math.pi), _scale(rng, 3, side / 3)
        along = rows * math.sin(angle) + columns * math.cos(angle)
        if rng.random() < 0.25:
            y, x = rng.uniform(0, side, 2)
            along = np.hypot(rows - y, columns - x)
        if rng.random() < 0.3:
            along = along * (1 + rng.uniform(-0.5, 1) * along / side)
        total += np.sin(2 * math.pi * along / wavelength + rng.uniform(0, 2 * math.pi)).astype(np.float32)
    image: Grey = np.tanh(_scale(rng, 0.5, 10) * total)
    return _shown(image)


def spots(rng: np.random.Generator, side: int) -> Grey:
    """Draw soft spots of a few sizes on dark ground."""
    total = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(1, 4)):
        size, points = _scale(rng, 0.8, 14), np.zeros((side, side), np.float32)
        n = int(rng.integers(3, 6 + int(side**2 / (8 * size) ** 2)))
        points[tuple(rng.integers(0, side, (2, n)))] = rng.uniform(0.2, 1, n)
        total += ndimage.gaussian_filter(points, size, mode="wrap", truncate=3) * 2 * math.pi * size**2
    ground = rng.uniform(0, 0.4) * clouds(rng, side) if rng.random() < 0.5 else 0.0
    return np.clip(total * rng.uniform(0.4, 1.2) + ground, 0, 1).astype(np.float32)


def speckle(rng: np.random.Generator, side: int) -> Grey:
    """Draw fully developed speckle, in most images of something else that it hides."""
    grain = _scale(rng, 2.5, 16)
    intensity = _band(rng, side, grain) ** 2 + _band(rng, side, grain) ** 2
    if rng.random() < 0.6:
        intensity = intensity * (0.1 + _grey(rng, side))
    image: Grey = np.clip(intensity / (4 * intensity.mean() + 1e-6), 0, 1) ** np.float32(rng.uniform(0.4, 1))
    return image


def attractor(rng: np.random.Generator, side: int) -> Grey:
    """Draw the attractor of a few random contractions (an iterated function system)."""
    n = int(rng.integers(2, 6))
    turned = np.linalg.qr(rng.normal(size=(n, 2, 2)))[0] * rng.uniform(0.3, 0.85, (n, 1, 2))
    shift, at, visited = rng.uniform(-1, 1, (n, 2)), np.zeros((_IFS_POINTS, 2)), []
    for _ in range(_IFS_STEPS):
        which = rng.integers(n, size=_IFS_POINTS)
        at = np.einsum("kij,kj->ki", turned[which], at) + shift[which]
        visited.append(at)
    places = np.concatenate(visited[5:])
    counts, *_ = np.histogram2d(places[:, 0], places[:, 1], bins=side)
    density = np.log1p(ndimage.gaussian_filter(counts, _scale(rng, 0.4, 3)))
    image: Grey = (density / max(density.max(), 1e-6)).astype(np.float32)
    return image


FAMILIES: dict[str, Callable[[np.random.Generator, int], Grey]] = {
    "clouds": clouds,
    "bands": bands,
    "ridges": ridges,
    "warped": warped,
    "leaves": leaves,
    "outlines": outlines,
    "cells": cells,
    "filaments": filaments,
    "gratings": gratings,
    "spots": spots,
    "speckle": speckle,
    "attractor": attractor,
}
"""What `draw` chooses from."""

_CHANCES = np.array([1, 1.5, 1, 1, 3, 2, 1.5, 1.5, 1, 1, 0.7, 0.7])


def mixed(rng: np.random.Generator, first: Grey, second: Grey) -> Grey:
    """Put two images over or beside each other."""
    way, share = rng.integers(4), np.float32(rng.uniform(0.15, 0.85))
    if way == 0:
        return share * first + (1 - share) * second
    if way == 1:
        return first * second
    if way == 2:
        return np.abs(first - share * second)
    mask = bands(rng, len(first))
    return mask * first + (1 - mask) * second


def relief(rng: np.random.Generator, heights: Grey) -> Grey:
    """Light an image from the side, as if it were heights."""
    angle = rng.uniform(0, 2 * math.pi)
    rows, columns = np.gradient(ndimage.gaussian_filter(heights, _scale(rng, 0.6, 4)))
    return _shown(math.sin(angle) * rows + math.cos(angle) * columns)


def coloured(rng: np.random.Generator, image: Grey) -> NDArray[np.float32]:
    """Show an image in grey, in a scale of colours, or beside others as channels: (side, side, 3) in [0, 1]."""
    way = rng.random()
    if way < 0.4:
        return np.repeat(image[..., None], 3, axis=2)
    if way < 0.8:
        stops = np.linspace(0, 1, rng.integers(2, 6))
        return np.stack([np.interp(image, stops, rng.uniform(0, 1, len(stops))) for _ in range(3)], -1)
    others = [_grey(rng, len(image)) * (rng.random() < 0.8) for _ in range(2)]
    return np.stack([image, *others], -1)[..., rng.permutation(3)]


def _grey(rng: np.random.Generator, side: int) -> Grey:
    name = rng.choice(list(FAMILIES), p=_CHANCES / _CHANCES.sum())
    return FAMILIES[name](rng, side)


def _scale(rng: np.random.Generator, low: float, high: float) -> float:
    """Choose a number all of whose logarithms are equally likely."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def _shown(values: NDArray[np.floating]) -> Grey:
    """Bring values to [0, 1], those far from the mean cut off."""
    spread = max(float(values.std()), 1e-6)
    shown: Grey = np.clip((values - values.mean()) / (2 * _RANGE * spread) + 0.5, 0, 1).astype(np.float32)
    return shown


def _radius(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Tell the frequency of each component of a real Fourier transform; without a mean."""
    rows, columns = fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None]
    angle, stretch = rng.uniform(0, math.pi), _scale(rng, 1, 5) if rng.random() < 0.5 else 1.0
    along = rows * math.cos(angle) + columns * math.sin(angle)
    across = stretch * (columns * math.cos(angle) - rows * math.sin(angle))
    radius: NDArray[np.float32] = np.hypot(along, across).astype(np.float32)
    radius[0, 0] = np.inf
    return radius


def _spectral(rng: np.random.Generator, side: int, amplitude: NDArray[np.floating]) -> Grey:
    """Draw noise of a spectrum, with a mean of 0 and a standard deviation of 1."""
    white = fft.rfft2(rng.standard_normal((side, side), np.float32))
    noise: Grey = fft.irfft2(white * amplitude, (side, side)).astype(np.float32)
    return noise / max(float(noise.std()), 1e-6)


def _band(rng: np.random.Generator, side: int, wavelength: float) -> Grey:
    octaves = np.log2(np.maximum(_radius(rng, side), 1e-6) * wavelength)
    return _spectral(rng, side, np.exp(-((octaves / rng.uniform(0.25, 0.9)) ** 2)))


def _points(rng: np.random.Generator, side: int, distance: float) -> NDArray[np.float64]:
    """Spread points: from a lattice to chance alone."""
    at = np.mgrid[-distance : side + distance : distance, -distance : side + distance : distance].reshape(2, -1).T
    return at + rng.uniform(0, 1) * rng.uniform(-distance, distance, at.shape)


def _shape(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, centre: NDArray[np.float64], size: float, **style: float
) -> None:
    """Draw an ellipse, a rectangle that is turned, or a polygon."""
    n = int(rng.choice([24, 24, 4, 3, 7]))
    angle = np.linspace(0, 2 * math.pi, n, endpoint=False)
    radius = size * (rng.uniform(0.6, 1.2, n) if n == 7 else np.ones(n))
    flat, turn = rng.uniform(0.3, 1), rng.uniform(0, 2 * math.pi)
    x, y = radius * np.cos(angle), flat * radius * np.sin(angle)
    corners = np.stack([x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], 1) + centre
    pen.polygon([tuple(c) for c in corners.tolist()], **style)  # type: ignore[arg-type]  # colours of mode F and I
