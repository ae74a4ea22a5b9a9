"""Plate maps as laboratories keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from simsearch.errors import AnnotationError
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.tables.plate_maps.control_words import role_of_drug, role_of_word
from simsearch.io.tables.plate_maps.file import PlateMapFile, load_plate_map
from simsearch.io.tables.plate_maps.treatments import understand_treatments
from simsearch.io.tables.plate_maps.well_cells import read_well

if TYPE_CHECKING:
    from pathlib import Path

A1, B2 = Well(0, 0), Well(1, 1)


def load(folder: Path, text: str, encoding: str = "utf-8") -> PlateMapFile:
    (folder / "map.csv").write_bytes(text.encode(encoding))
    return load_plate_map(folder / "map.csv")


def column(found: PlateMapFile, name: str) -> list[Any]:
    return [row.get(name) for row in found.wells.values()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_plate_maps(tmp_path: Path, delimiter: str) -> None:
    text = "drug,Well,dose,batch\nX,a1,0,7\nTaxol,B02,0.5,x1\n\n".replace(",", delimiter)
    found = load(tmp_path, "\ufeff" + text)

    assert found.wells == {
        A1: {"well": "A01", "drug": "X", "dose": 0, "batch": 7},
        B2: {"well": "B02", "drug": "Taxol", "dose": 0.5, "batch": "x1"},
    }
    assert found.notes == ()


@pytest.mark.parametrize(
    "text",
    ["B02", "b2", "B-02", "B:2", "B_2", "B 2", "B/02", "2,2", "(2, 2)", "B,2", "r02c02", "Row 2, Col 2", "Well B2"],
)
def test_wells_are_written_in_many_ways(text: str) -> None:
    assert read_well(text) == B2


@pytest.mark.parametrize("text", ["", "22", "2B", "B", "B00", "AG1", "1.5", "A1,B2", "-1,2"])
def test_what_is_no_well_is_none(text: str) -> None:
    assert read_well(text) is None


def test_rows_and_columns_tell_wells_too(tmp_path: Path) -> None:
    found = load(tmp_path, "Row,Column,drug\nA,1,x\n2,02,y\n")
    assert list(found.wells) == [A1, B2]


def test_doses_come_in_one_unit(tmp_path: Path) -> None:
    text = "well;Compound;Dose\nA1;X;0\nA2;x;2 nM\nA3;X;0,2 µM\nA4;X;10uM\nA5;Y;5 mg/mL\nA6;DMSO;0,1 %\n"
    found = load(tmp_path, text)

    assert column(found, "dose") == [0, 2, 200, 10_000, 5, 0.1]
    assert column(found, "unit") == ["nM", "nM", "nM", "nM", "mg/mL", "%"]
    assert column(found, "role") == ["", "", "", "", "", "negative_control"]
    assert [note.partition(": ")[2] for note in found.notes] == [
        "column 'Compound' is read as drug",
        "'DMSO' is taken for a negative control: A06",
    ]


@pytest.mark.parametrize("header", ["Dose (uM)", "dose [uM]", "Conc_uM", "Concentration uM"])
def test_the_name_of_a_column_may_tell_the_unit(tmp_path: Path, header: str) -> None:
    found = load(tmp_path, f"well,drug,{header}\nA1,X,0.5\nA2,X,5 nM\n")
    assert (column(found, "dose"), column(found, "unit")) == ([0.5, 0.005], ["uM", "uM"])


def test_units_in_a_column_of_their_own_are_converted(tmp_path: Path) -> None:
    found = load(tmp_path, "well,drug,dose,unit\nA1,X,500,nM\nA2,X,100,nM\nA3,X,1,uM\nA4,X,0,\n")
    assert (column(found, "dose"), column(found, "unit")) == ([500, 100, 1000, 0], ["nM"] * 4)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["2 bananas"], r"map\.csv, row 2, column Dose: .*got '2 bananas'"),
        (["2 nM", "5 mg/mL"], r"row 3, column Dose: .* got mg/mL here and nM in row 2"),
        (["2 nM", "5"], r"row 3, column Dose: .* got no unit here and nM in row 2"),
        (['"1,234"'], r"row 2, column Dose: .*may be 1\.234 or 1234"),
        (["1.2.3 nM"], r"row 2, column Dose: .*got '1\.2\.3 nM'"),
    ],
)
def test_doses_that_are_not_understood_are_named(tmp_path: Path, rows: list[str], message: str) -> None:
    lines = [f"A{i},X,{dose}" for i, dose in enumerate(rows, 1)]
    with pytest.raises(AnnotationError, match=message):
        load(tmp_path, "\n".join(["well,drug,Dose", *lines]))


def test_a_cell_may_not_contradict_its_row(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"row 2, column dose: expected a dose in uM, as the column unit says"):
        load(tmp_path, "well,drug,dose,unit\nA1,X,1 nM,uM\n")


def test_words_that_are_no_dose_are_told_with_their_cells(tmp_path: Path) -> None:
    found = load(tmp_path, "well,drug,dose\nA1,X,n/a\nA2,X,5\nA3,X,n/a\nA4,X,vehicle\nA5,X,\n")
    assert column(found, "dose") == ["n/a", 5, "n/a", "vehicle", ""]
    assert column(found, "role") == ["", "", "", "negative_control", ""]
    assert "row 2, column dose: 'n/a' is no dose, and so left out: A01, A03" in found.notes[1]


@pytest.mark.parametrize(
    "text",
    ["DMSO", "0.1 % DMSO", "DMSO (0,5%)", "vehicle", "Vehicle control", "negative control", "neg. ctrl", "Neg.Ctrl",
     "NegControl", "negative-control", "mock", "untreated", "no treatment", "non-treated", "ctrl -", "- control", "PBS",
     "non-targeting", "Negativkontrolle"],
)  # fmt: skip
def test_words_for_negative_controls(text: str) -> None:
    assert role_of_drug(text) == role_of_word(text) == "negative_control"


@pytest.mark.parametrize(
    "text", ["positive", "Positive control", "pos. ctrl", "positive-control", "+ ctrl", "control +", "poscon_cp"]
)
def test_words_for_positive_controls(text: str) -> None:
    assert role_of_drug(text) == role_of_word(text) == "positive_control"


@pytest.mark.parametrize(
    "text", ["", "Taxol", "DMSO + taxol", "posaconazole", "control", "sample", "mockingbird", "NC-1"]
)
def test_other_words_are_no_controls(text: str) -> None:
    assert role_of_drug(text) is None


def test_roles_are_read_and_what_is_unclear_is_told(tmp_path: Path) -> None:
    rows = [("X", "NC"), ("X", "pos"), ("X", "sample"), ("X", "control"), ("X", "odd"), ("DMSO", ""), ("", "blank")]
    lines = [f"A{i},{drug},{role}" for i, (drug, role) in enumerate(rows, 1)]
    found = load(tmp_path, "\n".join(["well,drug,Control Type", *lines]))

    assert column(found, "role") == [
        *("negative_control", "positive_control", "sample", "control", "odd"),
        *("negative_control", "empty"),
    ]
    said = "\n".join(found.notes)
    assert "role 'control' is neither positive_control, negative_control, empty nor sample: A04" in said
    assert "role 'odd' is neither positive_control, negative_control, empty nor sample: A05" in said


def test_controls_as_signs(tmp_path: Path) -> None:
    found = load(tmp_path, "well,drug,Data_Control\nA1,X,-1\nA2,X,0\nA3,X,1\n")
    assert column(found, "role") == ["negative_control", "0", "positive_control"]


def test_a_solvent_with_a_dose_series_is_a_drug(tmp_path: Path) -> None:
    found = load(tmp_path, "well,drug,dose\nA1,DMSO,1\nA2,DMSO,2\nA3,DMSO,4\n")
    assert column(found, "role") == [None] * 3
    assert "DMSO has several doses and no role" in found.notes[0]


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    found = load(tmp_path, 'well,barcode,lot,n,size\nA1,00123,12_3,7,"1,234"\n')
    assert [found.wells[A1][name] for name in ("barcode", "lot", "n", "size")] == ["00123", "12_3", 7, "1,234"]
    assert "row 2, column size: stays text: '1,234', which may be" in found.notes[0]


def test_what_is_understood_stays_as_it_is(tmp_path: Path) -> None:
    found = load(tmp_path, "well,Drug,Dose\nA1,X,2 nM\nA2,X,1 uM\nA3,DMSO,\nA4,X,n/a\n")
    rows = list(found.wells.values())
    again = understand_treatments(rows, ["here"] * 4, ["A01"] * 4)
    assert list(again.rows) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drug,dose\nDMSO,1\n", "column named well, or row and column, got drug, dose"),
        ("well,drug\nA1,x\nQ99,y\n", r"row 3, column well: expected a well from A01 to AF48 .* got 'Q99'"),
        ("well,drug\nA1,x\nA2,y\nA01,z\n", "rows 2 and 4: expected each well once, got A01 twice"),
        ("plate,well\nP1,A1\nP2,A1\n", "one plate, got P1 in row 2 and P2 in row 3"),
        ("well,drug,drug\nA1,x,y\n", "twice"),
        ("well,drug\nA1,x,y\n", "row 2: expected 2 values, got 3"),
    ],
)
def test_plate_maps_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        load(tmp_path, text)
