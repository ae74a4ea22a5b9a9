"""Tables as spreadsheets and scripts of any country write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.core.boxes import Box
from simsearch.errors import AnnotationError, SourceError
from simsearch.io.tables.boxes import read_boxes
from simsearch.io.tables.rows import read_table
from simsearch.io.tables.truth import read_truth

if TYPE_CHECKING:
    from pathlib import Path


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "t.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_delimiters_are_found(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    text = end.join(["well,drug,dose", "A01,Größe,2 µM", "A02,x,"]).replace(",", delimiter)
    found = read_table(table(tmp_path, text, encoding))

    assert found.columns == ("well", "drug", "dose")
    assert [row.values for row in found.rows] == [
        {"well": "A01", "drug": "Größe", "dose": "2 µM"},
        {"well": "A02", "drug": "x", "dose": ""},
    ]
    assert [row.number for row in found.rows] == [2, 3]
    assert bool(found.notes) == (encoding == "cp1252")


def test_what_excel_and_people_add_is_left_out(tmp_path: Path) -> None:
    text = "# made by Ana\nPlate 5, of July;;;;\n\nwell;drug;dose;;\nA01;W;5;;;;\n#A02;D;0;;\n;;;;\nA03;;;;\n"
    found = read_table(table(tmp_path, text))

    assert found.columns == ("well", "drug", "dose")
    assert [(row.number, row.values["well"]) for row in found.rows] == [(5, "A01"), (8, "A03")]
    assert found.notes == ("1 lines that begin with # are left out, such as line 6",)


def test_a_line_may_tell_the_delimiter(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "sep=|\nwell|drug, dose, unit\nA01|W, 5, nM\n"))
    assert found.rows[0].values == {"well": "A01", "drug, dose, unit": "W, 5, nM"}
    assert found.rows[0].number == 3


def test_required_columns_are_found_in_any_case(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "IMAGE,Class, Y ,x,Other\na,b,1,2,3\n"), ("image", "class", "y", "x"))
    assert found.columns == ("image", "class", "y", "x", "Other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty table"),
        ("a,b\n", "rows below a header"),
        ("a,a\n1,2\n", "got 'a' twice"),
        ("Y,y\n1,2\n", "got 'y' twice"),
        ("a,b,\n1,2,3\n", r"t\.csv, row 2: .*got '3' in column 3, which has none"),
        ("a,b\n1,2\n3,0,5\n", r"t\.csv, row 3: expected 2 values, got 3: .* decimal comma"),
        ('a,b\n1,"2\n', r"t\.csv, row 2: .*mend the quotes"),
        ("a,b\n" + "x" * 200_000 + ",1\n", r"field larger than field limit"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_table(table(tmp_path, text), ("y",) if text.startswith("Y") else ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04", "an Excel workbook: save it as CSV"),
        (b"well,drug\n\x00\x81\xff", "UTF-8"),
        (b"a\x00,\x00,b\n", "UTF-8"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_table(tmp_path / "a.csv")
    with pytest.raises(SourceError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")


def test_a_table_of_very_many_columns_is_refused_in_a_short_line(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(100_000))
    with pytest.raises(AnnotationError, match=r"c19 and 99980 more: add y$"):
        read_table(table(tmp_path, f"{names}\n1\n"), ("y",))


def test_boxes_have_decimal_commas(tmp_path: Path) -> None:
    path = table(tmp_path, "Image;Class;Y;X;Height;Width\ns;cell;100,5;1.000,25;64;64,0\ns;cell;100,250;90;64;64\n")
    boxes = read_boxes(path, {"s": (2000, 2000)})
    assert boxes == [Box("s", "cell", 100.5, 1000.25, 64, 64), Box("s", "cell", 100.25, 90, 64, 64)]


def test_a_number_that_may_be_two_is_named_with_its_cell(tmp_path: Path) -> None:
    path = table(tmp_path, 'image,class,y,x\ns,cell,10,20\ns,cell,"1,234",20\n')
    with pytest.raises(AnnotationError, match=r"t\.csv, row 3: column y: .*may be 1\.234 or 1234"):
        read_truth(path)
