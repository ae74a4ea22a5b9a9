"""Models that were trained in a study, as far as people want to know about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simsearch.core.checks.json_text import parse_json
from simsearch.errors import ModelFileError
from simsearch.nn.model_file import read_header
from simsearch.workflows.curate.study import study_models

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.workflows.curate.study import Study


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that was trained in a study."""

    id: str
    """Name of its folder."""
    path: Path
    """Its file."""
    sha256: str
    """Of its file."""
    kind: str
    """dense or patchwise."""
    classes: tuple[str, ...]
    """Without the background."""
    patch_shapes: Mapping[str, tuple[float, float]]
    """Height and width of the patches of each of these classes, in level-0 pixels."""
    confidence_thresholds: Mapping[str, float]
    """What the model file says; what people chose since stands in the curation."""
    created: str
    """When, in ISO 8601."""
    n_patches: Mapping[str, Mapping[str, int]]
    """How many it was trained on, by role and class."""
    losses: Mapping[str, tuple[float, ...]]
    """Loss of each epoch of each stage."""
    held_out: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """By class what cross-validation says of its patches: precision, recall, average precision; empty where labels were
    not compared."""
    n_doubtful: int = 0
    """Patches whose label the others disagree with."""
    decided_by: Mapping[str, str] = field(default_factory=dict)
    """By class in words how far the search decides that the model carries."""
    is_of_objects: bool = False
    """Whether what surrounds an object is background to it, so that areas would be wrong."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The model, its card and its pictures, as far as they are there."""
        pictures = "losses.png", "losses.svg", "patches.png"
        names = (self.path.name, "README.md", "run.json", "held_out.csv", "answered.csv", *pictures)
        return tuple(path for name in names if (path := self.path.with_name(name)).exists())


def read_trained(study: Study) -> list[TrainedModel]:
    """List the models of a study that are complete, the oldest first."""
    return [model for path in study_models(study) if (model := read_trained_at(path)) is not None]


def read_trained_at(path: Path) -> TrainedModel | None:
    """Read a model and how it was trained; None where a training is just about to end, or somebody removes it."""
    try:
        run = parse_json(path.with_name("run.json").read_text(encoding="utf-8"))
        report, header = run["report"], read_header(path.read_bytes(), str(path))
        held_out = report.get("held_out") or {"classes": {}, "n_doubtful": 0}  # models of before have none
        return TrainedModel(
            id=path.parent.name,
            path=path,
            sha256=report["sha256"],
            kind=header.kind,
            classes=header.classes[1:],
            patch_shapes=dict(zip(header.classes[1:], header.patch_shapes, strict=True)),
            confidence_thresholds=dict(zip(header.classes[1:], header.confidence_thresholds, strict=True)),
            created=run["finished"],
            n_patches=report["n_patches"],
            losses={stage: tuple(values) for stage, values in report["losses"].items()},
            held_out=held_out["classes"],
            n_doubtful=held_out["n_doubtful"],
            decided_by=report.get("decided_by", {}),
            is_of_objects=bool(header.training.get("n_beside")),
        )
    except (OSError, ValueError, KeyError, TypeError, ModelFileError):
        return None
