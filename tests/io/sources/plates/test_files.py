"""Plates out of file names and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.errors import ConfigError, SourceError
from simsearch.io.ome_zarr.plates.wells import Well, make_well, parse_well, plate_size
from simsearch.io.sources.plates.files import PlaneFile, arrange_fields, order_channels
from simsearch.io.sources.plates.patterns import find_pattern, fitting_preset, list_presets, match_files
from simsearch.io.sources.protocol import SourceSpec, StackSpec

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.io.ome_zarr.image import Selection
    from simsearch.io.sources.plates.files import PlateField

A1, B2 = Well(0, 0), Well(1, 1)


@given(st.integers(0, 31), st.integers(0, 47), st.sampled_from(["{}{}", "{}{:02d}", "{}{:03d}"]), st.booleans())
def test_wells_are_read_however_they_are_written(row: int, column: int, form: str, lower: bool) -> None:
    well = Well(row, column)
    letters, number = well.path.split("/")
    name = form.format(letters, int(number))

    assert parse_well(name.lower() if lower else name) == well
    assert make_well(str(row + 1), str(column + 1)) == well
    assert parse_well(well.name) == well


@pytest.mark.parametrize("name", ["", "A", "1", "A0", "A00", "A49", "AG1", "BA1", "A1B", "1A", "A-1", "Ä1"])
def test_what_is_no_well_is_none(name: str) -> None:
    assert parse_well(name) is None


@pytest.mark.parametrize(
    ("last", "size"),
    [
        ("B03", (2, 3)),
        ("B04", (3, 4)),
        ("D06", (4, 6)),
        ("H12", (8, 12)),
        ("H13", (16, 24)),
        ("P24", (16, 24)),
        ("Q01", (32, 48)),
    ],
)
def test_plates_have_standard_sizes(last: str, size: tuple[int, int]) -> None:
    well = parse_well(last)
    assert well is not None
    assert plate_size([A1, well]) == size


@pytest.mark.parametrize(
    ("preset", "name", "expected"),
    [
        ("bbbc013", "Channel2-15-B-03.BMP", ("B03", "", "2", "", "")),
        ("imagexpress", "P1_x_B03_s4_w2A1B2C3D4-1234-ABCD-1234-1234567890AB.tif", ("B03", "4", "2", "", "")),
        ("ImageXpress", "P1_B03_w1.TIF", ("B03", "", "1", "", "")),
        ("operetta", "r02c03f04p05-ch2sk1fk1fl1.tiff", ("B03", "04", "2", "05", "1")),
        ("Harmony", "r02c03f04p05-ch2sk1fk1fl1.tiff", ("B03", "04", "2", "05", "1")),
        ("cellvoyager", "AS_09125_B03_T0001F004L01A02Z05C02.tif", ("B03", "004", "02", "05", "0001")),
        ("Cell Voyager", "AS_09125_B03_T0001F004L01A02Z05C02.png", ("B03", "004", "02", "05", "0001")),
        ("cellomics", "MFGTMP_12_B03f04d1.TIF", ("B03", "04", "1", "", "")),
        ("imagexpress", "P1_B03_s4_w12.TIF", ("B03", "4", "12", "", "")),
        ("imagexpress", "P1_B03_s4_w10A1B2C3D-1234-ABCD-1234-1234567890AB.tif", ("B03", "4", "1", "", "")),
        ("imagexpress", "P1_B03_s4_w1201B2C3D4-1234-ABCD-1234-1234567890AB.tif", ("B03", "4", "12", "", "")),
        ("InCell", "B - 03(fld 4 wv DAPI - DAPI).tif", ("B03", "4", "DAPI - DAPI", "", "")),
        ("incell", "B - 3(fld 04 wv Cy3 - Cy3 z 2 time 1 - 0 ms).tif", ("B03", "04", "Cy3 - Cy3", "2", "1")),
        ("incucyte", "VID123_B3_4_2020y05m12d_10h30m.tif", ("B03", "4", "", "", "2020y05m12d_10h30m")),
        ("incucyte", "Phase_B3_4_00d02h00m.tif", ("B03", "4", "Phase", "", "00d02h00m")),
        ("opera-phenix", "r02c03f04p05-ch2sk1fk1fl1.tiff", ("B03", "04", "2", "05", "1")),
        (r"w(?P<well>[A-H]\d+)_(?P<channel>\w+)\.png", "wB3_DAPI.png", ("B03", "", "DAPI", "", "")),
    ],
)
def test_file_names_of_microscopes(tmp_path: Path, preset: str, name: str, expected: tuple[str, ...]) -> None:
    (tmp_path / name).touch()
    (tmp_path / ".hidden").touch()
    listing = match_files([tmp_path], find_pattern(preset))
    (file,) = listing.files

    assert (file.well.name, file.field, file.channel, file.z, file.t) == expected
    assert listing.notes == ()


def test_patterns_with_a_slash_see_folders(tmp_path: Path) -> None:
    for well in ("A01", "B02"):
        (tmp_path / well).mkdir()
        (tmp_path / well / "gfp.png").touch()
    (tmp_path / "notes.txt").touch()
    listing = match_files([tmp_path], find_pattern(r"(?P<well>[A-H]\d\d)/(?P<channel>\w+)\.png"))

    assert [file.well for file in listing.files] == [A1, B2]
    assert listing.notes[0].endswith("such as notes.txt")


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("(?P<well>", ConfigError, "regular expression"),
        (r"(?P<row>\w)(?P<channel>\d)", ConfigError, r"group \(\?P<well>"),
        (r"nothing(?P<well>\w\d)", SourceError, "got 1 others, such as Z99.png"),
        (r"(?P<well>\w\d\d)", SourceError, "well from A01 to AF48, got Z99"),
    ],
)
def test_patterns_that_do_not_fit_say_so(tmp_path: Path, pattern: str, error: type[Exception], message: str) -> None:
    (tmp_path / "Z99.png").touch()
    with pytest.raises(error, match=message):
        match_files([tmp_path], find_pattern(pattern))


def _arranged(files: list[PlaneFile], z: Selection = None, t: Selection = None) -> list[PlateField]:
    fields, failures = arrange_fields(files, order_channels(files, {}, ()), z, t)
    assert not failures
    return fields


def test_fields_have_the_same_index_in_all_wells() -> None:
    fields = _arranged([PlaneFile("a", A1, "2"), PlaneFile("b", A1, "10"), PlaneFile("c", B2, "10")])

    assert [field.path for field in fields] == ["A/01/0", "A/01/1", "B/02/1"]
    assert fields[0].spec == SourceSpec("a")


def test_channels_are_ordered_and_named() -> None:
    files = [PlaneFile(str(i), A1, channel=channel) for i, channel in enumerate(("10", "2", "DAPI"))]

    assert order_channels(files, {}, ()).names == ("DAPI", "Channel 2", "Channel 10")
    assert order_channels(files, {"2": "GFP"}, ()).names == ("DAPI", "GFP", "Channel 10")
    assert order_channels(files, {}, ("x", "y", "z")).names == ("x", "y", "z")
    with pytest.raises(ConfigError, match="names for 3 channels"):
        order_channels(files, {}, ("x",))


def test_planes_are_chosen_or_projected() -> None:
    files = [PlaneFile(f"{c}{z}{t}", A1, "1", c, z, t) for c in "ab" for z in ("01", "02", "10") for t in ("1", "2")]
    with pytest.raises(ConfigError, match="3 z planes"):
        _arranged(files, t=0)
    with pytest.raises(ConfigError, match="2 time points"):
        _arranged(files, z=0)
    (one,) = _arranged(files, z=2, t=1)
    (projected,) = _arranged(files, z="max", t=0)

    assert isinstance(one.spec, StackSpec)
    assert isinstance(projected.spec, StackSpec)
    assert one.spec.channels == ((SourceSpec("a102"),), (SourceSpec("b102"),))
    assert [spec.path for spec in projected.spec.channels[0]] == ["a011", "a021", "a101"]


def test_two_files_for_one_place_are_both_named() -> None:
    files = [PlaneFile("x.tif", A1, "1", "1"), PlaneFile("y.tif", A1, "1", "1")]
    with pytest.raises(SourceError, match=r"A01: expected one file .* got x\.tif and y\.tif"):
        _arranged(files)


def test_a_missing_channel_names_the_field() -> None:
    files = [PlaneFile("a", A1, "1", "1"), PlaneFile("b", A1, "1", "2"), PlaneFile("c", B2, "1", "1")]
    fields, failures = arrange_fields(files, order_channels(files, {}, ()), None, None)

    assert [field.well for field in fields] == [A1]
    ((name, error),) = failures
    assert name == "B02 field 1"
    assert "expected channels 1, 2, got none of 2" in str(error)


@pytest.mark.parametrize(("names", "example"), list_presets())
def test_names_of_each_microscope_are_told_from_those_of_the_others(names: str, example: str) -> None:
    assert fitting_preset([example.rsplit("/", 1)[-1]] * 2) == names.split(", ")[0]


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["r01c01f01p01-ch1sk1fk1fl1.tiff"],  # one file is no plate
        ["tumour_A01.tif", "tumour_B02.tif"],  # blocks of a biopsy are named so too
        ["Plate_A01_s1_w1.tif", "Plate_A01_s1_w2.tif", "slide.tif"],
    ],
)
def test_other_names_are_taken_for_no_plate(names: list[str]) -> None:
    assert fitting_preset(names) is None
