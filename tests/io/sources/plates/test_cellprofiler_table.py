"""LoadData tables as CellProfiler, cpg and scripts write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from simsearch.errors import AnnotationError, ConfigError
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.sources.plates.cellprofiler_table import read_cellprofiler_table
from simsearch.io.sources.plates.files import PlaneFile, PlateListing, arrange_fields, order_channels
from simsearch.io.sources.plates.foreign_paths import PathMap, parse_path_map
from simsearch.io.sources.protocol import SourceSpec, StackSpec

A1, B2 = Well(0, 0), Well(1, 1)


def read(folder: Path, text: str, path_map: PathMap = ()) -> PlateListing:
    path = folder / "load_data.csv"
    path.write_text(text)
    return read_cellprofiler_table(path, path_map)


def paths(listing: PlateListing) -> list[str]:
    return [file.path for file in listing.files]


@pytest.mark.parametrize("change", [str, str.upper, str.lower, lambda name: f"Image_{name}"])
def test_columns_in_any_case_and_with_a_prefix(tmp_path: Path, change: type[str]) -> None:
    columns = [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Site",
        "FileName_GFP",
        "PathName_GFP",
        "URL_DNA",
        "Frame_DNA",
    ]
    header = ",".join(change(column) for column in columns)
    listing = read(tmp_path, f"{header}\nP1,B-02,3,g.tif,sub,file:///x/d%20e.tif,1\n")
    gfp, dna = listing.channels

    assert (gfp.lower(), dna.lower()) == ("gfp", "dna")
    assert listing.files == [
        PlaneFile(str(tmp_path / "sub/g.tif"), B2, "3", gfp, plate="P1"),
        PlaneFile("/x/d e.tif", B2, "3", dna, frame=1, plate="P1"),
    ]


def test_a_frame_is_a_plane_of_the_file_whatever_its_axis(tmp_path: Path) -> None:
    columns = "FileName_DNA,Frame_DNA,Series_DNA,FileName_GFP,Frame_GFP,Series_GFP,Metadata_Well"
    listing = read(tmp_path, f"{columns}\ns.tif,0,0,s.tif,1,2.0,A01\n")
    order = order_channels(listing.files, {}, (), listing.channels)
    ((field,), failures) = arrange_fields(listing.files, order, "max", None)

    assert not failures
    assert isinstance(field.spec, StackSpec)
    path = str(tmp_path / "s.tif")
    specs = [spec for planes in field.spec.channels for spec in planes]
    assert [(spec.path, spec.plane, spec.series) for spec in specs] == [(path, 0, "0"), (path, 1, "2")]
    assert field.spec.channel_names == ("DNA", "GFP")


def test_planes_and_times_in_columns_of_their_own(tmp_path: Path) -> None:
    listing = read(tmp_path, "FileName_a,Metadata_Well,Metadata_Z,Metadata_Timepoint\nx1.tif,A1,1,7\nx2.tif,A1,2,7\n")
    ((field,), _) = arrange_fields(listing.files, order_channels(listing.files, {}, ()), 1, None)
    assert field.spec == StackSpec("A01", ((SourceSpec(str(tmp_path / "x2.tif")),),), ("a",))


def test_illumination_functions_are_left_out(tmp_path: Path) -> None:
    text = (
        "FileName_OrigDNA,FileName_IllumDNA,FileName_GFP,FileName_GFP_Illum,FileName_Flat,Image_ObjectsFileName_Nuclei,"
        "Metadata_Well\nd.tif,i.npy,g.tif,j.npy,f.npy,n.png,A01\n"
    )
    listing = read(tmp_path, text)
    assert listing.channels == ("OrigDNA", "GFP")
    assert listing.notes == (
        "IllumDNA, GFP_Illum, Flat are illumination functions and left out",
        "Nuclei are objects and left out",
    )
    with pytest.raises(AnnotationError, match="expected channels with images, got IllumDNA"):
        read(tmp_path, "FileName_IllumDNA,Metadata_Well\ni.npy,A01\n")


def test_plates_are_told_apart(tmp_path: Path) -> None:
    listing = read(tmp_path, "FileName_a,Metadata_Well,Metadata_Plate\nx.tif,A1,P1\ny.tif,A1,P2\n")
    assert [file.plate for file in listing.files] == ["P1", "P2"]


WINDOWS = "FileName_a,PathName_a,Metadata_Well\na.tif,C:\\Users\\me\\img,A01\nb.tif,C:\\Users\\me\\img,B02\n"


def test_windows_paths_of_another_machine_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        AnnotationError, match=r"C:\\Users\\me\\img\\a\.tif of another.*--path-map 'C:\\Users\\me\\img="
    ):
        read(tmp_path, WINDOWS)


def test_files_of_another_machine_are_found_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img/a.tif").touch()
    for text in (WINDOWS, WINDOWS.replace("C:\\Users\\me\\img", "/home/me/img")):
        listing = read(tmp_path, text)
        assert paths(listing)[0] == str(tmp_path / "img/a.tif")
        assert not Path(paths(listing)[1]).exists()
        assert "files of that name were found beside the table" in listing.notes[0]


def test_two_paths_of_another_machine_never_lead_to_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    with pytest.raises(AnnotationError, match=r"row 3, column FileName_a: .*--path-map"):
        read(tmp_path, "FileName_a,PathName_a,Metadata_Well\na.tif,D:\\p1,A01\na.tif,D:\\p2,B02\n")


@pytest.mark.parametrize(
    ("before", "path"),
    [("C:\\Users\\me", "C:\\Users\\me\\img"), ("c:/users/ME/", "C:\\Users\\me\\img"), ("/data", "/data/img"),
     ("\\\\server\\share", "\\\\server\\share\\img")],
)  # fmt: skip
def test_paths_are_mapped(tmp_path: Path, before: str, path: str) -> None:
    listing = read(tmp_path, f"FileName_a,PathName_a,Metadata_Well\na.tif,{path},A01\n", ((before, "/mnt/x"),))
    assert paths(listing) == ["/mnt/x/img/a.tif"]
    assert listing.notes == ()


def test_a_map_may_lead_to_where_the_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listing = read(tmp_path, "FileName_a,PathName_a,Metadata_Well\na.tif,/data/img,A01\n", (("/data", "moved"),))
    assert paths(listing) == [str(tmp_path / "moved/img/a.tif")]


def test_a_map_of_paths_needs_both_sides() -> None:
    assert parse_path_map("C:\\a=/b") == ("C:\\a", "/b")
    with pytest.raises(ConfigError, match="BEFORE=HERE"):
        parse_path_map("/b")


def test_relative_windows_paths_are_those_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "img/x").mkdir(parents=True)
    assert paths(read(tmp_path, "FileName_a,PathName_a,Metadata_Well\na.tif,img\\x,A01\n")) == [
        str(tmp_path / "img/x/a.tif")
    ]


@pytest.mark.parametrize("url", ["s3://gallery/x/a.tiff", "https://h.org/a.tif", "omero:iid=1"])
def test_urls_of_images_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(AnnotationError, match=r"row 2, column URL_DNA: .* cannot be read: download them"):
        read(tmp_path, f"URL_DNA,Metadata_Well\n{url},A01\n")


def test_urls_of_ome_zarrs_are_kept(tmp_path: Path) -> None:
    assert paths(read(tmp_path, "URL_DNA,Metadata_Well\nhttps://h.org/a.ome.zarr/0,A01\n")) == [
        "https://h.org/a.ome.zarr/0"
    ]


def test_rows_and_columns_tell_wells_too(tmp_path: Path) -> None:
    listing = read(tmp_path, "FileName_a,PathName_a,Metadata_Row,Metadata_Column\nx.tif,/abs,B,02\n")
    assert listing.files == [PlaneFile("/abs/x.tif", B2, "", "a")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "FileName_<channel>"),
        ("FileName_a\nx.tif\n", "Metadata_Well"),
        ("FileName_a,Metadata_Well\nx.tif,A1\nx.tif,Z77\n", "row 3, column Metadata_Well: expected a well"),
        ("FileName_a,Metadata_Well,Frame_a\nx.tif,A1,first\n", "row 2, column Frame_a: expected an index from 0"),
        ("FileName_a,Metadata_Well,Series_a\nx.tif,A1,1.5\n", "row 2, column Series_a: expected an index from 0"),
        ("FileName_a,Metadata_Well\n", "rows below a header"),
        ("", "header"),
    ],
)
def test_load_data_tables_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path, text)
