"""Names in figures are drawn as they are, whatever they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from simsearch.core.accuracy.metrics import precision_recall
from simsearch.core.checks.names import in_one_line
from simsearch.io.pictures.curves import draw_curves
from simsearch.io.pictures.figures import new_figure, save_figure
from simsearch.io.tables.xml import parse_xml

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"
DOCTYPE = b"""<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"
  "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
"""  # matplotlib's; `parse_xml` takes none


@pytest.mark.parametrize("name", [r"5 $\foo$ x", "$", "$$", r"$\frac{1}{$", "a$b", "{", r"\\", "%", "日本", "a\tb"])
def test_a_name_that_looks_like_a_formula_is_drawn_as_it_is(name: str, tmp_path: Path) -> None:
    figure = new_figure((3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], label=name)
    axes.set(title=name, xlabel=name)
    axes.legend(title=name)
    figure.suptitle(name)
    save_figure(figure, tmp_path / "figure.png", dpi=60)
    assert np.asarray(Image.open(tmp_path / "figure.png").convert("L")).min() < 128


@pytest.mark.parametrize(
    "name", ["a & b <i>", "]]>", "\x01\x1b[31m", "日本", "<script>alert(1)</script>", '" onload="x']
)
def test_a_figure_is_also_svg_in_which_names_are_text(name: str, tmp_path: Path) -> None:
    files = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        figure = new_figure((3, 2))
        axes = figure.subplots()
        axes.plot([0, 1], label=name)
        axes.set_title(f"of {name}")
        save_figure(figure, folder / "figure.png", dpi=60)
        files.append((folder / "figure.svg").read_bytes())
    assert files[0] == files[1]
    drawn = parse_xml(files[0].replace(DOCTYPE, b""), "figure.svg")
    texts = ["".join(each.itertext()) for each in drawn.iter(f"{SVG}text")]
    assert f"of {in_one_line(name)}" in texts
    assert not [each for each in drawn.iter() if each.tag == f"{SVG}script" or "onload" in each.attrib]


def test_what_stands_between_dollars_is_no_formula(tmp_path: Path) -> None:
    drawn = []
    for name in ("$x$", "x"):
        figure = new_figure((2, 1))
        figure.suptitle(name)
        save_figure(figure, tmp_path / "figure.png", dpi=60)
        drawn.append(np.asarray(Image.open(tmp_path / "figure.png").convert("L")) < 128)
    assert drawn[0].sum() > 1.5 * drawn[1].sum()  # the dollars are seen


def test_a_long_name_leaves_room_for_what_it_names(tmp_path: Path) -> None:
    curve = precision_recall([np.array([True, False])], [np.array([0.9, 0.4])], 1)
    draw_curves({"\N{LATIN SMALL LETTER E WITH ACUTE}" * 200: curve}, tmp_path / "long.png")  # a warning fails
    figure = new_figure((3, 2))
    text = figure.suptitle("n" * 200 + ": 0.912")
    save_figure(figure, tmp_path / "figure.png", dpi=60)
    assert text.get_text().endswith("n: 0.912")
    assert len(text.get_text()) < 60
