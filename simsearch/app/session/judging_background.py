"""What people do on the Background page, as actions. None is to be called in an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.session.judging import confirm, refuse
from simsearch.curation.marks import AcceptBackground, FlagNotBackground, UnflagNotBackground
from simsearch.curation.state import Places
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from simsearch.app.session.live import LiveStudy
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.curation.state import Patch


def toggle_background(live: LiveStudy, user: str, patch_id: str) -> None:
    """Say of a patch that it is not background; or, if that was said, take it back.

    Raises
    ------
    CurationError
        If it is suggested no more.
    StoreError
        If it cannot be saved.
    """
    snapshot = live.snapshot
    if any(patch.id == patch_id for patch in snapshot.curation.not_background):
        live.act(user, UnflagNotBackground((patch_id,)))
        return
    for patch in snapshot.suggestions.background:
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
