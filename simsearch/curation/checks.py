"""What actions ask of a curation before they change it. All refuse with a `CurationError` that names the way out."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from simsearch.core.boxes import Box, check_box
from simsearch.curation.state import BACKGROUND, Places, singled_out
from simsearch.errors import AnnotationError, CurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from simsearch.curation.state import Curation, Patch, RoiClass

_COLOR = re.compile(r"#[0-9a-f]{6}")


def check_class_name(name: str) -> None:
    """Refuse names that no table, legend or model file could hold.

    Raises
    ------
    CurationError
        If it is empty, has spaces at its ends or characters that cannot be printed, or means the background.
    """
    if not name or name != name.strip() or not name.isprintable() or name.casefold() == BACKGROUND:
        raise CurationError(
            f"expected the name of a class, got {name!r}: choose printable characters without spaces around them; "
            f"{BACKGROUND!r} is taken"
        )


def check_color(color: str) -> None:
    """Refuse what is no colour.

    Raises
    ------
    CurationError
        If it is not ``#`` and 6 lower-case hex digits.
    """
    if not _COLOR.fullmatch(color):
        raise CurationError(f"expected a colour such as #e69f00, got {color!r}")


def check_patches(curation: Curation, patches: Sequence[Patch], among: Sequence[Patch] = ()) -> None:
    """Check that patches are new, and that their centres lie in images of the curation.

    Parameters
    ----------
    curation : Curation
        What they are added to.
    patches : sequence of Patch
        What is added, at least one.
    among : sequence of Patch
        Those of the same role that are there.

    Raises
    ------
    CurationError
        If one is wrong; the message says where it is.
    """
    ids = {patch.id for patch in among}
    places = {(patch.image, patch.y, patch.x) for patch in among}
    for patch in patches:
        check_inside(curation, patch)
        if patch.id in ids or (patch.image, patch.y, patch.x) in places:
            raise CurationError(f"expected a new patch, got {patch} once more: it is marked so already")
        ids.add(patch.id)
        places.add((patch.image, patch.y, patch.x))


def check_inside(curation: Curation, patch: Patch, patch_shape: tuple[float, float] | None = None) -> None:
    """Check that a patch lies in its image.

    Parameters
    ----------
    curation : Curation
        Knows the images.
    patch : Patch
        Only its centre must lie inside, as that of a suggestion at the border does, unless `patch_shape` is given.
    patch_shape : (float, float), optional
        Height and width that must lie inside too.

    Raises
    ------
    CurationError
        If it does not, or the image is unknown.
    """
    if patch_shape is None and patch.image in curation.shapes:
        height, width = curation.shapes[patch.image]
        if not (-0.5 <= patch.y <= height - 0.5 and -0.5 <= patch.x <= width - 0.5):
            raise CurationError(f"expected a centre inside the {height} x {width} px of the image, got {patch}")
        return
    sides = patch_shape or (1.0, 1.0)
    try:
        check_box(Box(patch.image, "patch", patch.y, patch.x, *sides), curation.shapes)
    except AnnotationError as error:
        raise CurationError(str(error)) from error


def check_choice(chosen: Sequence[str], known: Collection[str], noun: str) -> None:
    """Check a choice out of names.

    Raises
    ------
    CurationError
        If nothing is chosen, something twice, or something that is not there.
    """
    unknown = next((name for name in chosen if name not in known), None)
    if not chosen or unknown is not None or len(set(chosen)) != len(chosen):
        some = ", ".join(list(known)[:5]) + (", ..." if len(known) > 5 else "")
        got = "none" if not chosen else "one of them twice" if unknown is None else repr(unknown)
        raise CurationError(f"expected {noun}s out of {some}, got {got}: name each {noun} once")


def count(patches: Sequence[object], noun: str, plural: str = "s") -> str:
    """Write how many there are.

    Examples
    --------
    >>> count("ab", "patch", "es"), count("a", "negative")
    ('2 patches', '1 negative')
    """
    return f"{len(patches)} {noun}{'' if len(patches) == 1 else plural}"


def check_free(curation: Curation, name: str) -> None:
    """Refuse the name of a class that there is."""
    if any(each.name == name for each in curation.classes):
        raise CurationError(f"expected the name of no class, got {name!r}, which there is: choose another")


def check_some(patches: Sequence[Patch]) -> None:
    """Refuse to do something to nothing."""
    if not patches:
        raise CurationError("expected at least one patch, got none: choose what is meant")


def fixed_shape(curation: Curation, roi_class: RoiClass | None) -> tuple[float, float] | None:
    """Return the patch shape that prototypes of a class must have; None where the next one fixes it."""
    if curation.has_one_patch:
        return curation.patch_shape
    return roi_class.patch_shape if roi_class else None


def check_sides(patch_shape: tuple[float, float]) -> None:
    """Refuse what is no height and width."""
    if not all(math.isfinite(side) and side > 0 for side in patch_shape):
        raise CurationError(f"expected a height and width above 0, got {patch_shape[0]:g} x {patch_shape[1]:g} px")


def check_shape(curation: Curation, roi_class: RoiClass, patch_shape: tuple[float, float]) -> None:
    """Refuse another patch shape than that which the first prototype fixed (paper section 2.3.1)."""
    check_sides(patch_shape)
    fixed = fixed_shape(curation, roi_class)
    if fixed not in (None, patch_shape):
        of, all_of = ("all classes", "") if curation.has_one_patch else (roi_class.name, f" of {roi_class.name}")
        raise CurationError(
            f"expected a patch of {fixed[0]:g} x {fixed[1]:g} px, as the first prototype fixed for {of}, got "
            f"{patch_shape[0]:g} x {patch_shape[1]:g} px: keep to it, or remove all patches{all_of} and start anew"
        )


def common_shape(curation: Curation, *classes: RoiClass) -> tuple[float, float]:
    """Return the patch that tells how near places are to be one: of several classes the smallest.

    Without a class it is that of the background.

    Raises
    ------
    CurationError
        If there is no patch yet.
    """
    shapes = [shape for each in classes if (shape := curation.shape_of(each))] if classes else [curation.patch_shape]
    if not shapes or shapes[0] is None:
        raise CurationError("expected a prototype, which fixes the shape of patches, got none: draw one first")
    return min((shape for shape in shapes if shape), key=min)


def check_apart(patches: Sequence[Patch], others: Iterable[Patch], shape: tuple[float, float], what: str) -> None:
    """Refuse patches in the places of others, of which the opposite was said."""
    places = Places(others, shape)
    for patch in patches:
        if places.near(patch):
            raise CurationError(f"{patch}: expected a place of which the opposite was not said, got {what}")


def check_background(curation: Curation, patches: Sequence[Patch]) -> None:
    """Refuse background in the places of objects, and where somebody said that there is none."""
    for each in curation.classes:
        objects = (*singled_out(each), *each.positives)
        check_apart(patches, objects, common_shape(curation, each), "an object of a class: leave it out")
    flagged = curation.not_background
    check_apart(patches, flagged, common_shape(curation), "flagged as not background: leave it out")


def check_drawn_background(curation: Curation, patch: Patch, found: Mapping[str, Sequence[Patch]]) -> None:
    """Refuse background that a person draws where there is an object, or background already.

    Parameters
    ----------
    curation : Curation
        What was said.
    patch : Patch
        What is drawn. It lies on an object in whose box its centre is, as what is suggested as background does not.
    found : mapping of str to sequence of Patch
        What is suggested for classes, and nobody flagged.

    Raises
    ------
    CurationError
        If it lies on something; the message says on what, and the way out.
    """

    def is_on(other: Patch, height: float, width: float) -> bool:
        is_near = abs(other.y - patch.y) < height / 2 and abs(other.x - patch.x) < width / 2
        return other.image == patch.image and is_near

    for each in curation.classes:
        for what, patches, way_out in (
            ("a box", each.prototypes, "remove that box"),
            ("a confirmed region", each.confirmed, "flag it"),
            ("an accepted region", each.positives, "flag it"),
            ("a region above the threshold", found.get(each.name, ()), "flag it"),
        ):
            if any(is_on(other, *common_shape(curation, each)) for other in patches):
                way_out = f"draw beside it, or {way_out} on the page Regions if it is none"
                raise CurationError(f"{patch}: expected a place of no class, got {what} of {each.name}: {way_out}")
    shape = common_shape(curation)
    check_apart([patch], curation.background, shape, "background: it is that already")
    check_apart([patch], curation.not_background, shape, "flagged as not background: take that back first")


def without(patches: tuple[Patch, ...], others: Iterable[Patch], shape: tuple[float, float]) -> tuple[Patch, ...]:
    """Return those patches that are not in the places of others."""
    places = Places(others, shape)
    return tuple(patch for patch in patches if not places.near(patch))


def find_patch(patches: Sequence[Patch], patch_id: str, noun: str) -> Patch:
    """Find a patch by its id, or refuse."""
    for patch in patches:
        if patch.id == patch_id:
            return patch
    raise CurationError(f"expected one of the {len(patches)} {noun}, got {patch_id!r}: it was removed, look again")


def removed(patches: tuple[Patch, ...], patch_ids: Sequence[str], noun: str) -> tuple[Patch, ...]:
    """Return the patches without some, all of which must be there."""
    if not patch_ids or len(set(patch_ids)) != len(patch_ids):
        raise CurationError(f"expected {noun} to remove, each once, got {list(patch_ids)}: choose what is meant")
    for patch_id in patch_ids:
        find_patch(patches, patch_id, noun)
    return tuple(patch for patch in patches if patch.id not in patch_ids)
