"""Plots of precision and recall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.io.pictures.figures import new_figure, save_figure
from simsearch.io.pictures.overlay import paper_color

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.core.accuracy.metrics import PrecisionRecall


def draw_curves(curves: Mapping[str, PrecisionRecall], path: Path) -> None:
    """Draw the precision-recall curve of each class, as PNG.

    Parameters
    ----------
    curves : mapping of str to PrecisionRecall
        By the name of the class.
    path : Path
        Where to write.
    """
    figure = new_figure((6, 5))
    axes = figure.subplots()
    for index, (name, curve) in enumerate(curves.items()):
        label = f"{name}: {curve.average_precision:.3f}"
        axes.step(curve.recall, curve.precision, where="post", label=label, color=paper_color(index), linewidth=2)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
    axes.grid(alpha=0.3)
    axes.legend(title="average precision", loc="lower left")
    save_figure(figure, path, dpi=120)
