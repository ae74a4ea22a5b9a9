"""Folders of results: one command writes at a time, and nothing reads as finished until it is."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from simsearch.core.checks.formats import check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.io.tables.records.locks import lock_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN_NAME = "run.json"
PAGE_NAME = "run.html"
"""A page of the run for people, where somebody has asked for it."""
RUN_FORMAT = 1
_WITHDRAWN_NAME = ".run.json.before"


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Write to a folder of results as the only one; made if it is not there.

    Raises
    ------
    StoreError
        If another command writes there, or nobody can.
    """
    release = lock_folder(folder)
    try:
        yield
    finally:
        release()


def withdraw_run(folder: Path) -> None:
    """Take back that results are finished, before any of them is replaced; what was said of them is kept aside."""
    (folder / PAGE_NAME).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        (folder / RUN_NAME).replace(folder / _WITHDRAWN_NAME)


def forget_withdrawn(folder: Path) -> None:
    """Forget what was said of results that others have replaced."""
    (folder / _WITHDRAWN_NAME).unlink(missing_ok=True)


def read_run(folder: Path) -> dict[str, Any]:
    """Read what is said of the results in a folder, or was before somebody began to replace them and did not end.

    Raises
    ------
    OSError, ValueError
        If nothing is, or it is no JSON object.
    StoreError
        If a newer simsearch said it.
    """
    path = folder / RUN_NAME
    found = parse_json((path if path.exists() else folder / _WITHDRAWN_NAME).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"expected an object in {RUN_NAME}, got {type(found).__name__}")
    check_format(found, RUN_FORMAT, str(path))
    return found
