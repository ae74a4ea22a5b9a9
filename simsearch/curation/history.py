"""What was done, by whom, and what of it holds: undo and redo for several people at once.

Each person undoes their own actions, the last first, whatever others did since. The state is what all actions give
that are not undone, in the order in which they were done: undoing an action leaves the state as if it had never been
done, and redoing puts it back at its old place, not at the end. Where a later action needs the undone one, or stands in
the way of the redone one, the undo or redo is refused, and the message names it. Alone, one is never refused.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from simsearch.curation.actions import Action, apply
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simsearch.curation.state import Curation


@dataclass(frozen=True, slots=True)
class Undo:
    """Do as if an action had not been done."""

    kind: ClassVar[str] = "undo"
    version: ClassVar[int] = 1
    seq: int
    """Which."""

    def __str__(self) -> str:
        return f"undo #{self.seq}"


@dataclass(frozen=True, slots=True)
class Redo:
    """Take an undo back."""

    kind: ClassVar[str] = "redo"
    version: ClassVar[int] = 1
    seq: int
    """Which action was undone."""

    def __str__(self) -> str:
        return f"redo #{self.seq}"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that somebody did."""

    seq: int
    """Its place in the history, from 1."""
    time: str
    """When, in ISO 8601 with UTC."""
    user: str
    """Who."""
    action: Action | Undo | Redo
    """What."""

    def __str__(self) -> str:
        return f"#{self.seq} of {self.user} ({self.action})"


@dataclass(slots=True)
class _Stacks:
    """What one person can undo and redo; the last comes first."""

    done: list[int] = field(default_factory=list)
    undone: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    """Undone for good: something else was done since."""

    def take(self, entry: Entry) -> None:
        if isinstance(entry.action, Undo):
            self.undone.append(_popped(self.done, entry))
        elif isinstance(entry.action, Redo):
            self.done.append(_popped(self.undone, entry))
        else:
            self.lost += self.undone
            self.undone.clear()
            self.done.append(entry.seq)


@dataclass(frozen=True, slots=True)
class History:
    """A state and how it came about. Like the state, a value: what is done gives another."""

    initial: Curation
    """Before anything was done."""
    state: Curation
    """After all that was done and is not undone."""
    entries: tuple[Entry, ...] = ()
    """All that was done, undos and redos included."""
    undone: frozenset[int] = frozenset()
    """What of it does not hold."""

    @property
    def n_actions(self) -> int:
        """Number of actions that hold."""
        return len(_holding(self.entries, self.undone))

    def own(self, user: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """List what a person can undo, and what they can redo, as `seq` of its entries: what comes first, first."""
        stacks = self._stacks(user)
        return tuple(reversed(stacks.done)), tuple(reversed(stacks.undone))

    def undos(self, user: str, back_to: int | None = None) -> tuple[Undo, ...]:
        """Tell what a person would undo: their last action, or all of theirs back to one, with it.

        Parameters
        ----------
        user : str
            Who.
        back_to : int, optional
            `seq` of the earliest action to undo.

        Raises
        ------
        CurationError
            If there is nothing, or that action is not theirs or does not hold.
        """
        done, _ = self.own(user)
        if not done:
            raise CurationError(f"expected an action of {user} to undo, got none: each undoes their own")
        return tuple(map(Undo, _up_to(done, back_to, f"an action of {user} that holds")))

    def redos(self, user: str, up_to: int | None = None) -> tuple[Redo, ...]:
        """Tell what a person would redo: what they undid last, or all that they undid up to one, with it.

        Parameters
        ----------
        user : str
            Who.
        up_to : int, optional
            `seq` of the latest action to redo.

        Raises
        ------
        CurationError
            If there is nothing, or they have not undone that action.
        """
        _, undone = self.own(user)
        if not undone:
            raise CurationError(
                f"expected something that {user} has undone, got none: nothing is, or something else was done since"
            )
        return tuple(map(Redo, _up_to(undone, up_to, f"something that {user} has undone")))

    def then(self, *entries: Entry) -> History:
        """Add what somebody does: an action, or undos or redos of theirs, of which each is a step that applies.

        Raises
        ------
        CurationError
            If it does not apply; an undo or redo also if what was done by others since would not apply any more.
        """
        entry = entries[-1]
        if not isinstance(entry.action, Undo | Redo):
            return replace(self, state=apply(self.state, entry.action), entries=(*self.entries, entry))
        changed = {each.action.seq for each in entries if isinstance(each.action, Undo | Redo)}
        if len(entries) > 1 and any(each.user != entry.user for each in self.entries[min(changed) :]):
            return reduce(History.then, entries, self)  # where nobody else did anything since, no step can be refused
        stacks = self._stacks(entry.user)
        for each in entries:
            stacks.take(each)
        undone = self.undone | changed if isinstance(entry.action, Undo) else self.undone - changed
        try:
            state = _state(self.initial, _holding(self.entries, undone))
        except _DoesNotApplyError as error:
            raise CurationError(
                f"{entry.action}, {self.entries[entry.action.seq - 1].action}: expected that what was done since still "
                f"applies, got {error.entry}, which does not: {error.__cause__}. That must be undone first"
            ) from error
        return replace(self, state=state, entries=(*self.entries, *entries), undone=undone)

    def _stacks(self, user: str) -> _Stacks:
        stacks = _Stacks()
        for entry in self.entries:
            if entry.user == user:
                stacks.take(entry)
        return stacks


def replay(initial: Curation, entries: Iterable[Entry]) -> History:
    """Do again what was done, each action that holds once.

    Raises
    ------
    CurationError
        If an entry does not apply: it names the entry.
    """
    kept = tuple(entries)
    stacks: defaultdict[str, _Stacks] = defaultdict(_Stacks)
    for entry in kept:
        stacks[entry.user].take(entry)
    undone = frozenset(seq for each in stacks.values() for seq in (*each.undone, *each.lost))
    try:
        state = _state(initial, _holding(kept, undone))
    except _DoesNotApplyError as error:
        raise CurationError(f"expected an action that applies, got {error.entry}: {error.__cause__}") from error
    return History(initial, state, kept, undone)


class _DoesNotApplyError(Exception):
    def __init__(self, entry: Entry) -> None:
        super().__init__(entry)
        self.entry = entry


def _holding(entries: Sequence[Entry], undone: frozenset[int]) -> list[tuple[Entry, Action]]:
    return [(entry, entry.action) for entry in entries if isinstance(entry.action, Action) and entry.seq not in undone]


def _state(initial: Curation, holding: Iterable[tuple[Entry, Action]]) -> Curation:
    state = initial
    for entry, action in holding:
        try:
            state = apply(state, action)
        except CurationError as error:
            raise _DoesNotApplyError(entry) from error
    return state


def _up_to(seqs: tuple[int, ...], last: int | None, wanted: str) -> tuple[int, ...]:
    if last is None:
        return seqs[:1]
    if last not in seqs:
        raise CurationError(f"expected {wanted}, got #{last}: look at the history once more")
    return seqs[: seqs.index(last) + 1]


def _popped(stack: list[int], entry: Entry) -> int:
    wanted = entry.action.seq if isinstance(entry.action, Undo | Redo) else entry.seq
    if not stack or stack[-1] != wanted:
        raise CurationError(f"expected the next action of {entry.user} to undo or redo, got {entry}")
    return stack.pop()
