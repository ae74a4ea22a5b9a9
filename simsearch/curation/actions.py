"""What a person can do to a curation. Each action is a value that applies to a state and gives the next one.

A journal keeps actions for ever, and replaying it must give the same state for ever: where the meaning of an action
changes, its version goes up, and what the old one did stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from simsearch.curation.checks import check_choice, check_class_name, check_color, check_free, count
from simsearch.curation.state import RoiClass
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from simsearch.curation.state import Curation


class Action(ABC):
    """A change of a curation."""

    __slots__ = ()
    kind: ClassVar[str]
    """Its name in a journal."""
    version: ClassVar[int] = 1
    """Of its meaning; the class of an older one has a name of its own, and is made from old journals only."""

    @abstractmethod
    def apply(self, curation: Curation) -> Curation:
        """Return the next state, or raise CurationError if the action does not apply to this one."""


def apply(curation: Curation, action: Action) -> Curation:
    """Apply an action.

    Raises
    ------
    CurationError
        If it does not apply; the message says why, and the way out.
    """
    return action.apply(curation)


@dataclass(frozen=True, slots=True)
class AddClass(Action):
    """Add a class, without prototypes yet."""

    kind: ClassVar[str] = "add_class"
    class_name: str
    color: str

    def __str__(self) -> str:
        return f"add class {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Add it behind the others."""
        check_class_name(self.class_name)
        check_color(self.color)
        check_free(curation, self.class_name)
        return replace(curation, classes=(*curation.classes, RoiClass(self.class_name, self.color)))


@dataclass(frozen=True, slots=True)
class RenameClass(Action):
    """Give a class another name."""

    kind: ClassVar[str] = "rename_class"
    class_name: str
    new_name: str

    def __str__(self) -> str:
        return f"rename class {self.class_name} to {self.new_name}"

    def apply(self, curation: Curation) -> Curation:
        """Rename it."""
        check_class_name(self.new_name)
        renamed = replace(curation.roi_class(self.class_name), name=self.new_name)
        check_free(curation, self.new_name)
        return curation.with_class(self.class_name, renamed)


@dataclass(frozen=True, slots=True)
class RecolorClass(Action):
    """Give a class another colour."""

    kind: ClassVar[str] = "recolor_class"
    class_name: str
    color: str

    def __str__(self) -> str:
        return f"recolour class {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Recolour it."""
        check_color(self.color)
        return curation.with_class(self.class_name, replace(curation.roi_class(self.class_name), color=self.color))


@dataclass(frozen=True, slots=True)
class RemoveClass(Action):
    """Remove a class and all its patches."""

    kind: ClassVar[str] = "remove_class"
    class_name: str

    def __str__(self) -> str:
        return f"remove class {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Remove it."""
        removed = curation.roi_class(self.class_name)
        return replace(curation, classes=tuple(each for each in curation.classes if each is not removed)).released()


@dataclass(frozen=True, slots=True)
class SetSimilarityThreshold(Action):
    """Choose how similar suggestions of a class must be."""

    kind: ClassVar[str] = "set_similarity_threshold"
    class_name: str
    similarity_threshold: float

    def __str__(self) -> str:
        return f"set the similarity threshold of {self.class_name} to {self.similarity_threshold:g}"

    def apply(self, curation: Curation) -> Curation:
        """Set it, and reopen the class."""
        if not -1 <= self.similarity_threshold <= 1:
            raise CurationError(f"expected a similarity threshold from -1 to 1, got {self.similarity_threshold:g}")
        changed = replace(curation.roi_class(self.class_name), similarity_threshold=self.similarity_threshold)
        return curation.with_class(self.class_name, changed).reopened(self.class_name)


@dataclass(frozen=True, slots=True)
class SetConfidenceThreshold(Action):
    """Choose how confident of a class a model must be (paper section 2.5)."""

    kind: ClassVar[str] = "set_confidence_threshold"
    class_name: str
    confidence_threshold: float

    def __str__(self) -> str:
        return f"set the confidence threshold of {self.class_name} to {self.confidence_threshold:g}"

    def apply(self, curation: Curation) -> Curation:
        """Set it; what was accepted stays so."""
        if not 0 <= self.confidence_threshold <= 1:
            raise CurationError(f"expected a confidence threshold from 0 to 1, got {self.confidence_threshold:g}")
        changed = replace(curation.roi_class(self.class_name), confidence_threshold=self.confidence_threshold)
        return curation.with_class(self.class_name, changed)


@dataclass(frozen=True, slots=True)
class ChooseImages(Action):
    """Choose which images are displayed."""

    kind: ClassVar[str] = "choose_images"
    images: tuple[str, ...]

    def __str__(self) -> str:
        return f"display {count(self.images, 'image')}"

    def apply(self, curation: Curation) -> Curation:
        """Display them."""
        check_choice(self.images, curation.shapes, "image")
        return replace(curation, displayed=self.images)


@dataclass(frozen=True, slots=True)
class ChooseChannels(Action):
    """Choose which channels are looked at."""

    kind: ClassVar[str] = "choose_channels"
    channels: tuple[str, ...]

    def __str__(self) -> str:
        return f"look at {count(self.channels, 'channel')}"

    def apply(self, curation: Curation) -> Curation:
        """Look at them."""
        check_choice(self.channels, curation.channel_names, "channel")
        return replace(curation, channels=self.channels)


@dataclass(frozen=True, slots=True)
class Batch(Action):
    """Several actions as one: they apply, are undone and survive a crash together."""

    kind: ClassVar[str] = "batch"
    label: str
    """What they are for."""
    actions: tuple[Action, ...]

    def __str__(self) -> str:
        return self.label

    def apply(self, curation: Curation) -> Curation:
        """Apply all of them in their order."""
        for action in self.actions:
            curation = action.apply(curation)
        return curation
