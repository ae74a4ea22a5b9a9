"""Folders and tables of files become plates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models import open_ome_zarr
from PIL import Image

from simsearch.errors import AnnotationError, ConfigError, SourceError, StoreError
from simsearch.io.ome_zarr.plates.hierarchy import find_images, open_plate, read_plate_map
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions, plan_conversion

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.writing import OmeVersion

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])
PATTERN = r"(?P<well>[A-Z]+\d+)_s(?P<field>\d+)_(?P<channel>[a-z]+)\.png"


def pixels_of(well: str, field: int, channel: str) -> NDArray[np.uint8]:
    seed = sum(map(ord, well)) * 100 + field * 10 + len(channel)
    return np.random.default_rng(seed).integers(0, 200, (30, 40), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two wells with two fields and one with one, two channels each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for well, field in (("A1", 1), ("A1", 2), ("b02", 1), ("b02", 2), ("C03", 2)):
        for channel in ("dna", "protein"):
            Image.fromarray(pixels_of(well, field, channel)).save(folder / f"{well}_s{field}_{channel}.png")
    return folder


PATTERN_ANY_CASE = PATTERN.replace("[A-Z]", "[A-Za-z]")


@pytest.mark.parametrize(("rows", "columns"), [("12", ("1", "2")), ("ab", ("001", "002"))])
def test_a_plate_whose_rows_and_columns_are_named_in_another_way_is_copied(
    client: Client, tmp_path: Path, rows: str, columns: tuple[str, ...]
) -> None:
    plate = _foreign_plate(tmp_path / "p.ome.zarr", rows, columns)
    report = convert(client, [plate], tmp_path / "out.ome.zarr")

    assert report.n_images == 3
    assert [image.name for image in find_images([tmp_path / "out.ome.zarr"])] == [
        "out/A/01/0", "out/A/02/0", "out/B/01/0",
    ]  # fmt: skip
    assert f"lists wells that are not there: {rows[1]}/{columns[1]}" in report.notes[0]


def test_wells_that_no_plate_has_are_named(client: Client, tmp_path: Path) -> None:
    plate = _foreign_plate(tmp_path / "p.ome.zarr", "AB", ("left", "right"))
    with pytest.raises(SourceError, match=r"expected a well whose row .*, got A/left: rename its folders"):
        convert(client, [plate], tmp_path / "out.ome.zarr")


def _foreign_plate(path: Path, rows: str, columns: tuple[str, ...]) -> Path:
    """Write a plate of 2 x 2 wells as OME-Zarr 0.3, of which the last is listed but not there."""
    group = zarr.create_group(path, zarr_format=2)
    wells = [f"{row}/{column}" for row in rows for column in columns]
    group.attrs["plate"] = {"version": "0.3", "wells": [{"path": well} for well in wells]}
    for well in wells[:-1]:
        group.create_group(well).attrs["well"] = {"images": [{"path": "0"}]}
        image = group.create_group(f"{well}/0")
        image.create_array("0", data=np.ones((1, 20, 30), ">u2"))
        image.attrs["multiscales"] = [{"version": "0.3", "axes": ["c", "y", "x"], "datasets": [{"path": "0"}]}]
    return path


@VERSIONS
def test_bbbc013(client: Client, tmp_path: Path, shared_data: Path, version: OmeVersion) -> None:
    options = ConvertOptions(
        ome_version=version, plate_pattern="bbbc013", plate_map=shared_data / "bbbc013/platemap.csv"
    )
    report = convert(client, [shared_data / "bbbc013/images"], tmp_path / "bbbc013.ome.zarr", options)
    plate = tmp_path / "bbbc013.ome.zarr"
    images = find_images([plate])
    stored = read_plate_map(plate)

    assert (report.n_images, report.n_tasks, report.failures) == (96, 96, ())
    assert type(open_ome_zarr(zarr.open_group(plate, mode="r"))).__name__ == "HCS"
    assert [image.name for image in images[:2]] == ["bbbc013/A/01/0", "bbbc013/A/02/0"]
    assert len(images) == 96
    assert {image.channel_names for image in images} == {("GFP", "DNA")}
    assert {image.channel_colors for image in images} == {("00FF00", "0000FF")}
    assert len(stored) == 96
    assert stored[2] | {"well": "A03", "drug": "Wortmannin", "dose": 0.9766, "unit": "nM"} == stored[2]
    tree = open_plate(plate)
    for well, name in (("A/01", "01-A-01"), ("H/12", "96-H-12")):
        for channel, number in (("GFP", 1), ("DNA", 2)):
            expected = Image.open(shared_data / f"bbbc013/images/Channel{number}-{name}.png").convert("L")
            np.testing.assert_array_equal(tree[f"{well}/0"]["image"].sel(c=channel).values, np.asarray(expected))


@VERSIONS
def test_fields_and_channels_find_their_places(
    client: Client, tmp_path: Path, folder: Path, version: OmeVersion
) -> None:
    options = ConvertOptions(plate_pattern=PATTERN_ANY_CASE, ome_version=version, pixel_size_um=(0.5, 0.5))
    convert(client, [folder], tmp_path / "p.ome.zarr", options)
    tree = open_plate(tmp_path / "p.ome.zarr")

    open_ome_zarr(zarr.open_group(tmp_path / "p.ome.zarr", mode="r"))
    for well, path, field in (("A1", "A/01/0", 1), ("A1", "A/01/1", 2), ("b02", "B/02/1", 2), ("C03", "C/03/1", 2)):
        for channel in ("dna", "protein"):
            np.testing.assert_array_equal(tree[path]["image"].sel(c=channel).values, pixels_of(well, field, channel))
    assert "0" not in tree["C/03"].children
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "p.ome.zarr"]


def test_all_wells_are_drawn_alike(client: Client, tmp_path: Path, folder: Path) -> None:
    Image.fromarray(np.full((30, 40), 250, np.uint8)).save(folder / "C03_s2_dna.png")
    convert(client, [folder], tmp_path / "p.zarr", ConvertOptions(plate_pattern=PATTERN_ANY_CASE))
    windows = [
        [channel["window"]["end"] for channel in zarr.open_group(image.path).attrs.asdict()["ome"]["omero"]["channels"]]
        for image in find_images([tmp_path / "p.zarr"])
    ]

    assert all(ends == windows[0] for ends in windows)
    assert windows[0][0] == 250
    assert windows[0][1] < 200


def test_a_load_data_table_makes_a_plate(client: Client, tmp_path: Path, folder: Path) -> None:
    rows = ["Metadata_Plate,Metadata_Well,Metadata_Site,FileName_Protein,PathName_Protein,FileName_DNA,PathName_DNA"]
    rows += [
        f"P1,{well},{field},{well}_s{field}_protein.png,in,{well}_s{field}_dna.png,in"
        for well, field in (("A1", 1), ("A1", 2))
    ]
    (tmp_path / "load.csv").write_text("\n".join(rows))
    convert(client, [tmp_path / "load.csv"], tmp_path / "p.zarr")
    image = open_plate(tmp_path / "p.zarr")["A/01/1"]["image"]

    assert list(image.c.values) == ["Protein", "DNA"]
    np.testing.assert_array_equal(image.sel(c="DNA").values, pixels_of("A1", 2, "dna"))


@pytest.mark.parametrize(("axes", "shape"), [("CYX", (4, 9, 8)), ("TCYX", (2, 2, 9, 8)), ("ZYX", (4, 9, 8))])
def test_frames_of_a_load_data_table_are_planes_of_any_axis(
    client: Client, tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    pixels = np.random.default_rng(1).integers(0, 999, shape, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "s.ome.tif", pixels, metadata={"axes": axes})
    table = "FileName_DNA,Frame_DNA,Series_DNA,FileName_GFP,Frame_GFP,Series_GFP,Metadata_Well"
    (tmp_path / "load.csv").write_text(f"{table}\ns.ome.tif,1,0,s.ome.tif,3,0,A01\n")
    convert(client, [tmp_path / "load.csv"], tmp_path / "p.zarr")
    image = open_plate(tmp_path / "p.zarr")["A/01/0"]["image"]

    assert list(image.c.values) == ["DNA", "GFP"]
    np.testing.assert_array_equal(image.values, pixels.reshape(-1, 9, 8)[[1, 3]])
    (tmp_path / "load.csv").write_text(f"{table}\ns.ome.tif,1,0,s.ome.tif,4,0,A01\n")
    with pytest.raises(ConfigError, match=r"s\.ome\.tif: expected one of its 4 planes, got 4"):
        convert(client, [tmp_path / "load.csv"], tmp_path / "q.zarr")


def test_a_missing_channel_names_the_field(client: Client, tmp_path: Path, folder: Path) -> None:
    (folder / "b02_s2_dna.png").unlink()
    with pytest.raises(SourceError, match="B02 field 2: expected channels dna, protein, got none of dna"):
        convert(client, [folder], tmp_path / "p.zarr", ConvertOptions(plate_pattern=PATTERN_ANY_CASE))
    report = convert(
        client, [folder], tmp_path / "p.zarr", ConvertOptions(plate_pattern=PATTERN_ANY_CASE, skip_errors=True)
    )

    assert [name for name, _ in report.failures] == ["B02 field 2"]
    assert report.n_images == 4


@pytest.mark.parametrize("damage", ["empty", "cut off", "size"])
def test_a_bad_file_leaves_its_field_out_only_on_request(
    client: Client, tmp_path: Path, folder: Path, damage: str
) -> None:
    bad = folder / "C03_s2_dna.png"
    content = bad.read_bytes()
    if damage == "size":
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(bad)
    else:
        bad.write_bytes(b"" if damage == "empty" else content[:-300])
    with pytest.raises(SourceError, match=r"C03_s2_dna\.png"):
        convert(client, [folder], tmp_path / "p.zarr", ConvertOptions(plate_pattern=PATTERN_ANY_CASE))
    assert not (tmp_path / "p.zarr").exists()
    report = convert(
        client, [folder], tmp_path / "p.zarr", ConvertOptions(plate_pattern=PATTERN_ANY_CASE, skip_errors=True)
    )

    assert [name for name, _ in report.failures] == ["C/03/1"]
    assert {image.name for image in find_images([tmp_path / "p.zarr"])} == {
        f"p/{well}/{field}" for well in ("A/01", "B/02") for field in (0, 1)
    }
    assert not (tmp_path / "p.zarr/C/03").exists()
    open_ome_zarr(zarr.open_group(tmp_path / "p.zarr", mode="r"))


def test_two_files_for_one_place_are_both_named(client: Client, tmp_path: Path, folder: Path) -> None:
    (folder / "A01_s1_dna.png").write_bytes((folder / "A1_s1_dna.png").read_bytes())
    with pytest.raises(SourceError, match=r"A01: expected one file .*A01_s1_dna\.png and .*A1_s1_dna\.png"):
        convert(client, [folder], tmp_path / "p.zarr", ConvertOptions(plate_pattern=PATTERN_ANY_CASE))


def test_plate_maps_are_checked_before_anything_is_written(client: Client, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "map.csv").write_text("well,drug\nA1,x\nA01,y\n")
    options = ConvertOptions(plate_pattern=PATTERN_ANY_CASE, plate_map=tmp_path / "map.csv")
    with pytest.raises(AnnotationError, match="rows 2 and 3"):
        convert(client, [folder], tmp_path / "p.zarr", options)
    (tmp_path / "map.csv").write_text("well,drug\nA1,x\nH12,y\n")
    report = convert(client, [folder], tmp_path / "p.zarr", options)

    assert "1 wells of the plate map have no images, such as H12" in report.notes
    assert "2 wells with images are not in the plate map, such as B02" in report.notes
    plate: Any = zarr.open_group(tmp_path / "p.zarr", mode="r").attrs.asdict()["ome"]["plate"]
    assert len(plate["columns"]) == 12, "there is room for H12"


def test_a_plate_is_copied_with_its_plate_map(client: Client, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "map.csv").write_text("well,dose\nA1,1.5\n")
    options = ConvertOptions(plate_pattern=PATTERN_ANY_CASE, plate_map=tmp_path / "map.csv", ome_version="0.4")
    convert(client, [folder], tmp_path / "p.zarr", options)
    convert(client, [tmp_path / "p.zarr"], tmp_path / "q.zarr")

    assert read_plate_map(tmp_path / "q.zarr") == [{"well": "A01", "dose": 1.5}]
    for one, two in zip(find_images([tmp_path / "p.zarr"]), find_images([tmp_path / "q.zarr"]), strict=True):
        assert one.name.removeprefix("p/") == two.name.removeprefix("q/")
        assert one.channel_names == two.channel_names


def test_a_plate_of_another_tool_is_converted(client: Client, tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "ome_zarr/fractal/plate_ones.zarr"
    convert(client, [source], tmp_path / "p.ome.zarr", ConvertOptions(z="max"))

    assert (open_plate(tmp_path / "p.ome.zarr")["B/03/0"]["image"].values == 1).all()


@pytest.mark.parametrize(
    ("destination", "changes", "error", "message"),
    [
        ("p", {}, ConfigError, "ends with .ome.zarr for a plate"),
        ("p.zarr", {"channel_names": ("a",)}, ConfigError, "names for 2 channels"),
        ("p.zarr", {"plate_pattern": "nonsense"}, ConfigError, "regular expression with a group"),
    ],
)
def test_options_that_contradict_each_other(
    client: Client,
    tmp_path: Path,
    folder: Path,
    destination: str,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    options = ConvertOptions(**{"plate_pattern": PATTERN_ANY_CASE, **changes})
    with pytest.raises(error, match=message):
        convert(client, [folder], tmp_path / destination, options)


def test_an_earlier_plate_is_not_touched(client: Client, tmp_path: Path, folder: Path) -> None:
    options = ConvertOptions(plate_pattern=PATTERN_ANY_CASE)
    convert(client, [folder], tmp_path / "p.zarr", options)
    with pytest.raises(StoreError, match="--overwrite"):
        convert(client, [folder], tmp_path / "p.zarr", options)


def test_files_of_a_plate_without_a_pattern_are_told_with_the_preset(tmp_path: Path) -> None:
    for folder in (tmp_path / "flat", tmp_path / "deep" / "TimePoint_1"):
        folder.mkdir(parents=True)
        for channel in (1, 2):
            (folder / f"Plate_A01_s1_w{channel}.TIF").touch()
    preset = "--plate-pattern imagexpress"
    plan = plan_conversion([tmp_path / "flat"], tmp_path / "out", ConvertOptions())
    assert plan.notes == (f"files are named as those of a plate: {preset} makes one of them",)
    with pytest.raises(ConfigError, match=f"or make a plate with {preset}$"):
        plan_conversion([tmp_path / "flat"], tmp_path / "out.ome.zarr", ConvertOptions())
    with pytest.raises(SourceError, match=f"got no image in it: .* or add {preset}$"):
        plan_conversion([tmp_path / "deep"], tmp_path / "out", ConvertOptions())
