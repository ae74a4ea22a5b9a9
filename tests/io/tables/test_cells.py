"""Text stays text in a spreadsheet, and comes back as it was."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.boxes import Box
from simsearch.io.tables.cells import text_of, text_table, written, written_table
from simsearch.io.tables.curation import Annotation, read_annotations, write_annotations

if TYPE_CHECKING:
    from pathlib import Path

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "'=1", "''-", "-"]
TEXTS = st.text(st.sampled_from("=+-@'a1 \t"), max_size=6)


@given(TEXTS)
def test_any_text_comes_back(text: str) -> None:
    assert text_of(written(text)) == text
    assert written(text)[:1] not in set("=+-@\t\r")


@given(st.lists(TEXTS, max_size=5))
def test_tables_are_treated_as_texts_are(texts: list[str]) -> None:
    table = pa.table({"name": pa.array(texts, pa.string()), "number": pa.array([-1.5] * len(texts))})
    there = written_table(table)
    assert there["name"].to_pylist() == [written(text) for text in texts]
    assert there["number"].to_pylist() == [-1.5] * len(texts)
    assert text_table(there).equals(table)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_class_named_like_a_formula_is_no_formula_in_the_table_and_comes_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "curation.csv"
    write_annotations([Annotation(Box("a", name, 10, 10, 5, 5), "prototype")], path)
    with path.open(newline="") as file:
        assert not any(cell.startswith(tuple("=+-@\t\r")) for row in csv.reader(file) for cell in row)
    (((_, found),), _) = read_annotations(path)
    assert isinstance(found, Annotation)
    assert found.box.class_name == name
