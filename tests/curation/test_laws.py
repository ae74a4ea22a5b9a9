"""Laws of the journal, against a model that is too simple to be wrong."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simsearch.curation.actions import (
    Action,
    AddClass,
    Batch,
    ChooseImages,
    RecolorClass,
    RemoveClass,
    RenameClass,
    SetConfidenceThreshold,
    SetSimilarityThreshold,
    apply,
)
from simsearch.curation.journal import Journal, create_journal, read_journal
from simsearch.curation.marks import (
    AcceptBackground,
    AcceptClass,
    AddBackground,
    AddPrototypes,
    ConfirmPatches,
    FlagNegatives,
    FlagNotBackground,
    MovePrototype,
    ReleasePositives,
    RemovePrototype,
    ResizePatches,
    UnflagNegatives,
    UnflagNotBackground,
    WithdrawConfirmed,
)
from simsearch.curation.older import AddAndReopen, FlagAndReopen, MoveAndReopen, RemoveAndReopen, UnflagAndReopen
from simsearch.curation.state import Curation, Patch
from simsearch.errors import CurationError, StoreError

EMPTY = Curation({"a": (200, 200), "b": (200, 200)}, ("DNA",), ("a",), ("DNA",))

names = st.sampled_from(["RBC", "WBC"])
colors = st.sampled_from(["#000000", "#ffffff"])
users = st.sampled_from(["ada", "bob", "eve"])
# Few ids and places, so that actions get into each other's way.
ids = st.sampled_from("12345")
places = st.sampled_from([40, 45, 60, 100, 150])
patches = st.builds(Patch, ids, st.sampled_from("ab"), places, places)
several = st.lists(patches, min_size=1, max_size=2, unique_by=lambda patch: patch.id).map(tuple)
shapes = st.sampled_from([(48.0, 48.0), (48.0, 48.0), (40.0, 40.0)])
simple: st.SearchStrategy[Action] = st.one_of(
    st.builds(AddClass, names, colors),
    st.builds(RenameClass, names, names),
    st.builds(RecolorClass, names, colors),
    st.builds(RemoveClass, names),
    st.builds(SetSimilarityThreshold, names, st.sampled_from([0.25, 0.5])),
    st.builds(SetConfidenceThreshold, names, st.sampled_from([0.25, 0.5])),
    st.builds(AddPrototypes, names, several, shapes),
    st.builds(MovePrototype, names, ids, places, places),
    st.builds(RemovePrototype, names, ids),
    st.builds(AddAndReopen, names, several, shapes),
    st.builds(MoveAndReopen, names, ids, places, places),
    st.builds(RemoveAndReopen, names, ids),
    st.builds(ResizePatches, names, shapes),
    st.builds(FlagNegatives, names, several),
    st.builds(UnflagNegatives, names, ids.map(lambda each: (each,))),
    st.builds(FlagAndReopen, names, several),
    st.builds(UnflagAndReopen, names, ids.map(lambda each: (each,))),
    st.builds(ConfirmPatches, names, several),
    st.builds(WithdrawConfirmed, names, ids.map(lambda each: (each,))),
    st.builds(ReleasePositives, names, ids.map(lambda each: (each,))),
    st.builds(AcceptClass, names, several),
    st.builds(FlagNotBackground, several),
    st.builds(UnflagNotBackground, ids.map(lambda each: (each,))),
    st.builds(AcceptBackground, several),
    st.builds(AddBackground, several),
    st.builds(ChooseImages, st.sampled_from([("a",), ("b", "a")])),
)
actions = simple | st.builds(Batch, st.just("both"), st.tuples(simple, simple))

Operation = tuple[str, str, Action | None]


class Model:
    """What was done, as lists; the state is worked out anew each time."""

    def __init__(self, operations: list[Operation]) -> None:
        self.done: list[tuple[int, str, Action]] = []
        self.redoable: dict[str, list[tuple[int, str, Action]]] = {}
        for number, operation in enumerate(operations):
            self.take(number, operation)

    def take(self, number: int, operation: Operation) -> None:
        """Do one more."""
        kind, user, action = operation
        redoable = self.redoable.setdefault(user, [])
        if kind == "undo":
            last = max(each for each in self.done if each[1] == user)
            self.done.remove(last)
            redoable.append(last)
        elif kind == "redo":
            self.done.append(redoable.pop())
        elif action:
            self.done.append((number, user, action))
            redoable.clear()

    @property
    def state(self) -> Curation:
        """What those that are not undone give, in the order in which they were done first."""
        return reduce(apply, [action for _, _, action in sorted(self.done, key=lambda each: each[0])], EMPTY)


class JournalMachine(RuleBasedStateMachine):
    """Several people, crashes and full disks."""

    fsync: ClassVar[Any] = os.fsync

    def __init__(self) -> None:
        super().__init__()
        os.fsync = lambda descriptor: None  # thousands of them; that they are called is tested elsewhere
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "curation.jsonl"
        create_journal(self.path)
        self.journal = Journal(self.path, EMPTY)
        self.operations: list[Operation] = []
        self.sizes = [0]

    def teardown(self) -> None:
        """Clean up."""
        self.journal.close()
        shutil.rmtree(self.folder)
        os.fsync = self.fsync

    def do(self, operation: Operation) -> None:
        """Do the same with the journal and the model: both take it, or none."""
        kind, user, action = operation
        calls = {"undo": self.journal.undo, "redo": self.journal.redo}
        try:
            expected = Model([*self.operations, operation]).state
        except (CurationError, ValueError, IndexError):  # the latter two: nothing to undo or redo
            with pytest.raises(CurationError):
                calls[kind](user) if action is None else self.journal.append(user, action)
        else:
            got = calls[kind](user) if action is None else self.journal.append(user, action)
            assert got == expected
            self.operations.append(operation)
            self.sizes.append(self.path.stat().st_size)

    @initialize(action=st.builds(AddPrototypes, names, several, st.just((48.0, 48.0))))
    def begin(self, action: AddPrototypes) -> None:
        """Begin with something to work on."""
        self.do(("do", "ada", AddClass("RBC", "#000000")))
        self.do(("do", "bob", AddClass("WBC", "#000000")))
        self.do(("do", "ada", action))

    @rule(user=users, action=actions)
    def act(self, user: str, action: Action) -> None:
        """Do something, or be refused."""
        self.do(("do", user, action))

    @rule(user=users, data=st.data())
    def change_what_is_there(self, user: str, data: st.DataObject) -> None:
        """Move or remove a patch that somebody has marked."""
        state = self.journal.state
        changes: list[Action] = [UnflagNotBackground((patch.id,)) for patch in state.not_background]
        for each in state.classes:
            changes += [RemovePrototype(each.name, patch.id) for patch in each.prototypes]
            changes += [MovePrototype(each.name, patch.id, patch.y + 5, patch.x) for patch in each.prototypes]
            changes += [UnflagNegatives(each.name, (patch.id,)) for patch in each.negatives]
        if changes:
            self.do(("do", user, data.draw(st.sampled_from(changes))))

    @rule(user=users)
    def undo(self, user: str) -> None:
        """Undo, or be refused."""
        self.do(("undo", user, None))

    @rule(user=users)
    def redo(self, user: str) -> None:
        """Redo, or be refused."""
        self.do(("redo", user, None))

    @rule(user=users, action=actions)
    def undo_is_the_inverse(self, user: str, action: Action) -> None:
        """Undo what was done just now, and redo it."""
        before = self.journal.state
        n_before = len(self.operations)
        self.do(("do", user, action))
        if len(self.operations) > n_before:
            after = self.journal.state
            self.do(("undo", user, None))
            assert self.journal.state == before
            self.do(("redo", user, None))
            assert self.journal.state == after

    @rule()
    def reopen(self) -> None:
        """Close it and open it again."""
        self.journal.close()
        self.journal = Journal(self.path, EMPTY)
        assert self.journal.torn is None

    @precondition(lambda self: self.operations)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Lose the power while the last line is written."""
        size = data.draw(st.integers(self.sizes[-2], self.sizes[-1] - 1))
        self.journal.close()
        os.truncate(self.path, size)
        self.operations.pop()
        self.sizes.pop()
        self.journal = Journal(self.path, EMPTY)
        assert (self.journal.torn is not None) == (size > self.sizes[-1])

    @rule(user=users, action=actions, n_bytes=st.integers(0, 30))
    def full_disk(self, user: str, action: Action, n_bytes: int) -> None:
        """Have no space for all of a line."""
        pwrite = os.pwrite

        def fail(descriptor: int, line: bytes, offset: int) -> int:
            pwrite(descriptor, line[:n_bytes], offset)
            raise OSError(errno.ENOSPC, "No space left on device")

        os.pwrite = fail
        try:
            with pytest.raises((StoreError, CurationError)):
                self.journal.append(user, action)
        finally:
            os.pwrite = pwrite

    @rule()
    def second_writer(self) -> None:
        """Try to write beside the first."""
        with pytest.raises(StoreError, match="only one to write"):
            Journal(self.path, EMPTY)

    @invariant()
    def replay_is_the_state(self) -> None:
        """Whoever reads the file sees what the writer sees, and that is what the model says."""
        history, torn = read_journal(self.path, EMPTY)
        assert torn is None
        assert history.state == self.journal.state == Model(self.operations).state
        assert history == self.journal.history
        assert self.path.stat().st_size == self.sizes[-1]

    @invariant()
    def patches_have_shapes(self) -> None:
        """Each patch has a shape, and no class keeps one that it has no patch for."""
        state = self.journal.state
        assert (state.patch_shape is None) == (next(state.patches(), None) is None)
        for each in state.classes:
            assert not each.prototypes or each.patch_shape
            assert each.patch_shape is None or next(each.patches(), None)


JournalMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
test_laws_of_the_journal = JournalMachine.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_alone_undo_is_never_refused(tmp_path: Path, seed: int) -> None:
    """Back to the beginning and forth again, through the same states."""
    states = []
    create_journal(tmp_path / "curation.jsonl")
    with Journal(tmp_path / "curation.jsonl", EMPTY) as journal:
        states.append(journal.state)
        for i in range(8):
            states.append(journal.append("ada", AddClass(f"c{(i * 5 + seed) % 8}", "#000000")))
        for state in reversed(states[:-1]):
            assert journal.undo("ada") == state
        for state in states[1:]:
            assert journal.redo("ada") == state
