"""The steps of the work, in their order, and how far a study has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.curation.actions import Action, Batch, ChooseChannels, ChooseImages
from simsearch.io.ome_zarr.colors import RGB_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import Curation


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the work, which has a page."""

    name: str
    """In addresses."""
    title: str
    """In words."""
    hint: str
    """What is done there."""


STEPS = (
    Step("images", "Images", "Choose the images that you look at"),
    Step("channels", "Channels", "Choose the channels that matter"),
    Step("regions", "Regions", "Draw a box around what you look for, and judge what is found"),
    Step("background", "Background", "Check what is taken for background"),
    Step("train", "Train", "Train a model on what you marked"),
    Step("confidence", "Confidence", "Choose how sure the model must be"),
    Step("results", "Results", "Run over all images, look and download"),
)


def finished_steps(snapshot: Snapshot) -> frozenset[str]:
    """Tell which steps are finished.

    What a study begins with stands for a choice of images and channels as soon as somebody has drawn on it.
    """
    curation = snapshot.curation
    has_drawn = any(each.prototypes for each in curation.classes)
    kinds = {type(action) for action in _held(snapshot)}
    models = snapshot.models
    is_done = {
        "images": has_drawn or ChooseImages in kinds,
        "channels": has_drawn or ChooseChannels in kinds or needs_no_channels(curation),
        "regions": has_drawn and all(each.is_accepted for each in curation.classes),
        "background": curation.is_background_accepted,
        "train": bool(models),
        "confidence": bool(models) and _have_confidence(curation, models[-1].classes),
        "results": snapshot.n_results > 0,
    }
    return frozenset(name for name, done in is_done.items() if done)


def next_step(snapshot: Snapshot) -> str:
    """Name the first step that is not finished; the last if all are."""
    finished = finished_steps(snapshot)
    return next((step.name for step in STEPS if step.name not in finished), STEPS[-1].name)


def needs_no_channels(curation: Curation) -> bool:
    """Tell whether there is nothing to choose: colours of brightfield go together, and one channel is one."""
    return curation.channel_names == RGB_NAMES or len(curation.channel_names) == 1


def _have_confidence(curation: Curation, classes: tuple[str, ...]) -> bool:
    chosen = {each.name for each in curation.classes if each.confidence_threshold is not None}
    return set(classes) <= chosen


def _held(snapshot: Snapshot) -> Iterator[Action]:
    history = snapshot.history
    for entry in history.entries:
        if entry.seq not in history.undone and isinstance(entry.action, Action):
            yield from entry.action.actions if isinstance(entry.action, Batch) else (entry.action,)
