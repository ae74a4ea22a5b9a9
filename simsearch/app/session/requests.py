"""What people asked a server to do, on disk until it is done: what ran when a server was killed can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from simsearch.core.checks.json_text import parse_json
from simsearch.errors import StoreError
from simsearch.io.tables.records.replacing import replacing_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from simsearch.app.session.snapshot import JobKind

REQUESTS_NAME = "jobs.json"


@dataclass(frozen=True, slots=True)
class Request:
    """Something long that somebody asked for."""

    id: str
    """Of its job."""
    kind: JobKind
    title: str
    """In words."""
    user: str
    """Who asked."""
    n_entries: int
    """How long the history was: a training is of what was said by then."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """As JSON can hold them."""


class Requests:
    """The requests of a study that are not done yet.

    Parameters
    ----------
    folder : Path
        Of the study.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._turn = folder / REQUESTS_NAME, Lock()
        self._open = {request.id: request for request in self._read()}

    def __iter__(self) -> Iterator[Request]:
        return iter(tuple(self._open.values()))

    def find(self, request_id: str) -> Request | None:
        """Return a request, if there is one of that id."""
        return self._open.get(request_id)

    def add(self, request: Request) -> None:
        """Keep a request.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        with self._turn:
            self._write({**self._open, request.id: request})

    def remove(self, request_id: str) -> None:
        """Forget a request.

        Raises
        ------
        StoreError
            If that cannot be written.
        """
        with self._turn:
            if request_id in self._open:
                self._write({key: value for key, value in self._open.items() if key != request_id})

    def _read(self) -> list[Request]:
        try:
            return [Request(**each) for each in parse_json(self._path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"{self._path}: expected what was being computed, got {type(error).__name__}: {error}: delete the "
                "file, and start again what it was"
            ) from error

    def _write(self, requests: dict[str, Request]) -> None:
        with replacing_text(self._path) as file:
            json.dump([asdict(each) for each in requests.values()], file, indent=1)
        self._open = requests
