"""Names in figures are drawn as they are, whatever they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from simsearch.io.pictures.figures import new_figure, save_figure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", [r"5 $\foo$ x", "$", "$$", r"$\frac{1}{$", "a$b", "{", r"\\", "%", "日本"])
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_a_name_that_looks_like_a_formula_is_drawn_as_it_is(name: str, tmp_path: Path) -> None:
    figure = new_figure((3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], label=name)
    axes.set(title=name, xlabel=name)
    axes.legend(title=name)
    figure.suptitle(name)
    save_figure(figure, tmp_path / "figure.png", dpi=60)
    assert np.asarray(Image.open(tmp_path / "figure.png").convert("L")).min() < 128


def test_what_stands_between_dollars_is_no_formula(tmp_path: Path) -> None:
    drawn = []
    for name in ("$x$", "x"):
        figure = new_figure((2, 1))
        figure.suptitle(name)
        save_figure(figure, tmp_path / "figure.png", dpi=60)
        drawn.append(np.asarray(Image.open(tmp_path / "figure.png").convert("L")) < 128)
    assert drawn[0].sum() > 1.5 * drawn[1].sum()  # the dollars are seen
