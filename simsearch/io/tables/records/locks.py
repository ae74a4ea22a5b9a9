"""One writer in a folder: a file is locked; in an object store, an object says who writes, and that they live."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

from simsearch.errors import StoreError
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import in_store
from simsearch.io.tables.records.store_lock import acquire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOCK_NAME = ".lock"


def lock_folder(folder: Path) -> Callable[[], None]:
    """Lock a folder of results; made if it is not there.

    Returns
    -------
    callable
        Lets others write it; raises StoreError if they have since begun, because this process stood still for long.

    Raises
    ------
    StoreError
        If another command writes there, or nobody can.
    """
    with store_errors(str(folder)):
        if stored := in_store(folder):
            return acquire(stored / _LOCK_NAME, str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK_NAME).open("ab")
        lock_file(lock.fileno(), folder, lock.close)
        return lock.close


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
