"""The journal on disk: what is acknowledged stays, what is damaged is named."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simsearch.curation import journal as module
from simsearch.curation.actions import AddClass, ChooseImages, RenameClass, SetSimilarityThreshold
from simsearch.curation.journal import LOCK_NAME, Journal, create_journal, read_journal
from simsearch.errors import CurationError, StoreError

if TYPE_CHECKING:
    from simsearch.curation.state import Curation


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_journal(tmp_path / "curation.jsonl")
    return tmp_path / "curation.jsonl"


def names(state: Curation) -> list[str]:
    return [each.name for each in state.classes]


def fill(path: Path, empty: Curation, n_actions: int = 4) -> None:
    with Journal(path, empty) as journal:
        for i in range(n_actions):
            journal.append("ada", AddClass(f"c{i}", "#000000"))


def test_an_undo_keeps_what_others_did_since(path: Path, empty: Curation) -> None:
    with Journal(path, empty) as journal:
        journal.append("ada", AddClass("RBC", "#000000"))
        journal.append("bob", AddClass("WBC", "#000000"))
        assert names(journal.undo("ada")) == ["WBC"]
        assert names(journal.redo("ada")) == ["RBC", "WBC"]
        journal.append("bob", SetSimilarityThreshold("RBC", 0.5))
        with pytest.raises(
            CurationError, match=r"undo #1, add class RBC: .* got #5 of bob \(set the similarity .* to 0.5"
        ):
            journal.undo("ada")
        assert names(journal.undo("bob")) == ["RBC", "WBC"]
        assert names(journal.undo("ada")) == ["WBC"]
        journal.append("ada", AddClass("PLT", "#000000"))
        with pytest.raises(CurationError, match="something that ada has undone, got none"):
            journal.redo("ada")
    assert names(read_journal(path, empty)[0].state) == ["WBC", "PLT"]


def test_several_are_undone_together_or_none(path: Path, empty: Curation) -> None:
    with Journal(path, empty) as journal:
        for name in ("RBC", "WBC", "PLT"):
            journal.append("ada", AddClass(name, "#000000"))
        journal.append("bob", SetSimilarityThreshold("WBC", 0.5))
        size = path.stat().st_size
        with pytest.raises(CurationError, match=r"undo #2, add class WBC: .* got #4 of bob"):
            journal.undo("ada", back_to=1)  # PLT could be
        assert (names(journal.state), path.stat().st_size) == (["RBC", "WBC", "PLT"], size)
        journal.undo("bob")
        assert names(journal.undo("ada", back_to=2)) == ["RBC"]
        for seq in (3, 4, 99):
            with pytest.raises(CurationError, match=f"expected an action of ada that holds, got #{seq}"):
                journal.undo("ada", back_to=seq)
        assert names(journal.redo("ada", up_to=2)) == ["RBC", "WBC"]
        assert names(journal.redo("ada", up_to=3)) == ["RBC", "WBC", "PLT"]
        with pytest.raises(CurationError, match="something that ada has undone, got none"):
            journal.redo("ada", up_to=3)
    assert names(read_journal(path, empty)[0].state) == ["RBC", "WBC", "PLT"]


def test_many_are_undone_as_quickly_as_one(path: Path, empty: Curation, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, empty, 40)
    applied: list[str] = []
    apply = AddClass.apply
    monkeypatch.setattr(AddClass, "apply", lambda self, state: applied.append("") or apply(self, state))
    with Journal(path, empty) as journal:
        applied.clear()
        assert names(journal.undo("ada", back_to=21)) == [f"c{i}" for i in range(20)]
        assert len(applied) == 20  # the state is made once, not after each
        assert len(names(journal.redo("ada", up_to=30))) == 30
        assert len(applied) == 50
    assert len(names(read_journal(path, empty)[0].state)) == 30


def test_a_redo_is_refused_where_others_took_the_place(path: Path, empty: Curation) -> None:
    with Journal(path, empty) as journal:
        journal.append("ada", AddClass("RBC", "#000000"))
        journal.undo("ada")
        journal.append("bob", AddClass("RBC", "#ffffff"))
        with pytest.raises(CurationError, match=r"redo #1, .* got #3 of bob .*, which there is.* must be undone first"):
            journal.redo("ada")
        journal.append("bob", RenameClass("RBC", "WBC"))
        with pytest.raises(CurationError, match="redo #1"):  # still: it would come back before #3
            journal.redo("ada")
        assert len(journal.history.entries) == 4
        assert journal.history.n_actions == 2


def test_each_action_is_on_the_disk_before_it_is_acknowledged(
    path: Path, empty: Curation, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    with Journal(path, empty) as journal:
        monkeypatch.setattr(os, "fsync", record)
        for i in range(3):
            journal.append("ada", AddClass(f"c{i}", "#000000"))
            assert synced[-1] == path.stat().st_size
    assert len(synced) == 3


def test_a_new_journal_is_in_its_folder_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    create_journal(tmp_path / "curation.jsonl")
    assert synced == [str(tmp_path / "curation.jsonl"), str(tmp_path)]


def test_a_journal_is_not_created_over_another(path: Path, empty: Curation) -> None:
    create_journal(path)
    fill(path, empty)
    with pytest.raises(StoreError, match="expected no journal, got one with actions"):
        create_journal(path)


def test_a_journal_cut_at_any_byte_keeps_all_whole_lines(path: Path, empty: Curation) -> None:
    fill(path, empty)
    content = path.read_bytes()
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        n_whole = content[:size].count(b"\n")
        history, torn = read_journal(path, empty)
        assert len(history.entries) == n_whole
        assert (torn.line if torn else None) == (None if content[:size].endswith(b"\n") or not size else n_whole + 1)
        assert path.stat().st_size == size  # readers cut nothing off


def test_the_next_writer_cuts_a_torn_line_off_and_says_so(path: Path, empty: Curation) -> None:
    fill(path, empty)
    with path.open("ab") as file:
        file.write(b'{"seq":5,"time":"20')
    with Journal(path, empty) as journal:
        assert str(journal.torn).startswith("the action in line 5 was being written when simsearch was killed")
        journal.append("bob", AddClass("new", "#000000"))
    with Journal(path, empty) as journal:
        assert journal.torn is None
        assert names(journal.state) == ["c0", "c1", "c2", "c3", "new"]


Damage = Callable[[list[bytes]], list[bytes]]

DAMAGE: dict[str, tuple[Damage, str]] = {
    "half a line": (lambda lines: [lines[0], lines[1][:20] + b"\n", *lines[2:]], "line 2: expected JSON"),
    "an empty line": (lambda lines: [lines[0], b"\n", *lines[1:]], "line 2: expected JSON"),
    "zeros": (lambda lines: [b"\0" * len(lines[0]) + b"\n", *lines[1:]], "line 1: expected JSON"),
    "a line is missing": (lambda lines: [lines[0], *lines[2:]], "line 2: expected action 2, got 3: restore"),
    "a newer action": (
        lambda lines: [lines[0], lines[1].replace(b'"version":1', b'"version":9'), *lines[2:]],
        "line 2: .*of version 9: open it with a newer one, or restore the file from a copy$",
    ),
    "a damaged last line": (lambda lines: [*lines[:3], lines[3][5:]], "line 4: expected JSON"),
    "changed by hand": (
        lambda lines: [lines[0], lines[1].replace(b'"c1"', b'"c0"'), *lines[2:]],
        "an action that applies, got #2 of ada .*changed by hand",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named_and_left_alone(path: Path, empty: Curation, damage: Damage, message: str) -> None:
    fill(path, empty)
    content = b"".join(damage(path.read_bytes().splitlines(keepends=True)))
    path.write_bytes(content)
    for opened in (read_journal, Journal):
        with pytest.raises(StoreError, match=re.escape(str(path)) + ".*" + message):
            opened(path, empty)
    assert path.read_bytes() == content
    path.write_bytes(b"")
    Journal(path, empty).close()  # the lock is free


def test_a_second_writer_is_told_who_is_first(path: Path, empty: Curation) -> None:
    with Journal(path, empty) as journal:
        with pytest.raises(
            StoreError, match=f"only one to write, got process {os.getpid()} on .* at work on it: close"
        ):
            Journal(path, empty)
        journal.append("ada", AddClass("RBC", "#000000"))
        assert names(read_journal(path, empty)[0].state) == ["RBC"]  # readers are free
    with pytest.raises(StoreError, match="got a closed one"):
        journal.append("ada", AddClass("WBC", "#000000"))
    Journal(path, empty).close()


@pytest.mark.parametrize("at", ["write", "half", "fsync"])
def test_a_full_disk_leaves_the_state_as_it_was(
    path: Path, empty: Curation, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    pwrite = os.pwrite

    def fail(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half(descriptor: int, line: bytes, offset: int) -> int:
        return pwrite(descriptor, line[:10], offset) if line.startswith(b'{"seq"') else fail()

    fill(path, empty)
    before = path.read_bytes()
    with Journal(path, empty) as journal:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync" if at == "fsync" else "pwrite", half if at == "half" else fail)
            for change in (journal.undo, lambda user: journal.append(user, AddClass("RBC", "#000000"))):
                with pytest.raises(StoreError, match="No space left on device: free some space"):
                    change("ada")
        assert path.read_bytes() == before
        assert names(journal.state) == ["c0", "c1", "c2", "c3"]
        journal.append("ada", AddClass("RBC", "#000000"))
    assert names(read_journal(path, empty)[0].state) == ["c0", "c1", "c2", "c3", "RBC"]


def test_nothing_is_written_behind_half_a_line(path: Path, empty: Curation, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal(path, empty) as journal:
        monkeypatch.setattr(os, "fsync", fail)
        monkeypatch.setattr(os, "ftruncate", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            journal.append("ada", AddClass("RBC", "#000000"))
        monkeypatch.undo()
        with pytest.raises(StoreError, match="open it again"):
            journal.append("ada", AddClass("WBC", "#000000"))


@pytest.mark.parametrize("change", ["appended", "replaced", "removed"])
def test_a_journal_changed_by_another_program_is_not_written(path: Path, empty: Curation, change: str) -> None:
    with Journal(path, empty) as journal:
        journal.append("ada", AddClass("RBC", "#000000"))
        if change == "appended":
            path.write_bytes(path.read_bytes() + b"#")
        else:
            path.rename(path.with_suffix(".old"))
            if change == "replaced":
                path.write_bytes(path.with_suffix(".old").read_bytes())
        with pytest.raises(StoreError, match=r"changes by an editor|No such file"):
            journal.append("ada", AddClass("WBC", "#000000"))
        assert names(journal.state) == ["RBC"]


def test_systems_without_locks_are_refused(path: Path, empty: Curation, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(module.fcntl, "flock", unsupported)
        with pytest.raises(StoreError, match="a file system with locks, got No locks available"):
            Journal(path, empty)
    monkeypatch.setattr(module, "fcntl", None)
    with pytest.raises(StoreError, match="got Windows: work under WSL"):
        Journal(path, empty)
    assert read_journal(path, empty)[0].state == empty


def test_users_have_names_and_journals_are_there(path: Path, empty: Curation) -> None:
    with Journal(path, empty) as journal, pytest.raises(CurationError, match="say who you are"):
        journal.append(" ", AddClass("RBC", "#000000"))
    with pytest.raises(StoreError, match="No such file"):
        Journal(path.with_name("other.jsonl"), empty)
    with pytest.raises(StoreError, match="expected to read it"):
        read_journal(path.with_name("other.jsonl"), empty)


def test_a_journal_goes_with_its_images(path: Path, empty: Curation) -> None:
    with Journal(path, empty) as journal:
        journal.append("ada", ChooseImages(("a",)))
    with pytest.raises(StoreError, match="goes with another study"):
        read_journal(path, replace(empty, shapes={"b": (10, 10)}))


WRITER = """
import sys
from pathlib import Path
from simsearch.curation.actions import AddClass
from simsearch.curation.journal import Journal
from simsearch.curation.state import Curation

initial = Curation({"a": (200, 300), "P/A/01/0": (100, 100)}, ("DNA", "GFP"), ("a",), ("DNA", "GFP"))
with Journal(Path(sys.argv[1]), initial) as journal:
    while True:
        n = len(journal.history.entries)
        journal.append("ada", AddClass(f"c{n}", "#000000"))
        print(n, flush=True)
"""


@pytest.mark.parametrize("n_acknowledged", [0, 1, 2, 7, 30])
def test_a_killed_writer_loses_nothing_that_was_acknowledged(path: Path, empty: Curation, n_acknowledged: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    seen = [int(writer.stdout.readline()) for _ in range(n_acknowledged)]
    if not seen:
        while not (path.with_name(LOCK_NAME)).exists():
            assert writer.poll() is None
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    seen += [int(line) for line in writer.stdout.read().splitlines()]
    writer.stdout.close()

    with Journal(path, empty) as journal:
        n_kept = len(journal.history.entries)
        assert names(journal.state) == [f"c{n}" for n in range(n_kept)]
        assert seen == list(range(len(seen)))
        assert n_kept in {len(seen), len(seen) + 1}
        journal.append("bob", AddClass("next", "#000000"))
    assert names(read_journal(path, empty)[0].state)[-1] == "next"
