"""JSON from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

import simsearch
from simsearch.core.checks.json_text import parse_json
from simsearch.curation.encoding import entry_from_line
from simsearch.errors import CurationError, StoreError
from simsearch.workflows.run.reports import read_report

DEEP = "[" * 100_000


def test_json_that_is_nested_deeply_is_an_error_like_others() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)


def test_nobody_reads_json_in_another_way() -> None:
    """`json.loads` raises RecursionError, which is no ValueError, and which nobody thinks of."""
    home = Path(simsearch.__file__).parent
    others = {path.name for path in home.rglob("*.py") if "json.load" in path.read_text(encoding="utf-8")}
    assert others == {"json_text.py", "strict_json.py"}


def test_journals_and_records_that_are_nested_deeply_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="expected JSON"):
        entry_from_line(DEEP.encode())
    (tmp_path / "run.json").write_text(DEEP)
    with pytest.raises(StoreError, match=r"expected results of .*nested too deeply"):
        read_report(tmp_path)
