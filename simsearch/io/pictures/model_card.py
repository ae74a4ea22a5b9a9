"""What a person wants to see of a model: what it was trained on, how its losses fell, what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from simsearch.io.pictures.figures import new_figure, save_figure
from simsearch.io.pictures.overlay import compose
from simsearch.io.places import replacing, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SIDE, _GAP, _TITLE = 72, 4, 26  # pixels: a thumbnail, the space between two, the title of a row
_PER_ROW = 12


def draw_patches(rows: Mapping[str, NDArray[np.floating]], colors: Sequence[str], path: Path) -> None:
    """Draw up to twelve patches of each role, evenly out of all, as PNG.

    Parameters
    ----------
    rows : mapping of str to (N, C, h, w) array
        Intensities in [0, 1] of the patches of each role.
    colors : sequence of str
        6 hex digits for each channel.
    path : Path
        Where to write.
    """
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (_GAP + _PER_ROW * step, max(1, len(rows)) * (step + _TITLE)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for index, (title, patches) in enumerate(rows.items()):
        top = index * (step + _TITLE)
        draw.text((_GAP, top + 4), f"{title} ({len(patches)})", fill="black", font=font)
        chosen = np.unique(np.linspace(0, len(patches) - 1, _PER_ROW).astype(int))
        for column, patch in enumerate(patches[chosen]):
            picture = Image.fromarray(compose(patch, colors))
            picture = picture.resize(_fitted(picture.size), Image.Resampling.BICUBIC)
            sheet.paste(picture, (_GAP + column * step, top + _TITLE))
    with replacing(path) as complete:
        sheet.save(complete, format="png")


def draw_losses(losses: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw the loss of each stage over its epochs, as PNG.

    Parameters
    ----------
    losses : mapping of str to sequence of float
        By the name of the stage.
    path : Path
        Where to write.
    """
    figure = new_figure((3.4 * max(1, len(losses)), 3))
    for axes, (stage, values) in zip(figure.subplots(1, len(losses), squeeze=False)[0], losses.items(), strict=True):
        axes.plot(range(1, len(values) + 1), values, color="#0072B2", linewidth=2, marker=".")
        axes.set(title=stage, xlabel="epoch", ylabel="loss")
        axes.grid(alpha=0.3)
    save_figure(figure, path, dpi=120)


def write_card(facts: Mapping[str, str], path: Path) -> None:
    """Write a model card that shows the two pictures, as Markdown.

    Parameters
    ----------
    facts : mapping of str to str
        What is to be known, by what it is called.
    path : Path
        Where to write; ``patches.png`` and ``losses.png`` are beside it.
    """
    rows = "\n".join(f"| {name} | {value.replace('|', '/')} |" for name, value in facts.items())
    card = (
        f"# Model\n\n| | |\n| --- | --- |\n{rows}\n\n## What it was trained on\n\n![patches](patches.png)\n\n"
        "## How its losses fell\n\n![losses](losses.png)\n"
    )
    write_whole(path, card.encode())


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    factor = _SIDE / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
