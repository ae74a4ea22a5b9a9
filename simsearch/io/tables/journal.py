"""Which parts of a conversion are done: a file beside its pixels, one line a task, only ever appended to."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from simsearch.core.json_text import parse_json
from simsearch.errors import StoreError
from simsearch.io.ome_zarr.writing import store_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JOURNAL_NAME = ".simsearch-journal.jsonl"


class Journal:
    """The journal of a folder, which is emptied if it was begun for something else.

    Parameters
    ----------
    folder : Path
        Where the pixels go; made if it is not there.
    fingerprint : str
        What is converted, and how. A folder with another one starts over.

    Raises
    ------
    StoreError
        If the folder cannot be written, or another process is writing it.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path = folder / JOURNAL_NAME
        with store_errors(str(folder)):
            begun = _read(self._path)
            if begun is None or begun[0] != fingerprint:
                _check_free(self._path)
                shutil.rmtree(folder, ignore_errors=True)
                begun = fingerprint, frozenset()
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
        lock_file(self._file.fileno(), folder, self._file.close)
        self._check_is_there()
        self.done = begun[1]
        self.is_continued = self._file.tell() > 0
        """Whether an earlier conversion of the same began it."""
        # An empty line ends one that was cut off when the process was killed.
        self._append({} if self.is_continued else {"fingerprint": fingerprint})

    def add(self, task: str) -> None:
        """Note that a task is done."""
        self._append({"task": task})

    def close(self) -> None:
        """Let others write the folder."""
        with suppress(OSError):  # what a full disk did not take was said when it was written
            self._file.close()

    def _check_is_there(self) -> None:
        """Refuse to go on in a folder that another has finished, and moved, since its journal was read."""
        if os.fstat(self._file.fileno()).st_nlink == 0 or not self._path.exists():
            self._file.close()
            raise StoreError(
                f"{self._path.parent}: expected to be the only one to write, got another command that has just "
                "finished: see whether what you want is there"
            )

    def _append(self, line: dict[str, str]) -> None:
        with store_errors(str(self._path)):
            self._file.write(json.dumps(line) + "\n" if line else "\n")
            self._file.flush()


def _read(path: Path) -> tuple[str, frozenset[str]] | None:
    try:
        lines = [_parsed(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return None
    tasks = frozenset(line["task"] for line in lines if "task" in line)
    return (lines[0].get("fingerprint", ""), tasks) if lines else None


def _parsed(line: str) -> dict[str, str]:
    try:
        parsed = parse_json(line)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _check_free(path: Path) -> None:
    if path.exists():
        with path.open("a") as file:
            lock_file(file.fileno(), path.parent, file.close)


def lock_file(descriptor: int, folder: Path, close: Callable[[], object]) -> None:
    """Lock an open file, where the file system can.

    Raises
    ------
    StoreError
        If another process has locked it; the file is closed before.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        close()
        raise StoreError(
            f"{folder}: expected to be the only one to write, got another command at work: wait for it, or stop it"
        ) from error
    except OSError:
        return  # a file system without locks
