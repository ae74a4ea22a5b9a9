"""Actions of older journals, which do for ever what they did: a class had to be accepted again after every change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simsearch.curation.marks import AddPrototypes, FlagNegatives, MovePrototype, RemovePrototype, UnflagNegatives

if TYPE_CHECKING:
    from simsearch.curation.state import Curation


@dataclass(frozen=True, slots=True)
class AddAndReopen(AddPrototypes):
    """Draw boxes as journals of before do."""

    version: ClassVar[int] = 1

    def apply(self, curation: Curation) -> Curation:
        """Add them, and reopen the class."""
        added = AddPrototypes(self.class_name, self.patches, self.patch_shape)
        return added.apply(curation).reopened(self.class_name)


@dataclass(frozen=True, slots=True)
class MoveAndReopen(MovePrototype):
    """Move a prototype as journals of before do."""

    version: ClassVar[int] = 1

    def apply(self, curation: Curation) -> Curation:
        """Move it, and reopen the class."""
        moved = MovePrototype(self.class_name, self.patch_id, self.y, self.x)
        return moved.apply(curation).reopened(self.class_name)


@dataclass(frozen=True, slots=True)
class RemoveAndReopen(RemovePrototype):
    """Remove a prototype as journals of before do."""

    version: ClassVar[int] = 1

    def apply(self, curation: Curation) -> Curation:
        """Remove it, and reopen the class."""
        return RemovePrototype(self.class_name, self.patch_id).apply(curation).reopened(self.class_name)


@dataclass(frozen=True, slots=True)
class FlagAndReopen(FlagNegatives):
    """Flag as journals of before do."""

    version: ClassVar[int] = 1

    def apply(self, curation: Curation) -> Curation:
        """Add them, and reopen the class."""
        return FlagNegatives(self.class_name, self.patches).apply(curation).reopened(self.class_name)


@dataclass(frozen=True, slots=True)
class UnflagAndReopen(UnflagNegatives):
    """Unflag as journals of before do."""

    version: ClassVar[int] = 1

    def apply(self, curation: Curation) -> Curation:
        """Remove them, and reopen the class."""
        return UnflagNegatives(self.class_name, self.patch_ids).apply(curation).reopened(self.class_name)
