"""Which training a folder is of: one goes on there, and no other takes its files for its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from simsearch.core.checks.json_text import parse_json
from simsearch.errors import StoreError
from simsearch.io.places import write_whole

if TYPE_CHECKING:
    from pathlib import Path

_IDENTITY_NAME = "training.json"


def claim(folder: Path, out: Path, name: str, what: str) -> bool:
    """Make the folder of a training, or find that it is of the same; tell whether that is complete.

    Parameters
    ----------
    folder : Path
        For its progress, which nobody else writes.
    out : Path
        The file that is trained, which comes last.
    name : str
        Of all that the training depends on.
    what : str
        What it learns from, for messages.

    Raises
    ------
    StoreError
        If either is of another training.
    """
    kept = folder / _IDENTITY_NAME
    if not kept.exists():
        if out.exists():
            raise StoreError(f"{out}: expected a new name, got a file of another training: name another, or remove it")
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(kept, json.dumps({"training": name}).encode())
    elif _identity(kept) != name:
        raise StoreError(
            f"{folder}: expected a training of the same {what} with the same options, got another one: name another "
            f"--out, or remove the folder and {out.name}"
        )
    return out.exists()


def _identity(kept: Path) -> object:
    try:
        return parse_json(kept.read_text())["training"]
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{kept}: expected what is trained here, got {type(error).__name__}: {error}: remove the folder and train "
            "again"
        ) from error
