"""Numbers and units as people of any country write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.io.tables.numbers import AmbiguousNumberError, DecimalMark, find_decimal_mark, parse_number, split_amount
from simsearch.io.tables.plate_maps.units import convert_dose, parse_unit


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("-3", -3), ("\u22123", -3), ("+0.5", 0.5), ("0,5", 0.5), (",5", 0.5), ("5.", 5), ("12,34", 12.34),
        ("0,234", 0.234), ("1,2345", 1.2345), ("1.234", 1.234), ("1e-3", 0.001), ("1,5E-3", 0.0015),
        ("1,234E2", 123.4), ("1,234.5", 1234.5), ("1.234,5", 1234.5), ("1,234,567", 1234567), ("1.234.567", 1234567),
        ("1 234,5", 1234.5), ("1\u202f234,5", 1234.5), ("1'234.5", 1234.5), ("1 234 567", 1234567), ("007", 7),
    ],
)  # fmt: skip
def test_numbers_of_any_country_are_read(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "-", ".", "nan", "inf", "1e400", "1_000", "\u0663", "1,23,456", "1.2.3", "12345 678", "1,234.567,8", "2 nM"],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [("1,234", ".", 1234), ("1,234", ",", 1.234), ("1.234", ",", 1234), ("1.234", ".", 1.234), ("1.234", "", 1.234)],
)
def test_other_cells_decide_what_a_thousand_is(text: str, mark: DecimalMark, value: float) -> None:
    assert parse_number(text, mark) == value


@pytest.mark.parametrize(("text", "mark"), [("1,234", ""), ("1,234", "both"), ("1.234", "both")])
def test_a_number_that_may_be_two_is_told(text: str, mark: DecimalMark) -> None:
    with pytest.raises(AmbiguousNumberError, match=r"which may be 1\.234 or 1234"):
        parse_number(text, mark)


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["A01", "0,2 nM", "1,234"], ","), (["0.2", "1,234"], "."), (["1,234", "5", "DMSO, 1 %"], ""),
        (["0,2", "0.2"], "both"), (["1.234.567"], ","), (["1,234.5"], "."), ([], ""),
    ],
)  # fmt: skip
def test_cells_prove_a_decimal_mark(cells: list[str], mark: DecimalMark) -> None:
    assert find_decimal_mark(cells) == mark


@given(st.floats(-1e9, 1e9).map(lambda value: round(value, 4)))
def test_a_decimal_comma_is_a_decimal_point(value: float) -> None:
    text = f"{value:.4f}"
    assert parse_number(text.replace(".", ",")) == parse_number(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [("2 nM", "2", "nM"), ("10uM", "10", "uM"), ("0,2 µM", "0,2", "µM"), ("5", "5", ""),
     ("1e-3 mol/L", "1e-3", "mol/L"), ("0.1%", "0.1", "%"), ("DMSO", "", "DMSO"), ("2-Jan", "", "2-Jan")],
)  # fmt: skip
def test_a_dose_is_a_number_and_a_unit(text: str, amount: str, unit: str) -> None:
    assert split_amount(text) == (amount, unit)


def test_units_are_known_in_any_spelling() -> None:
    spellings = ["uM", "µM", "\u03bcM", "um", "umol/L", "micromolar", "UM"]
    assert {parse_unit(spelling) for spelling in spellings} == {parse_unit("uM")}
    assert parse_unit("ug/mL") == parse_unit("µg/ml") == parse_unit("mg/L") == parse_unit("mcg/mL")
    assert parse_unit("mM") != parse_unit("uM")
    assert [parse_unit(text) for text in ("bananas", "", "n", "MM/L")] == [None] * 4


def test_doses_are_converted_without_rounding() -> None:
    micro, nano = parse_unit("uM"), parse_unit("nM")
    assert micro
    assert nano
    assert [convert_dose(value, micro, nano) for value in (0.2, 10, 0.0016)] == [200, 10000, 1.6]
    assert convert_dose(5, nano, micro) == 0.005
