"""Records out of the large XML that microscopes write: one after the other, never all in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from simsearch.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_MOST_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Record:
    """An element with what lies directly in it; names are without namespaces."""

    attributes: dict[str, str]
    text: str
    values: dict[str, str]
    """Text of the elements in it, by their names."""
    units: dict[str, str]
    """What their attribute ``Unit`` says."""


def read_records(path: Path, tags: Collection[str]) -> Iterator[Record]:
    """Read all elements of some names.

    Raises
    ------
    SourceError
        If it cannot be read, is no XML, is larger than 1 GiB, or declares a document type or entities, as nothing that
        is meant well does.
    """
    depth: list[Any] = []
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{path}: expected XML of at most {_MOST_BYTES >> 30} GiB, got a larger file")
        for event, element in iterparse(path, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                depth.append(element)
                continue
            depth.pop()
            if _local(element.tag) in tags:
                yield _record(element)
                element.clear()
                if depth:  # what was read is let go of
                    depth[-1].clear()
    except (OSError, DefusedXmlException, ParseError, ValueError, LookupError) as error:
        if isinstance(error, SourceError):
            raise
        said = type(error).__name__ if isinstance(error, DefusedXmlException) else str(error)
        raise SourceError(f"{path}: expected XML, got {said}: export it again") from error


def _record(element: Any) -> Record:  # noqa: ANN401  defusedxml has no types
    return Record(
        attributes={_local(key): value for key, value in element.attrib.items()},
        text=(element.text or "").strip(),
        values={_local(each.tag): (each.text or "").strip() for each in element},
        units={_local(each.tag): each.attrib["Unit"] for each in element if "Unit" in each.attrib},
    )


def _local(name: str) -> str:
    return name.rpartition("}")[2]
