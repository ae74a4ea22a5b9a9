"""Which parts of a conversion are done: a file beside its pixels, one line a task, only ever appended to."""

from __future__ import annotations

import errno
import json
import os
import time
from typing import TYPE_CHECKING

from simsearch.core.checks.json_text import parse_json
from simsearch.errors import StoreError
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import in_store, remove
from simsearch.io.tables.records.appended import open_appended
from simsearch.io.tables.records.locks import lock_file
from simsearch.io.tables.records.store_lock import acquire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JOURNAL_NAME = ".simsearch-journal.jsonl"
_TRIES, _PAUSE_S = 20, 0.1


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
        self._release: Callable[[], None] = lambda: None
        if stored := in_store(folder):
            with store_errors(str(folder)):  # a lock beside it, since the folder is emptied
                self._release = acquire(stored.with_name(f".{stored.name}.lock"), str(folder))
        self._log = open_appended(folder / JOURNAL_NAME)
        if not stored:
            lock_file(self._log.file.fileno(), folder, self._log.close)
            self._check_is_there()
        try:
            begun, self.done = self._read()
            self.is_continued = begun == fingerprint
            """Whether an earlier conversion of the same began it."""
            if self.is_continued:
                self._append({})  # ends a line that was cut off when the process was killed
            else:
                self._start_over(folder, fingerprint)
        except BaseException:
            self.close()
            raise

    def add(self, *tasks: str) -> None:
        """Note that tasks are done, with one writing: who is killed has noted all of them, or none."""
        self._append(*({"task": task} for task in tasks))

    def forget(self) -> None:
        """Remove it: what it is about is complete."""
        with store_errors(str(self._log.path)):
            self._log.clear()

    def close(self) -> None:
        """Let others write the folder."""
        try:
            self._log.close()
        finally:
            self._release()

    def _start_over(self, folder: Path, fingerprint: str) -> None:
        self._append({"fingerprint": ""})  # a process that is killed now has not done what an earlier one did
        self._log.flush()
        with store_errors(str(folder)):
            _empty(folder)
        self.done = frozenset()
        self._append({"fingerprint": fingerprint})

    def _read(self) -> tuple[str, frozenset[str]]:
        begun, tasks = "", set[str]()
        for _, line in self._log.lines():
            said = _parsed(line)
            if "fingerprint" in said:
                begun, tasks = said["fingerprint"], set()
            elif "task" in said:
                tasks.add(said["task"])
        return begun, frozenset(tasks)

    def _check_is_there(self) -> None:
        """Refuse to go on in a folder that another has finished, and moved, since its journal was read."""
        if os.fstat(self._log.file.fileno()).st_nlink == 0 or not self._log.path.exists():
            self._log.close()
            raise StoreError(
                f"{self._log.path.parent}: expected to be the only one to write, got another command that has just "
                "finished: see whether what you want is there"
            )

    def _append(self, *lines: dict[str, str]) -> None:
        self._log.append(b"\n".join(json.dumps(line).encode() if line else b"" for line in lines))


def _empty(folder: Path) -> None:
    """Remove all but the journal; what a conversion that has just failed was writing may come in between."""
    for n_left in reversed(range(_TRIES)):
        try:
            for path in folder.iterdir():
                if path.name != JOURNAL_NAME:
                    remove(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not n_left:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _parsed(line: bytes) -> dict[str, str]:
    try:
        parsed = parse_json(line)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
