"""Text files that come to their places when they are complete, so that nobody reads half of one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing_text(path: Path) -> Iterator[TextIO]:
    """Open a text file to write, which comes to its place when it is complete and the disk has it.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    with store_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
