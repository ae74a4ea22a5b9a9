"""What lies beside a model for people to read: its card, pictures and record."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simsearch.core.boxes import shapes_in_words
from simsearch.io.pictures.drawing import missing_picture, try_to_draw
from simsearch.io.pictures.model_card import draw_losses, write_card
from simsearch.runtime.training_log import PATCHES_NAME
from simsearch.workflows.learn.held_out import agreement_facts, disagreement
from simsearch.workflows.provenance import write_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simsearch.runtime.tasks.train import TrainTask
    from simsearch.workflows.learn.train import TrainOptions, TrainReport


def describe(report: TrainReport, task: TrainTask, options: TrainOptions, trunk: str) -> TrainReport:
    """Write the card and the record, and tell which pictures are missing."""
    header, folder = task.header, report.model.parent
    notes = try_to_draw(folder / "losses.png", lambda: draw_losses(report.losses, folder / "losses.png"))
    doubts = disagreement(report.held_out) if report.held_out else ""
    report = replace(report, notes=(*([doubts] if doubts else []), *notes, *missing_picture(folder / PATCHES_NAME)))
    patches = shapes_in_words(dict(zip(header.classes[1:], header.patch_shapes, strict=True)))
    ranges = zip(header.channels, header.ranges, strict=True)
    facts = {
        "kind": header.kind,
        "classes": ", ".join(header.classes),
        "patch": f"{patches} at full resolution, seen at 1 / {header.downsampling}",
        "channels": ", ".join(f"{name} ({low:g} to {high:g})" for name, (low, high) in ranges),
        "pixels": f"{header.dtype}, {_size(header.pixel_size_um)}",
        "confidence thresholds": ", ".join(f"{value:g}" for value in header.confidence_thresholds),
        **{f"{name}, decided by": who for name, who in report.decided_by.items()},
        "began with trunk": trunk,
        "sha256": report.sha256,
        **{f"{role} patches": _counts(counts) for role, counts in report.n_patches.items()},
        **agreement_facts(report.held_out),
        **{f"{stage} stage": f"{len(values)} epochs, loss {values[-1]:.3f}" for stage, values in report.losses.items()},
    }
    write_card(facts, folder / "README.md")
    content = {
        "options": options,
        "config": task.config,
        "arithmetic": task.arithmetic,
        "trunk": trunk,
        "report": report,
    }
    write_run(folder, "train", content)
    return report


def _size(pixel_size_um: tuple[float, float] | None) -> str:
    return "of unknown size" if pixel_size_um is None else f"{pixel_size_um[0]:g} x {pixel_size_um[1]:g} um"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"
