"""Plots of classes against the dose of a drug (paper figure 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from simsearch.core.notes import but_for
from simsearch.errors import ConfigError
from simsearch.io.pictures.figures import new_figure, save_figure
from simsearch.io.pictures.overlay import paper_color

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from simsearch.core.dose_response import DoseResponse

    _Step = tuple[int, int]  # a decade and a digit: 5 * 10**2

_PANEL = (4.6, 4.6)  # inches
_MAX_COLUMNS = 3
_MARGIN = 0.06  # beyond the first and the last dose, of the way between them
_ZERO_GAP = 0.2  # from the lowest dose down to the place of dose 0
_MIN_SPAN = 0.3  # decades
_MAX_NAMED = 7  # decades
_DODGE = 0.012  # of the axis: classes stand beside each other, not upon
_DASH = 5  # points
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MIN_Z_PRIME = -1.0  # below it controls are alike, and the number says nothing more


@dataclass(frozen=True, slots=True)
class DosePanel:
    """What to draw of one drug."""

    title: str
    """Name of the drug."""
    unit: str
    """Of the doses."""
    doses: NDArray[np.floating]
    """(N,) dose of each well; one at least is above 0."""
    fractions: Mapping[str, NDArray[np.floating]]
    """By the name of the class, (N,) its share of the objects in each well; a well with NaN is left out."""
    fits: Mapping[str, DoseResponse] = field(default_factory=dict)
    """By the name of the class, the curve through its fractions, where there is one."""
    z_primes: Mapping[str, float] = field(default_factory=dict)
    """By the name of the class, the Z'-factor of its fraction, where there are controls."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """The x axis: log10 of the dose, with a place for dose 0 if a well has it."""

    first: float
    last: float
    has_zero: bool

    @property
    def margin(self) -> float:
        return _MARGIN * max(self.last - self.first, _MIN_SPAN)

    @property
    def zero(self) -> float:
        return self.first - _ZERO_GAP * max(self.last - self.first, _MIN_SPAN)

    @property
    def limits(self) -> tuple[float, float]:
        return (self.zero if self.has_zero else self.first) - self.margin, self.last + self.margin

    @property
    def width(self) -> float:
        return self.limits[1] - self.limits[0]

    def holds(self, log_dose: float) -> bool:
        return self.first - self.margin <= log_dose <= self.last + self.margin

    def place(self, doses: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.where(doses == 0, self.zero, np.log10(np.where(doses == 0, 1.0, doses)))


def draw_dose_response(panels: Sequence[DosePanel], path: Path, aside: Sequence[str] = ()) -> None:
    """Draw a panel for each drug, as PNG: wells, their mean and standard deviation at each dose, and fitted curves.

    Parameters
    ----------
    panels : sequence of DosePanel
        At least one. A class has the same colour in all of them: those of `CLASS_COLORS`, in the order of the classes.
        EC50 is a broken line and its interval a band; a curve that does not determine EC50 is thin and has none.
    path : Path
        Where to write.
    aside : sequence of str
        Classes whose objects are not counted in the fractions of others, for the axis to say so.

    Raises
    ------
    ConfigError
        If there is no panel, or one has no dose above 0, or a dose that is negative or no number.
    """
    if not panels:
        raise ConfigError("expected at least one drug to draw, got none: name doses in the plate map")
    inks = {
        name: paper_color(i)
        for i, name in enumerate(dict.fromkeys(name for panel in panels for name in panel.fractions))
    }
    n_columns = min(len(panels), _MAX_COLUMNS)
    n_rows = math.ceil(len(panels) / n_columns)
    figure = new_figure((_PANEL[0] * n_columns, _PANEL[1] * n_rows))
    places = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    for axes, panel in zip(places, panels, strict=False):
        _draw_panel(axes, panel, inks)
    for axes in places[len(panels) :]:
        axes.remove()
    for axes in places[: len(panels) : n_columns]:
        axes.set_ylabel(f"fraction of objects{but_for(aside)}")
    save_figure(figure, path, dpi=150)


def _draw_panel(axes: Axes, panel: DosePanel, inks: Mapping[str, str]) -> None:
    scale = _scale(panel)
    axes.set(title=panel.title, xlabel=f"dose ({panel.unit})", xlim=scale.limits, ylim=(-0.03, 1.03))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    _draw_ticks(axes, scale)
    if scale.has_zero:
        _draw_break(axes, (scale.zero + scale.first) / 2, scale.width)
    middle = (len(panel.fractions) - 1) / 2
    for index, (name, fractions) in enumerate(panel.fractions.items()):
        x = scale.place(panel.doses) + (index - middle) * _DODGE * scale.width
        _draw_wells(axes, x, fractions, inks[name])
    for name, fit in panel.fits.items():
        _draw_curve(axes, fit, scale, inks[name])
    settled = {inks[name]: fit for name, fit in panel.fits.items() if _is_settled(fit)}
    _draw_ec50(axes, settled, scale)
    _draw_legend(axes, panel, inks)


def _draw_wells(axes: Axes, x: NDArray[np.floating], fractions: NDArray[np.floating], ink: str) -> None:
    is_known = np.isfinite(fractions)
    x, fractions = x[is_known], fractions[is_known]
    at_dose = [fractions[x == place] for place in np.unique(x)]
    axes.scatter(x, fractions, s=10, color=ink, alpha=0.45, linewidths=0, zorder=2)
    axes.errorbar(
        np.unique(x),
        [wells.mean() for wells in at_dose],
        yerr=[wells.std(ddof=1) if len(wells) > 1 else 0.0 for wells in at_dose],
        color=ink,
        fmt="o",
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=1.1,
        capsize=2.5,
        zorder=4,
    )


def _draw_curve(axes: Axes, fit: DoseResponse, scale: _Scale, ink: str) -> None:
    line_width = 1.8 if _is_settled(fit) else 0.9
    x = np.linspace(scale.first - scale.margin, scale.last + scale.margin, 300)
    axes.plot(x, fit.at(10**x), color=ink, linewidth=line_width, zorder=3)
    if scale.has_zero:
        ends = (scale.zero - scale.margin, scale.zero + scale.margin)
        axes.plot(ends, (fit.bottom, fit.bottom), color=ink, linewidth=line_width, zorder=3)


def _draw_ec50(axes: Axes, fits: Mapping[str, DoseResponse], scale: _Scale) -> None:
    """Draw EC50 and its interval, of fits by their colour, as far as they are on the axis."""
    ends = scale.first - scale.margin, scale.last + scale.margin
    for index, (ink, fit) in enumerate(fits.items()):
        low, high = np.clip(np.log10(fit.ec50_interval), *ends)
        if low < high:
            axes.axvspan(low, high, color=ink, alpha=0.15, linewidth=0, zorder=0)
        if scale.holds(math.log10(fit.ec50)):
            # One class's dashes lie in the gaps of the others: all are seen where classes have the same EC50.
            dashes = (_DASH * index, (_DASH, _DASH * max(1, len(fits) - 1)))
            axes.axvline(math.log10(fit.ec50), color=ink, linewidth=1.2, linestyle=dashes, zorder=1)


def _draw_legend(axes: Axes, panel: DosePanel, inks: Mapping[str, str]) -> None:
    handles = [
        Line2D([], [], color=inks[name], marker="o", markersize=5, linestyle="-" if name in panel.fits else "")
        for name in panel.fractions
    ]
    axes.legend(
        handles,
        [_label(name, panel) for name in panel.fractions],
        title=f"mean ± SD of wells{'; EC50 with 95 % interval' if panel.fits else ''}",
        loc="upper left",
        bbox_to_anchor=(0, -0.15),
        alignment="left",
        frameon=False,
        fontsize=9,
        title_fontsize=8,
    )


def _draw_ticks(axes: Axes, scale: _Scale) -> None:
    decades = range(math.floor(scale.first) - 1, math.ceil(scale.last) + 1)
    steps = {(decade, digit): decade + math.log10(digit) for decade in decades for digit in range(1, 10)}
    steps = {step: x for step, x in steps.items() if scale.holds(x)}
    named = _named_steps(list(steps))
    is_plain = all(-3 <= decade <= 4 for decade, _ in named)
    labels = {_tick_label(step, is_plain): steps[step] for step in named}
    if len(labels) < 2:
        labels = {f"{10**x:.3g}": x for x in (scale.first, scale.last)}
    if scale.has_zero:
        labels["0"] = scale.zero
    axes.set_xticks(list(labels.values()), list(labels))
    is_crowded = sum(digit == 1 for _, digit in steps) > _MAX_NAMED
    minor = [x for (_, digit), x in steps.items() if digit == 1 or not is_crowded]
    axes.xaxis.set_minor_locator(FixedLocator(minor))


def _named_steps(steps: Sequence[_Step]) -> Sequence[_Step]:
    """Choose the ticks that get a label: decades if they are enough, of many decades only some."""
    decades = [step for step in steps if step[1] == 1]
    if len(decades) >= 3:
        return decades[:: math.ceil(len(decades) / _MAX_NAMED)]
    some = [step for step in steps if step[1] in (1, 2, 5)]
    return some if len(some) >= 3 else steps


def _tick_label(step: _Step, is_plain: bool) -> str:
    """Write a tick, without the formulas of matplotlib: in a figure of ours what stands between $ is a name.

    Examples
    --------
    >>> _tick_label((2, 5), True), _tick_label((5, 1), False), _tick_label((-4, 2), False)
    ('500', '10⁵', '2·10⁻⁴')
    """
    decade, digit = step
    if is_plain:
        return f"{digit * 10.0**decade:g}"
    power = f"10{str(decade).translate(_RAISED)}"
    return power if digit == 1 else f"{digit}\N{MIDDLE DOT}{power}"


def _draw_break(axes: Axes, x: float, width: float) -> None:
    """Cut the axis between dose 0 and the others: a log axis has no 0."""
    half = 0.006 * width
    gap = axes.plot([x - half, x + half], [0, 0], color="white", linewidth=3, zorder=5)
    edges = axes.plot([[x - 2 * half, x], [x, x + 2 * half]], [-0.018, 0.018], color="black", linewidth=0.8, zorder=6)
    for line in (*gap, *edges):
        line.set(transform=axes.get_xaxis_transform(), clip_on=False)


def _scale(panel: DosePanel) -> _Scale:
    doses = np.asarray(panel.doses, float)
    tested = doses[doses > 0]
    strange = doses[~(np.isfinite(doses) & (doses >= 0))]
    if len(strange) or not len(tested):
        got = f"{strange[0]:g}" if len(strange) else "none above 0"
        raise ConfigError(f"{panel.title}: expected doses from 0 up, got {got}: mend the doses in the plate map")
    return _Scale(math.log10(tested.min()), math.log10(tested.max()), has_zero=len(tested) < len(doses))


def _label(name: str, panel: DosePanel) -> str:
    parts = [_ec50_label(panel.fits[name], panel)] if name in panel.fits else []
    if name in panel.z_primes and panel.z_primes[name] > _MIN_Z_PRIME:
        parts.append(f"Z\N{PRIME} {panel.z_primes[name]:.2f}")
    return f"{name}: {', '.join(parts)}" if parts else name


def _ec50_label(fit: DoseResponse, panel: DosePanel) -> str:
    if not _is_settled(fit):
        return "EC50 not determined"
    low, high = (_three_digits(dose) for dose in fit.ec50_interval)
    text = f"EC50 {_three_digits(fit.ec50)} {panel.unit} ({low}\N{EN DASH}{high})"
    tested = panel.doses[panel.doses > 0]
    return text if tested.min() <= fit.ec50 <= tested.max() else f"{text}, beyond the tested doses"


def _three_digits(dose: float) -> str:
    """Format a dose.

    Examples
    --------
    >>> [_three_digits(dose) for dose in (8.8, 250, 2712.3, 0.01234, 1.5e-9)]
    ['8.80', '250', '2710', '0.0123', '1.50e-09']
    """
    n_decimals = 2 - math.floor(math.log10(dose))
    return f"{round(dose, n_decimals):.{max(n_decimals, 0)}f}" if 1e-3 <= dose < 1e5 else f"{dose:.2e}"


def _is_settled(fit: DoseResponse) -> bool:
    return fit.ec50_interval[0] > 0 and fit.ec50_interval[1] < math.inf
