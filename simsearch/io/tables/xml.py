"""XML of other programs: no entity is expanded, nothing outside the file is fetched, and what is read is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from simsearch.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 2**28  # of one file; as elements ten times as much


def read_xml(path: Path) -> Element:
    """Read an XML file.

    Raises
    ------
    SourceError
        If it cannot be read, is larger than 256 MiB, declares a document type or entities, or is no XML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: expected an XML file, got {error}: check the path") from error
    if len(content) > _MOST_BYTES:
        raise SourceError(f"{path}: expected XML of at most {_MOST_BYTES // 2**20} MiB, got more: split it")
    return parse_xml(content, str(path))


def parse_xml(content: bytes, name: str) -> Element:
    """Parse XML, in the encoding that it declares.

    Parameters
    ----------
    content : bytes
        All of it.
    name : str
        Where it comes from, for errors.

    Raises
    ------
    SourceError
        If it declares a document type or entities, or is no XML.
    """
    try:
        return fromstring(content, forbid_dtd=True)  # type: ignore[no-any-return]  # it has no types
    except DefusedXmlException as error:
        raise SourceError(
            f"{name}: expected XML without a document type, got {type(error).__name__}: remove <!DOCTYPE"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise SourceError(f"{name}: expected XML, got {error}: save or export it again") from error
