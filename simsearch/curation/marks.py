"""Actions on patches: prototypes, negatives, and what is accepted or flagged of the suggestions (paper section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from simsearch.curation.actions import Action
from simsearch.curation.checks import (
    check_apart,
    check_background,
    check_inside,
    check_patches,
    check_shape,
    check_sides,
    check_some,
    common_shape,
    count,
    find_patch,
    removed,
    without,
)
from simsearch.curation.state import singled_out
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simsearch.curation.state import Curation, Patch


def cleared(curation: Curation, patches: Iterable[Patch], shape: tuple[float, float]) -> Curation:
    """Return the curation without background in the places of patches of a shape."""
    return replace(curation, background=without(curation.background, patches, shape))


@dataclass(frozen=True, slots=True)
class AddPrototypes(Action):
    """Draw boxes around objects of a class.

    The first fixes the patch shape of the class; where one patch serves all, that of all (paper section 2.3.1).
    """

    kind: ClassVar[str] = "add_prototypes"
    version: ClassVar[int] = 2
    class_name: str
    patches: tuple[Patch, ...]
    patch_shape: tuple[float, float]
    """Height and width in pixels."""

    def __str__(self) -> str:
        return f"add {count(self.patches, 'prototype')} to {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Add them. Background in their places is background no longer; what was accepted stays so."""
        roi_class = curation.roi_class(self.class_name)
        check_some(self.patches)
        check_shape(curation, roi_class, self.patch_shape)
        check_patches(curation, self.patches, roi_class.prototypes)
        for patch in self.patches:
            check_inside(curation, patch, self.patch_shape)
        check_apart(self.patches, roi_class.negatives, self.patch_shape, "a negative of the class: unflag it first")
        changed = roi_class.with_prototypes(roi_class.prototypes + self.patches)
        if curation.has_one_patch:
            shaped = replace(curation, patch_shape=self.patch_shape).with_class(self.class_name, changed)
        else:
            shaped = curation.with_class(self.class_name, replace(changed, patch_shape=self.patch_shape)).measured()
        return cleared(shaped, self.patches, self.patch_shape)


@dataclass(frozen=True, slots=True)
class MovePrototype(Action):
    """Move a prototype in its image."""

    kind: ClassVar[str] = "move_prototype"
    version: ClassVar[int] = 2
    class_name: str
    patch_id: str
    y: float
    x: float

    def __str__(self) -> str:
        return f"move a prototype of {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Move it. Background in its place is background no longer; what was accepted stays so."""
        roi_class = curation.roi_class(self.class_name)
        moved = find_patch(roi_class.prototypes, self.patch_id, "prototypes").moved(self.y, self.x)
        others = tuple(patch for patch in roi_class.prototypes if patch.id != self.patch_id)
        check_patches(curation, [moved], others)
        shape = common_shape(curation, roi_class)
        check_inside(curation, moved, shape)
        check_apart([moved], roi_class.negatives, shape, "a negative of the class: unflag it first")
        prototypes = tuple(moved if patch.id == self.patch_id else patch for patch in roi_class.prototypes)
        return cleared(curation, [moved], shape).with_class(self.class_name, roi_class.with_prototypes(prototypes))


@dataclass(frozen=True, slots=True)
class ResizePatches(Action):
    """Give the patches of a class another height and width, all of them, around their centres."""

    kind: ClassVar[str] = "resize_patches"
    class_name: str
    patch_shape: tuple[float, float]
    """Height and width in pixels."""

    def __str__(self) -> str:
        height, width = self.patch_shape
        return f"make the patches of {self.class_name} {height:g} x {width:g} px"

    def apply(self, curation: Curation) -> Curation:
        """Resize them, and reopen the class. Prototypes move inwards where they have to.

        What was accepted, or is background, gives way to what was said one by one.
        """
        roi_class, shape = curation.roi_class(self.class_name), self.patch_shape
        check_sides(shape)
        if curation.has_one_patch or not roi_class.prototypes:
            got = "one patch for all classes" if curation.has_one_patch else "no prototype"
            raise CurationError(
                f"class {self.class_name}: expected a patch of its own, which its first prototype fixed, got {got}: "
                "draw the first box in the size that is meant"
            )
        prototypes = tuple(each.moved_inside(shape, curation.shapes[each.image]) for each in roi_class.prototypes)
        for patch in prototypes:
            check_inside(curation, patch, shape)
        changed = replace(roi_class, prototypes=prototypes, patch_shape=shape)
        said = singled_out(changed)
        check_apart(said, changed.negatives, shape, "a negative of the class: choose a smaller size, or unflag that")
        changed = replace(changed, positives=without(changed.positives, changed.negatives, shape))
        resized = curation.with_class(self.class_name, changed).measured().reopened(self.class_name)
        return cleared(resized, (*said, *changed.positives), shape)


@dataclass(frozen=True, slots=True)
class RemovePrototype(Action):
    """Remove a prototype."""

    kind: ClassVar[str] = "remove_prototype"
    version: ClassVar[int] = 2
    class_name: str
    patch_id: str

    def __str__(self) -> str:
        return f"remove a prototype of {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Remove it; what was accepted stays so. With the last patch of a class goes its patch shape."""
        roi_class = curation.roi_class(self.class_name)
        prototypes = removed(roi_class.prototypes, [self.patch_id], "prototypes")
        return curation.with_class(self.class_name, roi_class.with_prototypes(prototypes)).released()


@dataclass(frozen=True, slots=True)
class FlagNegatives(Action):
    """Say of suggestions that they do not belong to the class."""

    kind: ClassVar[str] = "flag_negatives"
    version: ClassVar[int] = 2
    class_name: str
    patches: tuple[Patch, ...]

    def __str__(self) -> str:
        return f"flag {count(self.patches, 'negative')} of {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Add them. Positives in their places are positives no longer; what else was accepted stays so."""
        roi_class = curation.roi_class(self.class_name)
        check_some(self.patches)
        check_patches(curation, self.patches, roi_class.negatives)
        shape = common_shape(curation, roi_class)
        check_apart(self.patches, roi_class.prototypes, shape, "a prototype of the class: remove that instead")
        check_apart(self.patches, roi_class.confirmed, shape, "one that was confirmed: take that back first")
        changed = replace(
            roi_class,
            negatives=roi_class.negatives + self.patches,
            positives=without(roi_class.positives, self.patches, shape),
        )
        return curation.with_class(self.class_name, changed)


@dataclass(frozen=True, slots=True)
class UnflagNegatives(Action):
    """Take flags of negatives back."""

    kind: ClassVar[str] = "unflag_negatives"
    version: ClassVar[int] = 2
    class_name: str
    patch_ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"unflag {count(self.patch_ids, 'negative')} of {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Remove them; what was accepted stays so."""
        roi_class = curation.roi_class(self.class_name)
        negatives = removed(roi_class.negatives, self.patch_ids, "negatives")
        return curation.with_class(self.class_name, replace(roi_class, negatives=negatives)).released()


@dataclass(frozen=True, slots=True)
class ConfirmPatches(Action):
    """Say of suggestions, looked at one by one, that they belong to the class."""

    kind: ClassVar[str] = "confirm_patches"
    class_name: str
    patches: tuple[Patch, ...]

    def __str__(self) -> str:
        return f"confirm {count(self.patches, 'region')} of {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Add them. Background, and positives of other classes, in their places are none any longer."""
        roi_class = curation.roi_class(self.class_name)
        check_some(self.patches)
        check_patches(curation, self.patches, singled_out(roi_class))
        own = common_shape(curation, roi_class)
        check_apart(self.patches, roi_class.negatives, own, "a negative of the class: unflag it first")
        for other in curation.classes:
            if other is not roi_class:
                what, shape = (
                    f"one of class {other.name}: take that back first",
                    common_shape(curation, roi_class, other),
                )
                check_apart(self.patches, singled_out(other), shape, what)
                left = replace(other, positives=without(other.positives, self.patches, shape))
                curation = curation.with_class(other.name, left)
        changed = replace(roi_class, confirmed=roi_class.confirmed + self.patches)
        return cleared(curation, self.patches, own).with_class(self.class_name, changed)


@dataclass(frozen=True, slots=True)
class WithdrawConfirmed(Action):
    """Take back that suggestions belong to the class."""

    kind: ClassVar[str] = "withdraw_confirmed"
    class_name: str
    patch_ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"take back {count(self.patch_ids, 'confirmed region')} of {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Remove them."""
        roi_class = curation.roi_class(self.class_name)
        confirmed = removed(roi_class.confirmed, self.patch_ids, "confirmed regions")
        return curation.with_class(self.class_name, replace(roi_class, confirmed=confirmed)).released()


@dataclass(frozen=True, slots=True)
class ReleasePositives(Action):
    """Give up positives of a class, as they are of another; the rest stays accepted."""

    kind: ClassVar[str] = "release_positives"
    class_name: str
    patch_ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"release {count(self.patch_ids, 'positive')} of {self.class_name}"

    def apply(self, curation: Curation) -> Curation:
        """Remove them."""
        roi_class = curation.roi_class(self.class_name)
        positives = removed(roi_class.positives, self.patch_ids, "positives")
        return curation.with_class(self.class_name, replace(roi_class, positives=positives)).released()


@dataclass(frozen=True, slots=True)
class AcceptClass(Action):
    """Approve what is suggested for a class: that is, its peaks above the threshold that are not negatives."""

    kind: ClassVar[str] = "accept_class"
    class_name: str
    positives: tuple[Patch, ...]
    """All of them: they replace those that were accepted before."""

    def __str__(self) -> str:
        return f"accept class {self.class_name} with {count(self.positives, 'positive')}"

    def apply(self, curation: Curation) -> Curation:
        """Accept it. Background in the places of positives is background no longer."""
        roi_class = curation.roi_class(self.class_name)
        if not roi_class.prototypes and not self.positives:
            raise CurationError(f"class {self.class_name}: expected a prototype, got none: draw one before you accept")
        check_patches(curation, self.positives)
        own = common_shape(curation, roi_class)
        check_apart(self.positives, roi_class.negatives, own, "a negative of the class: look at it again")
        changed = replace(roi_class, positives=self.positives, is_accepted=True, n_changes=0)
        return cleared(curation, self.positives, own).with_class(self.class_name, changed)


@dataclass(frozen=True, slots=True)
class FlagNotBackground(Action):
    """Say of patches suggested as background that they are not."""

    kind: ClassVar[str] = "flag_not_background"
    patches: tuple[Patch, ...]

    def __str__(self) -> str:
        return f"flag {count(self.patches, 'patch', 'es')} as not background"

    def apply(self, curation: Curation) -> Curation:
        """Add them, and reopen the background, which loses what lies in their places."""
        check_some(self.patches)
        check_patches(curation, self.patches, curation.not_background)
        flagged = curation.not_background + self.patches
        return replace(
            cleared(curation, self.patches, common_shape(curation)),
            not_background=flagged,
            is_background_accepted=False,
        )


@dataclass(frozen=True, slots=True)
class UnflagNotBackground(Action):
    """Take flags of patches that are not background back."""

    kind: ClassVar[str] = "unflag_not_background"
    patch_ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"unflag {count(self.patch_ids, 'patch', 'es')} as not background"

    def apply(self, curation: Curation) -> Curation:
        """Remove them, and reopen the background."""
        kept = removed(curation.not_background, self.patch_ids, "patches that are not background")
        return replace(curation, not_background=kept, is_background_accepted=False).released()


@dataclass(frozen=True, slots=True)
class AcceptBackground(Action):
    """Approve patches as background."""

    kind: ClassVar[str] = "accept_background"
    patches: tuple[Patch, ...]
    """All of them: they replace those that were accepted before."""

    def __str__(self) -> str:
        return f"accept the background with {count(self.patches, 'patch', 'es')}"

    def apply(self, curation: Curation) -> Curation:
        """Accept it."""
        check_some(self.patches)
        check_patches(curation, self.patches)
        check_background(curation, self.patches)
        return replace(curation, background=self.patches, is_background_accepted=True)


@dataclass(frozen=True, slots=True)
class AddBackground(Action):
    """Say of places, looked at one by one, that they are background; the rest is still to be accepted."""

    kind: ClassVar[str] = "add_background"
    patches: tuple[Patch, ...]

    def __str__(self) -> str:
        return f"add {count(self.patches, 'patch', 'es')} to the background"

    def apply(self, curation: Curation) -> Curation:
        """Add them."""
        check_some(self.patches)
        check_patches(curation, self.patches, curation.background)
        check_background(curation, self.patches)
        return replace(curation, background=curation.background + self.patches)
