"""XML of others is parsed, and what would make it large or fetch something is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.errors import SourceError
from simsearch.io.tables import xml

if TYPE_CHECKING:
    from pathlib import Path

LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
BOMB = f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l9;</a>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_xml_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?><a b="µm"/>'.encode(encoding))
    assert xml.read_xml(path).get("b") == "µm"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "without a document type, got DTDForbidden"),
        (OUTSIDE, "without a document type, got DTDForbidden"),
        ("<!DOCTYPE a><a/>", "without a document type"),
        ("<a><b></a>", "expected XML, got mismatched tag"),
        ("", "expected XML, got no element found"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "expected XML, got unknown encoding"),
        ("<a>\0</a>", "expected XML, got"),
    ],
)
def test_what_is_no_plain_xml_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(content)
    with pytest.raises(SourceError, match=message) as caught:
        xml.read_xml(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_depth_costs_nothing(tmp_path: Path) -> None:
    n = 100_000
    assert xml.parse_xml(b"<a>" * n + b"</a>" * n, "deep").tag == "a"


def test_large_and_missing_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "_MOST_BYTES", 4)
    (tmp_path / "a.xml").write_text("<abc/>")
    with pytest.raises(SourceError, match="expected XML of at most"):
        xml.read_xml(tmp_path / "a.xml")
    with pytest.raises(SourceError, match="check the path"):
        xml.read_xml(tmp_path / "b.xml")
