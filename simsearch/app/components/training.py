"""What a model would learn from, how it is trained, how a training goes, and the models there are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from simsearch.app.components.class_list import crop_part, patch_parts
from simsearch.app.components.files import file_part, picture_part
from simsearch.app.components.frame import job_actions, job_part
from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.words import plainly
from simsearch.curation.state import singled_out
from simsearch.errors import CurationError
from simsearch.workflows.learn.train import TrainOptions, trained_classes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import JobView, Snapshot
    from simsearch.app.urls import Urls
    from simsearch.curation.state import Curation, Patch
    from simsearch.workflows.curate.trained import TrainedModel

_CROP_PX = 96
_LOSSES = PurePath("losses.png")
_N_THUMBNAILS = 24  # of each role: enough to see what it is
_BACKGROUND_COLOR = "#9aa0a6"


class TrainingWire(Wire):
    """What the page draws."""

    patches = Part()
    about = Part()
    job = Part()
    models = Part()


class Training(Island):
    """Trains models.

    Parameters
    ----------
    context : PageContext
        Of the page.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        super().__init__(
            TrainingWire(),
            {
                "start": self._start,
                **job_actions(context),
            },
        )

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        curation, urls = snapshot.curation, self._context.urls
        self.send(
            patches={
                "is_any": curation.patch_shape is not None,
                "roles": [self._role(curation, urls, *role) for role in roles(curation)],
            },
            about={
                "problems": problems(curation),
                "n_others": len(curation.shapes) - len(curation.displayed),
                "defaults": asdict(TrainOptions()),
            },
            job=training_part(snapshot.jobs),
            models=[model_part(model, urls) for model in reversed(snapshot.models)],
        )

    def _start(self, message: Message) -> None:
        options = TrainOptions(
            selflearn=bool(message["selflearn"]),
            negatives=bool(message["negatives"]),
            beside=bool(message["beside"]),
            paper=bool(message["paper"]),
        )
        self._context.run(lambda: self._context.live.start_training(self._context.user, options))

    def _role(
        self, curation: Curation, urls: Urls, role: str, class_name: str, color: str, patches: Sequence[Patch]
    ) -> dict[str, Any]:
        shape = curation.shape_of(curation.roi_class(class_name)) if class_name else curation.patch_shape
        look = {"crop": crop_part(curation, shape, urls, _CROP_PX), "aspect": shape[1] / shape[0] if shape else 1.0}
        return role_part(role, class_name, color, patches, urls.indices) | look


def roles(curation: Curation) -> Iterator[tuple[str, str, str, Sequence[Patch]]]:
    """List what is learned from: role, class, colour and patches."""
    for each in curation.classes:
        yield "clean", each.name, each.color, _distinct((*singled_out(each), *each.positives))
    for each in curation.classes:
        yield "negative", each.name, each.color, each.negatives
    yield "background", "", _BACKGROUND_COLOR, curation.background


def problems(curation: Curation) -> list[dict[str, Any]]:
    """List what stands in the way of a training (``is_fatal``), or should be known before, and the page to mend it."""
    found = []
    try:
        classes = trained_classes(curation)
    except CurationError as error:
        page = "background" if any(each.prototypes for each in curation.classes) else "regions"
        return [{"text": plainly(error), "page": page, "is_fatal": True}]
    for each in classes:
        if each.similarity_threshold is None:
            text = f"Nobody has said yet from which similarity on something is of class {each.name}: accept it first."
            found.append({"text": text, "page": "regions", "is_fatal": True})
        elif not each.is_accepted:
            text = (
                f"Class {each.name} has changed since it was accepted: the model learns from what was accepted before."
            )
            found.append({"text": text, "page": "regions", "is_fatal": False})
        elif each.n_changes:
            text = (
                f"{each.n_changes} change{'s' * (each.n_changes > 1)} of boxes since class {each.name} was accepted: "
                "the model learns from the boxes, and from what was accepted before."
            )
            found.append({"text": text, "page": "regions", "is_fatal": False})
    if not curation.is_background_accepted:
        text = "The background is not accepted: what is neither of the classes may be taken for one of them."
        found.append({"text": text, "page": "background", "is_fatal": False})
    return found


def role_part(
    role: str, class_name: str, color: str, patches: Sequence[Patch], indices: Mapping[str, int]
) -> dict[str, Any]:
    """Write what is learned from, for a script to draw."""
    shown = patch_parts(patches[:_N_THUMBNAILS], indices)
    return {"role": role, "class": class_name, "color": color, "n": len(patches), "shown": shown}


def training_part(jobs: Sequence[JobView]) -> dict[str, Any] | None:
    """Write the training that goes on, or else the last one, for a script to draw."""
    trainings = [job for job in jobs if job.kind == "train"]
    if not trainings:
        return None
    job = next((job for job in reversed(trainings) if not job.is_over), trainings[-1])
    return {**job_part(job), "epochs": {stage: list(losses) for stage, losses in job.epochs.items()}}


def model_part(model: TrainedModel, urls: Urls) -> dict[str, Any]:
    """Write a model for a script to draw."""
    curves = next((path for path in model.files if path.name == _LOSSES.name), None)
    return {
        "id": model.id,
        "kind": model.kind,
        "classes": model.classes,
        "created": model.created,
        "n_patches": {role: sum(counts.values()) for role, counts in model.n_patches.items()},
        "losses": {stage: list(losses) for stage, losses in model.losses.items()},
        "held_out": dict(model.held_out),
        "decided_by": dict(model.decided_by),
        "n_doubtful": model.n_doubtful,
        "curves": picture_part(curves, urls, curves.parent) if curves else None,
        "files": [file_part(path, urls, path.parent) for path in model.files if path.stem != _LOSSES.stem],
    }


def _distinct(patches: Sequence[Patch]) -> list[Patch]:
    return list({(patch.image, patch.y, patch.x): patch for patch in patches}.values())
