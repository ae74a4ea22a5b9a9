"""Something to compute on a cluster, and what this machine finds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage

_CHANNELS = ("c0", "c1")


@dataclass(frozen=True)
class Work:
    """A command, and what it finds on this machine."""

    words: tuple[str, ...]
    expected: dict[str, bytes]

    def into(self, folder: Path) -> tuple[str, ...]:
        """Write the command line with results in a folder."""
        return (*self.words, "--out", str(folder))


def done_here(words: tuple[str, ...], folder: Path) -> Work:
    """Run a command in this process."""
    done = CliRunner().invoke(main, [*words, "--out", str(folder), "--cluster", "threads:1"])
    assert done.exit_code == 0, done.output
    return Work(words, found_in(folder))


def found_in(results: Path) -> dict[str, bytes]:
    """Read what was found, without what tells of times and places."""
    told = {"events.jsonl", "run.json", "tiles.jsonl"}
    files = (path for path in results.rglob("*") if path.is_file() and path.name not in told)
    return {str(path.relative_to(results)): path.read_bytes() for path in files}


def workers_of(results: Path) -> list[str]:
    """List who has done the tiles so far, the last one last."""
    path = results / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event["worker"] for event in events if event.get("worker")]


def prepare_detection(folder: Path, save_image: SaveImage, side: int) -> tuple[str, ...]:
    """Make a model that has learned nothing, but is sure of it, and noise to look at in tiles of 64 px.

    Returns
    -------
    tuple of str
        The command line, without where results go.
    """
    with torch.random.fork_rng():
        torch.manual_seed(3)
        trunk = trunk_from_bytes(read_trunk("bundled"), len(_CHANNELS))
        classifier = PatchClassifier(trunk, classifier_extractor("dense", (40, 40)), 3).eval()
        classifier.head.weight.data *= 20
    header = ModelHeader(
        "dense", ("background", "p", "q"), ((40, 40),) * 2, 1, _CHANNELS, ((0.0, 4000.0),) * 2, "uint16", None,
        (0.34, 0.34), "", {},
    )  # fmt: skip
    model = folder / "model.safetensors"
    model.write_bytes(model_to_bytes(classifier, header))
    pixels = np.random.default_rng(0).integers(0, 4000, (2, side, side), np.uint16)
    image = save_image(folder / "cells.ome.zarr", pixels, channel_names=_CHANNELS)
    return ("detect", str(model), str(image.path), "--tile", "8")
