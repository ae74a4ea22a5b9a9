"""The journal of a curation: a line of JSON for each action, on the disk before anybody sees its effect.

A line ends with its line feed. What stands behind the last one was being written when the writer was killed, and was
acknowledged to nobody: readers leave it out, the next writer cuts it off. Any other damage is an error.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from simsearch.core.checks.json_text import parse_json
from simsearch.curation.encoding import UnknownActionError, entry_from_line, entry_to_line
from simsearch.curation.history import Entry, History, Redo, Undo, replay
from simsearch.errors import CurationError, SimSearchError, StoreError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module that is not there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from simsearch.curation.actions import Action
    from simsearch.curation.state import Curation

LOCK_NAME = "curation.lock"


@dataclass(frozen=True, slots=True)
class Torn:
    """The beginning of a line whose writer was killed. Whoever wrote it was not told that it is done."""

    line: int
    """Its number in the journal, from 1."""
    content: bytes
    """What there is of it."""

    def __str__(self) -> str:
        return f"the action in line {self.line} was being written when simsearch was killed, and is left out"


def create_journal(path: Path) -> None:
    """Make an empty journal that survives a crash of the machine.

    Raises
    ------
    StoreError
        If something was written to it already, or it cannot be made.
    """
    with _store_errors(path):
        if path.exists() and path.stat().st_size:
            raise StoreError(f"{path}: expected no journal, got one with actions: name another folder")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(path.parent)


def read_journal(path: Path, initial: Curation) -> tuple[History, Torn | None]:
    """Replay a journal without writing to it, whoever else writes.

    Parameters
    ----------
    path : Path
        The journal.
    initial : Curation
        The state before its first action.

    Returns
    -------
    (History, Torn or None)
        What was done, and what was left out at its end.

    Raises
    ------
    StoreError
        If it cannot be read, or a line is damaged; the message names the line.
    """
    with _store_errors(path, "read"):
        content = path.read_bytes()
    return _replayed(path, content, initial)


class Journal:
    """A journal open for writing, by one at a time; threads may share it. Close it, or use it in ``with``.

    Parameters
    ----------
    path : Path
        The journal, which must be there.
    initial : Curation
        The state before its first action.

    Raises
    ------
    StoreError
        If another writes it, it cannot be read or written, or a line is damaged.
    """

    def __init__(self, path: Path, initial: Curation) -> None:
        self._path = path
        self._turn = Lock()
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock(path.with_name(LOCK_NAME)))
            with _store_errors(path):
                self._descriptor = os.open(path, os.O_RDWR)
            stack.callback(os.close, self._descriptor)
            self.history, self.torn = read_journal(path, initial)
            """What was done; `torn` is what was left out at the end when the journal was opened."""
            with _store_errors(path):
                self._size = os.fstat(self._descriptor).st_size
                if self.torn:
                    self._size -= len(self.torn.content)
                    os.ftruncate(self._descriptor, self._size)
                    os.fsync(self._descriptor)
            self._resources = stack.pop_all()
        self._is_open = True

    @property
    def state(self) -> Curation:
        """The state after all that was done."""
        return self.history.state

    def append(self, user: str, action: Action) -> Curation:
        """Do something.

        Returns
        -------
        Curation
            The new state; the action is on the disk.

        Raises
        ------
        CurationError
            If it does not apply.
        StoreError
            If it cannot be written: the state is what it was before.
        """
        return self._add(user, lambda history: (action,))

    def undo(self, user: str, back_to: int | None = None) -> Curation:
        """Undo the last action of a person that they have not undone, or all of theirs back to one, with it.

        Raises
        ------
        CurationError
            If there is none, or later actions need it: then nothing is undone.
        StoreError
            If it cannot be written: the state is what it was before.
        """
        return self._add(user, lambda history: history.undos(user, back_to))

    def redo(self, user: str, up_to: int | None = None) -> Curation:
        """Take the last undo of a person back, or all up to that of one action, if they did nothing else since.

        Raises
        ------
        CurationError
            If there is none, or later actions stand in the way: then nothing is redone.
        StoreError
            If it cannot be written: the state is what it was before.
        """
        return self._add(user, lambda history: history.redos(user, up_to))

    def close(self) -> None:
        """Let others write."""
        with self._turn:
            self._is_open = False
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _add(self, user: str, choose: Callable[[History], Sequence[Action | Undo | Redo]]) -> Curation:
        """Add entries, all or none. A prefix of them is a journal too: writing them may be cut off by a kill."""
        if not user.strip() or not user.isprintable():
            raise CurationError(f"expected the name of a user, got {user!r}: say who you are")
        with self._turn:
            if not self._is_open:
                raise StoreError(f"{self._path}: expected an open journal, got a closed one: open it again")
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            first = len(self.history.entries) + 1
            entries = [Entry(seq, now, user, action) for seq, action in enumerate(choose(self.history), start=first)]
            following = self.history.then(*entries)
            with _store_errors(self._path):
                self._write(b"".join(map(entry_to_line, entries)))
            self.history = following
            return following.state

    def _write(self, line: bytes) -> None:
        ours, found = os.fstat(self._descriptor), self._path.stat()
        if ours.st_size != self._size or not os.path.samestat(ours, found):
            raise StoreError(
                f"{self._path}: expected the journal as it was left, got changes by an editor or a copy: open it again"
            )
        try:
            _write_all(self._descriptor, line, self._size)
            os.fsync(self._descriptor)
        except BaseException:
            self._take_back()
            raise
        self._size += len(line)

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            # Half a line may be left, behind which nothing must ever be written.
            self._is_open = False


def _write_all(descriptor: int, line: bytes, offset: int) -> None:
    while line:
        n_bytes = os.pwrite(descriptor, line, offset)
        line, offset = line[n_bytes:], offset + n_bytes


def _replayed(path: Path, content: bytes, initial: Curation) -> tuple[History, Torn | None]:
    *lines, rest = content.split(b"\n")
    entries = [_entry(path, number, line) for number, line in enumerate(lines, start=1)]
    try:
        history = replay(initial, entries)
    except CurationError as error:
        raise StoreError(f"{path}: {error}. It was changed by hand, or goes with another study.json") from error
    return history, Torn(len(lines) + 1, rest) if rest else None


def _entry(path: Path, number: int, line: bytes) -> Entry:
    remedy = "restore the file from a copy, or cut it off before this line"
    try:
        entry = entry_from_line(line)
    except UnknownActionError as error:  # whoever cuts it off loses what a newer simsearch could read
        raise StoreError(f"{path}, line {number}: {error}, or restore the file from a copy") from error
    except CurationError as error:
        raise StoreError(f"{path}, line {number}: {error}: {remedy}") from error
    if entry.seq != number:
        raise StoreError(f"{path}, line {number}: expected action {number}, got {entry.seq}: {remedy}")
    return entry


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Be the only one who writes, until closed or killed."""
    if fcntl is None:
        raise StoreError(
            f"{path.parent}: expected a system with POSIX file locks to write a study, got Windows: work under WSL; "
            "reading works here too"
        )
    with _store_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"{path.parent}: expected to be the only one to write, got {_holder(descriptor)} at work on it: "
                "close that first"
            ) from error
        except OSError as error:
            raise StoreError(
                f"{path.parent}: expected a file system with locks, got {error.strerror}: put the "
                "study, which is small, on another one, lest two writers mix their actions"
            ) from error
        with _store_errors(path):
            os.ftruncate(descriptor, 0)
            _write_all(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        # Explicitly, as a forked process may have the descriptor too. The file stays: who removed it could remove the
        # lock of the next.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        content = parse_json(os.pread(descriptor, 1000, 0))
        return f"process {content['pid']} on {content['host']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _store_errors(path: Path, verb: str = "write") -> Iterator[None]:
    try:
        yield
    except SimSearchError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space" if full else "check the path and the permissions"
        raise StoreError(
            f"{path}: expected to {verb} it, got {error.strerror or error}: {remedy}, then try again"
        ) from error
