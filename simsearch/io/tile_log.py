"""What was found in the tiles of a run: a line a tile, only ever appended, so that a run that is killed can go on."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.errors import StoreError
from simsearch.io.journal import lock_file
from simsearch.io.writing import store_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray


class TileLog:
    """The log of a run, which nobody else writes as long as it is open.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    fingerprint : str
        Of all that results depend on.
    overwrite : bool
        Whether to empty a log of another run.

    Raises
    ------
    StoreError
        If it is of another run, another process writes it, or it cannot be written.
    """

    def __init__(self, path: Path, fingerprint: str, *, overwrite: bool = False) -> None:
        self._path = path
        with store_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+", encoding="utf-8")
            lock_file(self._file.fileno(), path.parent, self._file.close)
            lines = list(self._lines())
            if lines and (lines[0].get("fingerprint") != fingerprint or overwrite):
                if not overwrite:
                    self._file.close()
                    raise StoreError(
                        f"{path.parent}: expected results of the same model, images and options, got others: add "
                        "--overwrite or name another folder"
                    )
                lines = []
            if not lines:  # nothing yet, or not even a first line that is whole
                self._file.truncate(0)
        self.done: dict[str, NDArray[np.float64]] = {
            line["tile"]: np.array(line["rows"], np.float64) for line in lines if "tile" in line
        }
        """What was found, by the name of the tile."""
        self._append({} if lines else {"fingerprint": fingerprint})

    def add(self, tile: str, rows: NDArray[np.number]) -> None:
        """Keep what was found in a tile: (N, columns) numbers."""
        self._append({"tile": tile, "rows": rows.tolist()})
        self.done[tile] = rows.astype(np.float64)

    def close(self) -> None:
        """Let others write it."""
        with suppress(OSError):  # what a full disk did not take was said when it was written
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lines(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        for line in self._file:
            try:
                parsed = json.loads(line)
            except ValueError:
                continue  # cut off when the process was killed
            if isinstance(parsed, dict):
                yield parsed

    def _append(self, line: dict[str, Any]) -> None:
        """Write a line; an empty one ends what was cut off."""
        with store_errors(str(self._path)):
            self._file.write(json.dumps(line) + "\n" if line else "\n")
            self._file.flush()
