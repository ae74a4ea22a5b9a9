"""Plates as microscopes leave them: folders, and what lies beside the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.errors import SourceError
from simsearch.io.sources.folders import list_folder, walk_files
from simsearch.io.sources.plates.files import PlateListing, arrange_fields, order_channels
from simsearch.io.sources.plates.patterns import find_pattern, list_presets, match_files
from simsearch.io.sources.plates.xml_records import read_records
from simsearch.io.sources.protocol import StackSpec

if TYPE_CHECKING:
    from pathlib import Path

HARMONY = "http://www.perkinelmer.com/PEHH/HarmonyV5"
BTS = "http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"


def plate(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def listed(folder: Path, preset: str) -> PlateListing:
    return match_files([folder], find_pattern(preset))


def names_of(listing: PlateListing) -> tuple[str, ...]:
    return order_channels(listing.files, listing.channel_names, (), listing.channels).names


def test_every_preset_reads_its_own_example(tmp_path: Path) -> None:
    for i, (names, example) in enumerate(list_presets()):
        folder = plate(tmp_path / str(i), example)
        for name in names.split(", "):
            (file,) = listed(folder, name).files
            assert file.well.name == "A01"


def test_folders_of_imagexpress_tell_planes_and_times(tmp_path: Path) -> None:
    files = [f"TimePoint_{t}/ZStep_{z}/P_B02_s1_w{w}.tif" for t in (1, 2) for z in (1, 2, 10) for w in (1, 2)]
    listing = listed(plate(tmp_path, *files), "imagexpress")
    fields, failures = arrange_fields(listing.files, order_channels(listing.files, {}, ()), "max", 1)

    assert not failures
    assert [field.path for field in fields] == ["B/02/0"]
    assert isinstance(fields[0].spec, StackSpec)
    assert [[each.path for each in planes] for planes in fields[0].spec.channels] == [
        [str(tmp_path / f"TimePoint_2/ZStep_{z}/P_B02_s1_w{w}.tif") for z in ("1", "10", "2")] for w in (1, 2)
    ]


def test_projections_beside_planes_and_thumbnails_are_left_out(tmp_path: Path) -> None:
    files = ["ZStep_1/P_B02_s1_w1.tif", "ZStep_2/P_B02_s1_w1.tif", "P_B02_s1_w1.tif", "P_B02_s1_w1_thumb123.tif"]
    listing = listed(plate(tmp_path, *files), "imagexpress")
    assert sorted(file.z for file in listing.files) == ["1", "2"]
    assert "1 files outside of ZStep folders are left out" in listing.notes[-1]
    assert "1 thumbnails are left out" in listing.notes


def test_twelve_wavelengths_are_in_order(tmp_path: Path) -> None:
    files = [f"P_B02_s1_w{w}.tif" for w in range(1, 13)]
    assert names_of(listed(plate(tmp_path, *files), "imagexpress")) == tuple(f"Channel {w}" for w in range(1, 13))


def test_an_htd_file_names_wavelengths_and_may_tell_the_pixel_size(tmp_path: Path) -> None:
    plate(tmp_path, *(f"TimePoint_1/P_B02_s1_w{w}.tif" for w in (1, 2)))
    lines = ['"HTSInfoFile", Version 1.0', '"Waves", TRUE', '"NWavelengths", 3', '"WaveName1", "DAPI"',
             '"WaveName2", "FITC, long"', '"WaveName3", "Cy5"', '"PixelSizeUM", 0.65', '"EndFile"']  # fmt: skip
    (tmp_path / "P.HTD").write_text("\r\n".join(lines))
    listing = listed(tmp_path, "imagexpress")

    assert names_of(listing) == ("DAPI", "FITC, long")
    assert listing.pixel_size_um == (0.65, 0.65)
    assert listing.notes == ("no file has the channels Cy5",)


def harmony_image(row: int, channel: int, name: str = "", size: str = "2.9E-07") -> str:
    values = {
        "URL": f"r0{row}c01f01p01-ch{channel}sk1fk1fl1.tiff", "Row": row, "Col": 1, "ChannelID": channel,
        "ChannelName": name,
    }  # fmt: skip
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in values.items() if value)
    sizes = "".join(f'<ImageResolution{axis} Unit="m">{size}</ImageResolution{axis}>' for axis in "XY" if size)
    return f'<Image Version="1">{inner}{sizes}</Image>'


def harmony(folder: Path, body: str, name: str = "Index.idx.xml") -> PlateListing:
    plate(folder, "Images/r01c01f01p01-ch1sk1fk1fl1.tiff", "Images/r01c01f01p01-ch2sk1fk1fl1.tiff")
    (folder / "Images" / name).write_text(
        f'<?xml version="1.0"?><EvaluationInputData xmlns="{HARMONY}">{body}</EvaluationInputData>'
    )
    return listed(folder, "harmony")


def test_the_index_of_harmony_names_channels_and_tells_the_pixel_size(tmp_path: Path) -> None:
    wells = '<Wells><Well><id>0101</id><Image id="0101K1F1P1R1"/></Well></Wells>'
    images = harmony_image(1, 1, "HOECHST 33342") + harmony_image(1, 2, "Alexa &amp; co")
    listing = harmony(tmp_path, f"{wells}<Images>{images}</Images>")

    assert names_of(listing) == ("HOECHST 33342", "Alexa & co")
    assert listing.pixel_size_um == pytest.approx((0.29, 0.29))
    assert listing.notes == ()


def test_newer_indices_of_harmony_have_a_map_of_channels(tmp_path: Path) -> None:
    entries = "".join(
        f'<Entry ChannelID="{i}"><ChannelName>{name}</ChannelName><ImageResolutionX Unit="m">1.5E-07</ImageResolutionX>'
        '<ImageResolutionY Unit="m">1.4E-07</ImageResolutionY></Entry>'
        for i, name in enumerate(("DAPI", "Cy5"), 1)
    )
    images = harmony_image(1, 1, size="") + harmony_image(1, 2, size="") + harmony_image(3, 1, size="")
    listing = harmony(tmp_path, f"<Maps><Map>{entries}</Map></Maps><Images>{images}</Images>", "Index.xml")

    assert names_of(listing) == ("DAPI", "Cy5")
    assert listing.pixel_size_um == pytest.approx((0.14, 0.15))
    assert listing.notes == ("1 files of 3 are listed and not there, such as r03c01f01p01-ch1sk1fk1fl1.tiff",)


@pytest.mark.parametrize(
    ("sizes", "note"),
    [
        (("2.9E-07", "5.8E-07"), "several pixel sizes"),
        (("nonsense", "nonsense"), "is not believed"),
        (("0", "0"), "is not believed"),
    ],
)
def test_pixel_sizes_that_make_no_sense_are_told(tmp_path: Path, sizes: tuple[str, str], note: str) -> None:
    images = harmony_image(1, 1, size=sizes[0]) + harmony_image(1, 2, size=sizes[1])
    listing = harmony(tmp_path, f"<Images>{images}</Images>")
    assert listing.pixel_size_um is None
    assert note in listing.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "<Images><Image>",
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x><Image><URL>&b;</URL></Image></x>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        "\x00\x01",
        "",
    ],
)
def test_an_index_that_is_no_plain_xml_is_told_and_not_used(tmp_path: Path, text: str) -> None:
    plate(tmp_path, "r01c01f01p01-ch1sk1fk1fl1.tiff")
    (tmp_path / "Index.xml").write_text(text)
    listing = listed(tmp_path, "operetta")
    assert len(listing.files) == 1
    assert "Index.xml: expected XML, got" in listing.notes[0]
    with pytest.raises(SourceError, match=r"Index\.xml: expected XML"):
        list(read_records(tmp_path / "Index.xml", {"Image"}))


def test_the_files_of_cellvoyager_tell_names_sizes_and_errors(tmp_path: Path) -> None:
    names = [f"P_A01_T0001F001L01A0{c}Z01C0{c}.tif" for c in (1, 2)]
    plate(tmp_path, *names)
    records = "".join(
        f'<bts:MeasurementRecord bts:Type="IMG" bts:Ch="{i}">{n}</bts:MeasurementRecord>'
        for i, n in enumerate(names, 1)
    )
    records += '<bts:MeasurementRecord bts:Type="ERR" bts:Row="3">AF Error at C14</bts:MeasurementRecord>'
    channels = "".join(
        f'<bts:MeasurementChannel bts:Ch="{i}" bts:HorizontalPixelDimension="0.32" bts:VerticalPixelDimension="0.33"/>'
        for i in (1, 2)
    )
    targets = '<bts:Channel bts:Ch="1" bts:Target="DAPI"/><bts:Channel bts:Ch="2" bts:Target="BF"/>'
    for name, inner in (("MeasurementData.mlf", records), ("MeasurementDetail.mrf", channels), ("P.mes", targets)):
        (tmp_path / name).write_text(f'<?xml version="1.0" encoding="utf-8"?><bts:M xmlns:bts="{BTS}">{inner}</bts:M>')
    listing = listed(tmp_path, "cellvoyager")

    assert names_of(listing) == ("DAPI", "BF")
    assert listing.pixel_size_um == (0.33, 0.32)
    assert listing.notes == ("MeasurementData.mlf tells of 1 errors of the microscope, such as 'AF Error at C14'",)


def test_incell_tells_the_pixel_size(tmp_path: Path) -> None:
    plate(tmp_path, "A - 01(fld 1 wv DAPI - DAPI).tif", "A - 01(fld 1 wv Cy3 - dsRed).tif")
    (tmp_path / "p.xdce").write_text(
        '<?xml version="1.0" encoding="ISO-8859-1" standalone="no"?><ImageStack><ObjectiveCalibration '
        'magnification="20.0" pixel_height="0.325" pixel_width="0.325" unit="\u00b5m"/></ImageStack>',
        encoding="latin-1",
    )
    listing = listed(tmp_path, "incell")
    assert listing.pixel_size_um == (0.325, 0.325)
    assert names_of(listing) == ("Cy3 - dsRed", "DAPI - DAPI")


def test_files_that_systems_leave_are_no_files(tmp_path: Path) -> None:
    names = ["a.tif", "._a.tif", ".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/a.tif", "sub/b.tif", ".x/c.tif"]
    plate(tmp_path, *names)
    assert [path.name for path in walk_files(tmp_path)] == ["a.tif", "b.tif"]
    assert [path.name for path in list_folder(tmp_path)] == ["a.tif", "sub"]


def test_files_named_one_by_one_have_their_index_beside_them(tmp_path: Path) -> None:
    harmony(tmp_path, f"<Images>{harmony_image(1, 1, 'DAPI')}{harmony_image(1, 2, 'GFP')}</Images>")
    listing = match_files(sorted((tmp_path / "Images").glob("*.tiff"))[:1], find_pattern("operetta"))
    assert names_of(listing) == ("DAPI",)
    assert listing.notes == ("no file has the channels GFP",)
