"""What was found in the tiles of a run: a line a tile, only ever appended, so that a run that is killed can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simsearch.core.checks.formats import FORMAT_KEY, check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.errors import OtherRunError, StoreError
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import in_store
from simsearch.io.tables.records.appended import open_appended
from simsearch.io.tables.records.locks import lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from simsearch.io.tables.records.appended import Appended

_FORMAT = 1


class Found(Mapping[str, "NDArray[np.float64]"]):
    """What tiles gave, by their names, read from the log each time: a slide may have a million objects."""

    def __init__(self, log: Appended) -> None:
        self._log = log
        self._places: dict[str, int] = {}

    def __getitem__(self, tile: str) -> NDArray[np.float64]:
        self._log.file.seek(self._places[tile])
        line = self._log.file.readline()
        try:
            return np.array(parse_json(line)["rows"], np.float64)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._log.path}: expected numbers that were found in {tile}, got {line[:80]!r}: it is damaged, add "
                "--overwrite to begin anew"
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, tile: object) -> bool:
        return tile in self._places

    def keep_place(self, tile: str, place: int) -> None:
        """Remember where in the log the line of a tile begins."""
        self._places[tile] = place


class TileLog:
    """The log of a run, which nobody else writes as long as it is open.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    fingerprint : str
        Of all that results depend on but the pixels, which `begin` takes.
    overwrite : bool
        Whether to empty a log of another run.

    Raises
    ------
    StoreError
        If it is of another run or of a newer simsearch, another process writes it, or it cannot be written.
    """

    def __init__(self, path: Path, fingerprint: str, *, overwrite: bool = False) -> None:
        self._path = path
        with store_errors(str(path)):
            self._log = open_appended(path)
            if not in_store(path):  # there, who locks the folder writes its log
                lock_file(self._log.file.fileno(), path.parent, self._log.close)
            lines = self._lines()
            _, first = next(lines, (0, {}))
            is_same = first.get("fingerprint") == fingerprint
            if first and not overwrite:
                self._check_begun(first, is_same=is_same)
            self.is_continued = is_same and not overwrite
            """Whether there was a log of the same run."""
            self.done = Found(self._log)
            """What was found, by the name of the tile; can be read as long as the log is open."""
            self._images: dict[str, str] = {}
            if self.is_continued:
                for place, line in lines:
                    if "tile" in line:
                        self.done.keep_place(line["tile"], place)
                    elif "image" in line:
                        self._images[line["image"]] = line["fingerprint"]
            else:  # of another run, or not even a first line that is whole
                self._log.clear()
        self._append({} if self.is_continued else {FORMAT_KEY: _FORMAT, "fingerprint": fingerprint})

    def begin(self, image: str, fingerprint: str) -> None:
        """Begin an image, or go on with it; one that could not be read before may come later.

        Raises
        ------
        StoreError
            If it is not what it was when it was begun.
        """
        known = self._images.get(image)
        if known is None:
            self._append({"image": image, "fingerprint": fingerprint})
            self._images[image] = fingerprint
        elif known != fingerprint:
            raise StoreError(
                f"{self._path.parent}: expected {image} as it was when this run began, got another: add --overwrite or "
                "name another folder"
            )

    def add(self, tile: str, rows: NDArray[np.number]) -> None:
        """Keep what was found in a tile: (N, columns) numbers."""
        place = self._append({"tile": tile, "rows": rows.tolist()})
        self.done.keep_place(tile, place)

    def close(self) -> None:
        """Let others write it."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_begun(self, first: dict[str, Any], *, is_same: bool) -> None:
        """Refuse a log that this run cannot go on with."""
        try:
            check_format(first, _FORMAT, str(self._path))
            if not is_same:
                raise OtherRunError(
                    f"{self._path.parent}: expected results of the same run (model or boxes, images, options, "
                    "arithmetic), got others: add --overwrite or name another folder"
                )
        except StoreError:
            self._log.close()
            raise

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each whole line and where it begins."""
        for place, line in self._log.lines():
            try:
                parsed = parse_json(line)
            except ValueError:
                continue  # cut off when the process was killed
            if isinstance(parsed, dict):
                yield place, parsed

    def _append(self, line: dict[str, Any]) -> int:
        """Write a line, and return where it begins; an empty one ends what was cut off."""
        return self._log.append(json.dumps(line).encode() if line else b"")
