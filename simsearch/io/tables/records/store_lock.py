"""One writer in a folder of an object store, which locks no files: an object says who writes, and that they live.

It is made on the condition that there is none (S3, Google), so that of two who come at once one is refused. Its owner
counts on in it; one who does not, or has died on the same machine, has lost it to whoever comes next.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from simsearch.core.checks.json_text import parse_json
from simsearch.errors import StoreError
from simsearch.io.ome_zarr.writing import store_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.io.places import ObjectPath

BEAT_S = 10.0
"""How often an owner counts on."""
_LOST_BEATS = 3


def acquire(place: ObjectPath, folder: str) -> Callable[[], None]:
    """Take a lock.

    Parameters
    ----------
    place : ObjectPath
        The lock.
    folder : str
        What it is for, as it is named in messages.

    Returns
    -------
    callable
        Lets it go; raises StoreError if somebody has taken it, because this process stood still for too long.

    Raises
    ------
    StoreError
        If somebody else holds it.
    OSError
        If the store cannot be written.
    """
    own = {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "id": uuid4().hex}
    own["since"] = datetime.now(UTC).isoformat(timespec="seconds")
    _write_first(place, own, folder)
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(place, own, stop), name="simsearch-lock", daemon=True)
    beating.start()

    def release() -> None:
        stop.set()
        beating.join()
        with store_errors(folder):
            owner = _owner(place)
            if owner.get("id") != own["id"]:
                raise StoreError(
                    f"{folder}: expected to be the only one to write, got {_named(owner)} there too: run the same "
                    "command again"
                )
            place.unlink(missing_ok=True)

    return release


def _write_first(place: ObjectPath, own: dict[str, Any], folder: str) -> None:
    try:
        place.write_bytes(_written(own, 0), is_new=True)
    except FileExistsError:
        other = _owner(place)
        if _is_alive(place, other):
            raise StoreError(
                f"{folder}: expected to be the only one to write, got another command at work, {_named(other)}: "
                f"wait for it, or stop it"
            ) from None
        place.write_bytes(_written(own, 0))
        # Of several who come to inherit, the last to write has it; the others see that with their first beat.


def _is_alive(place: ObjectPath, other: dict[str, Any]) -> bool:
    """Tell whether an owner lives: on this machine by its process, elsewhere by whether it counts on."""
    if not other:
        return False  # let go of, or no lock of ours
    if other.get("machine") == _machine():
        return _is_running(int(other["pid"]))
    end = time.monotonic() + _LOST_BEATS * BEAT_S
    while time.monotonic() < end:
        time.sleep(BEAT_S / 4)
        now = _owner(place)
        if now != other:
            return bool(now)
    return False


def _beat(place: ObjectPath, own: dict[str, Any], stop: threading.Event) -> None:
    n_beats = 0
    while not stop.wait(BEAT_S):
        with suppress(OSError):  # the store may be back at the next
            if _owner(place).get("id") != own["id"]:
                return
            n_beats += 1
            place.write_bytes(_written(own, n_beats))


def _written(own: dict[str, Any], n_beats: int) -> bytes:
    return json.dumps({**own, "n_beats": n_beats}).encode()


def _owner(place: ObjectPath) -> dict[str, Any]:
    """Read who holds a lock; nobody, if it is not there or is none."""
    try:
        found = parse_json(place.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) and "id" in found else {}


def _named(owner: dict[str, Any]) -> str:
    if not owner:
        return "nobody"
    return f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _machine() -> str:
    """Name where process ids are unique: containers of one host have their own."""
    name = socket.gethostname()
    with suppress(OSError):  # not on Linux
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        name = f"{name} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return name
