"""What people do on the Background page, as actions. None is to be called in an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simsearch.app.session.judging import confirm, refuse
from simsearch.curation.checks import check_drawn_background, common_shape
from simsearch.curation.marks import AcceptBackground, AddBackground, FlagNotBackground, UnflagNotBackground
from simsearch.curation.state import Patch, Places
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot


def toggle_background(live: LiveStudy, user: str, patch_id: str) -> None:
    """Say of a patch that it is not background; or, if that was said, take it back.

    Raises
    ------
    CurationError
        If it is neither background nor suggested any more.
    StoreError
        If it cannot be saved.
    """
    snapshot = live.snapshot
    if any(patch.id == patch_id for patch in snapshot.curation.not_background):
        live.act(user, UnflagNotBackground((patch_id,)))
        return
    for patch in (*snapshot.curation.background, *snapshot.suggestions.background):
        if patch.id == patch_id:
            live.act(user, FlagNotBackground((patch,)))
            return
    raise CurationError("expected a patch that is suggested as background, got one that is no more: look at it again")


def answer(live: LiveStudy, user: str, patch_id: str, *, is_one: bool) -> None:
    """Say of a place that looks like a class, just below its threshold, that it is one; or that it is background.

    Raises
    ------
    CurationError
        If it is asked about no more.
    StoreError
        If it cannot be saved.
    """
    for each in live.snapshot.suggestions.asked:
        if each.patch.id == patch_id:
            say = confirm if is_one else refuse
            say(live, user, each.class_name, [each.patch])
            return
    raise CurationError("expected a place that is asked about, got one that is no more: look at it again")


def draw_background(live: LiveStudy, user: str, image: str, y: float, x: float) -> None:
    """Say of the patch around a place that it is background.

    Parameters
    ----------
    live : LiveStudy
        The study.
    user : str
        Who drew it.
    image : str
        Name of the image.
    y, x : float
        Centre in level-0 pixels, moved inwards where the patch would not lie in the image.

    Raises
    ------
    CurationError
        If there is no prototype yet, or the place is said or found to be of a class, flagged, or background already.
    StoreError
        If it cannot be saved.
    """
    curation = live.snapshot.curation
    if curation.patch_shape is None:
        raise CurationError("expected a box of a class, which fixes the size of patches, got none: draw one on Regions")
    drawn = Patch.at(image, y, x).moved_inside(curation.patch_shape, curation.shapes[image])
    check_drawn_background(curation, drawn, _found_around(live.snapshot, drawn))
    live.act(user, AddBackground((drawn,)))


def accept_background(live: LiveStudy, user: str) -> None:
    """Accept what is suggested as background and not flagged, beside what is background already.

    Raises
    ------
    CurationError
        If nothing is, or it is just being computed.
    StoreError
        If it cannot be saved.
    """
    if live.snapshot.suggestions.state != "ready":
        raise CurationError("expected patches to accept as background, got none yet: wait until they are computed")
    live.act(user, AcceptBackground(tuple(free_background(live.snapshot))))


def more_background(live: LiveStudy, _user: str) -> None:
    """Suggest more background, and ask about more places."""
    live.more_background()


def free_background(snapshot: Snapshot) -> list[Patch]:
    """List the patches that are or may be background, and are not flagged."""
    curation, suggestions = snapshot.curation, snapshot.suggestions
    if curation.patch_shape is None:
        return []
    flagged = Places(curation.not_background, curation.patch_shape)
    return [patch for patch in suggestions.background if flagged.near(patch) is None]


def _found_around(snapshot: Snapshot, patch: Patch) -> dict[str, list[Patch]]:
    """List for each class what reaches its threshold around a patch, and is not flagged."""
    curation, suggestions = snapshot.curation, snapshot.suggestions
    found = {}
    for each in curation.classes:
        peaks, least = suggestions.by_class.get(each.name), each.similarity_threshold
        least = suggestions.suggested_thresholds.get(each.name, 1.0) if least is None else least
        if peaks is None or patch.image not in suggestions.images:
            continue
        reach = common_shape(curation, each)
        is_here = (peaks.image == suggestions.images.index(patch.image)) & (peaks.score >= least)
        is_here &= (np.abs(peaks.y - patch.y) < reach[0] / 2) & (np.abs(peaks.x - patch.x) < reach[1] / 2)
        around = [Patch.at(patch.image, peaks.y[row], peaks.x[row]) for row in np.flatnonzero(is_here)]
        flagged = Places(each.negatives, common_shape(curation, each))
        found[each.name] = [at for at in around if flagged.near(at) is None]
    return found
