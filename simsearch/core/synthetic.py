"""Synthetic fluorescence fields whose cells are known: for the demo, for tests and for pretraining.

The cells imitate the translocation assay of the paper (section 3.1): in a DNA channel every cell shows its
nucleus; in a GFP channel the protein sits in the cytoplasm, has moved into the nucleus, or is not expressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CYTOPLASM, NUCLEUS, NO_GFP = "GFP in cytoplasm", "GFP in nucleus", "no GFP"

_WINDOW = 40  # half the side of the window that a cell is drawn in, in pixels
_OFFSET, _GAIN, _READ_NOISE = 100.0, 4.0, 6.0  # of a camera, in grey levels


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a synthetic field."""

    y: float
    """Row of the centre of its nucleus, in pixels."""
    x: float
    """Column of the centre of its nucleus, in pixels."""
    class_name: str
    """`CYTOPLASM`, `NUCLEUS` or `NO_GFP`."""


@dataclass(frozen=True, slots=True)
class CellField:
    """A synthetic field and what is in it."""

    image: NDArray[np.uint16]
    """(2, H, W) intensities, channels GFP and DNA."""
    cells: tuple[Cell, ...]
    """Every cell, those cut by the border included."""


def cell_field(
    rng: np.random.Generator,
    shape: tuple[int, int] = (512, 512),
    *,
    n_cells: int = 40,
    nuclear_fraction: float = 0.5,
    no_gfp_fraction: float = 0.2,
) -> CellField:
    """Draw a field of cells with camera noise and uneven illumination.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (int, int)
        Height and width in pixels.
    n_cells : int
        How many cells to place. Fewer are placed where there is no more room.
    nuclear_fraction : float
        Probability that a cell that expresses GFP has it in its nucleus, in [0, 1].
    no_gfp_fraction : float
        Probability that a cell expresses no GFP, in [0, 1].

    Returns
    -------
    CellField
        Nuclei are about 16 px wide and cells about 30 px; cells touch, nuclei do not overlap.
    """
    signal = np.zeros((2, shape[0] + 2 * _WINDOW, shape[1] + 2 * _WINDOW))
    cells = []
    for y, x in _spread(rng, shape, n_cells, distance=21.0):
        class_name = _draw_class(rng, nuclear_fraction, no_gfp_fraction)
        top, left = int(y), int(x)
        window = signal[:, top : top + 2 * _WINDOW, left : left + 2 * _WINDOW]
        window += _cell(rng, (y - top, x - left), class_name)
        cells.append(Cell(float(y), float(x), class_name))
    signal = signal[:, _WINDOW:-_WINDOW, _WINDOW:-_WINDOW]
    return CellField(_photograph(rng, signal), tuple(cells))


def hill(dose: float, half_dose: float, slope: float = 2.0) -> float:
    """Return the response to a dose, in [0, 1].

    Examples
    --------
    >>> hill(0.0, half_dose=10.0), hill(10.0, half_dose=10.0)
    (0.0, 0.5)
    """
    return 0.0 if dose == 0 else 1.0 / (1.0 + (half_dose / dose) ** slope)


def _spread(
    rng: np.random.Generator, shape: tuple[int, int], n_points: int, distance: float
) -> list[NDArray[np.float64]]:
    points: list[NDArray[np.float64]] = []
    for candidate in rng.uniform((0, 0), shape, (n_points * 20, 2)):
        if len(points) == n_points:
            break
        if all(np.hypot(*(candidate - point)) >= distance for point in points):
            points.append(candidate)
    return points


def _draw_class(rng: np.random.Generator, nuclear_fraction: float, no_gfp_fraction: float) -> str:
    if rng.random() < no_gfp_fraction:
        return NO_GFP
    return NUCLEUS if rng.random() < nuclear_fraction else CYTOPLASM


def _cell(rng: np.random.Generator, centre: tuple[float, float], class_name: str) -> NDArray[np.float64]:
    """Draw one cell as (2, 80, 80): GFP and DNA."""
    angle = rng.uniform(0, np.pi)
    nucleus = _blob(rng, centre, radii=rng.uniform((6.5, 7.5), (8.5, 9.5)), angle=angle, roughness=0.04)
    body = _blob(rng, centre, radii=rng.uniform((12, 13.5), (15, 18)), angle=angle, roughness=0.14)
    brightness = rng.lognormal(0.0, 0.2)
    inside, outside = {NUCLEUS: (1.0, 0.25), CYTOPLASM: (0.22, 0.7), NO_GFP: (0.07, 0.05)}[class_name]
    gfp = 900 * brightness * (inside * nucleus + outside * body * (1 - nucleus))
    dna = 1200 * rng.lognormal(0.0, 0.15) * nucleus * (1 + 0.15 * rng.normal(size=nucleus.shape))
    return np.stack([gfp, np.maximum(dna, 0)])


def _blob(
    rng: np.random.Generator, centre: tuple[float, float], *, radii: NDArray[np.float64], angle: float, roughness: float
) -> NDArray[np.float64]:
    """Draw a soft-edged ellipse with a wavy outline, as (80, 80) in [0, 1]."""
    y, x = np.mgrid[-_WINDOW:_WINDOW, -_WINDOW:_WINDOW].astype(float)
    y, x = y - centre[0], x - centre[1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    direction = np.arctan2(across, along)
    outline = sum(roughness / k * np.cos(k * direction + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    distance = np.hypot(along / radii[1], across / radii[0]) - outline
    inside: NDArray[np.float64] = 1 / (1 + np.exp((distance - 1) * radii.mean() / 0.9))
    return inside


def _photograph(rng: np.random.Generator, signal: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Add background, uneven illumination, shot noise and read noise."""
    _, height, width = signal.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    illumination = 1 - 0.25 * ((y - rng.uniform(-0.3, 0.3)) ** 2 + (x - rng.uniform(-0.3, 0.3)) ** 2) / 2
    photons = rng.poisson((signal + 60) * illumination / _GAIN)
    grey = _OFFSET + _GAIN * photons + rng.normal(0, _READ_NOISE, signal.shape)
    photograph: NDArray[np.uint16] = np.clip(np.rint(grey), 0, 65535).astype(np.uint16)
    return photograph
