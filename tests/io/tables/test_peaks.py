"""Tables of peaks and of detections."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from simsearch.core.peaks import Peak, peak_columns
from simsearch.errors import AnnotationError
from simsearch.io.ome_zarr.image import ImageMeta, Level
from simsearch.io.tables import peaks as peak_table
from simsearch.io.tables.peaks import (
    DETECTION_SCHEMA,
    PEAK_SCHEMA,
    read_detections,
    read_peaks,
    write_chosen_rows,
    write_detections,
    write_peaks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MODEL = "ab" * 32


def meta_of(
    name: str, pixel_size_um: tuple[float, float] | None = None, origin: tuple[float, float] = (0.0, 0.0)
) -> ImageMeta:
    return ImageMeta(
        path=f"/data/{name}",
        name=name,
        n_channels=1,
        channel_names=("c",),
        channel_colors=("FFFFFF",),
        dtype="uint8",
        levels=(Level("0", (512, 512), (1.0, 1.0)),),
        pixel_size_um=pixel_size_um,
        spacing=pixel_size_um or (1.0, 1.0),
        origin=origin,
        axes="cyx",
    )


FIELD, FIELD_1 = "P1/B/03/0", "P1/B/03/1"
IMAGES = {
    "slide": meta_of("slide", (0.5, 0.25), (100.0, 200.0)),
    FIELD: meta_of(FIELD),
    FIELD_1: meta_of(FIELD_1, (2.0, 2.0)),
    "nothing found": meta_of("nothing found"),
}
PEAKS = [
    Peak("slide", "b", 10.5, 20.25, (48.0, 32.0), 0.25),
    Peak(FIELD_1, "a", 1.0, 2.0, (48.0, 32.0), 0.75),
    Peak("slide", "a", 3.0, 4.0, (48.0, 32.0), 0.5),
    Peak("slide", "a", 9.0, 1.0, (48.0, 32.0), 0.875),
    Peak("slide", "a", 2.0, 8.0, (48.0, 32.0), 0.5),
    Peak(FIELD, "b", 5.0, 6.0, (48.0, 32.0), 1 / 3),
    Peak("slide", "a", 2.0, 7.0, (48.0, 32.0), 0.5),
]
SORTED = [PEAKS[i] for i in (5, 1, 3, 6, 4, 2, 0)]
"""By image, class, descending confidence, y and x."""


def test_peaks_come_to_their_places_when_both_tables_are_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(pyarrow.csv, "write_csv", fail)
    with pytest.raises(OSError):  # noqa: PT011  as it is raised above
        write_peaks(PEAKS, IMAGES, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the detections."""
    write(PEAKS, tmp_path)
    return tmp_path


def write(peaks: Sequence[Peak], folder: Path) -> None:
    """Write detections as a run does: images in the order of their names."""
    write_detections(sorted(peak_columns(peaks), key=lambda here: here.image), IMAGES, MODEL, folder)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_detections_have_the_documented_columns(folder: Path) -> None:
    schema = pyarrow.parquet.read_schema(folder / "detections.parquet")
    text, number = pa.string(), pa.float64()
    assert {field.name: field.type for field in schema} == {
        **{"image": text, "well": text, "field": text, "class": text},
        **{"y": number, "x": number, "y_um": number, "x_um": number, "height": number, "width": number},
        **{"confidence": number, "model": text},
    }
    units = {field.name: field.metadata[b"unit"].decode() for field in schema if b"unit" in (field.metadata or {})}
    assert units == {
        **dict.fromkeys(("y", "x", "height", "width"), "pixel at level 0"),
        **dict.fromkeys(("y_um", "x_um"), "micrometer"),
        "model": "sha256 of the model file",
    }
    assert list(rows_of(folder / "detections.csv")[0]) == schema.names


def test_detections_are_sorted_and_each_image_is_a_row_group(folder: Path) -> None:
    file = pyarrow.parquet.ParquetFile(folder / "detections.parquet")
    groups = [file.read_row_group(i).to_pylist() for i in range(file.num_row_groups)]
    assert [{row["image"] for row in group} for group in groups] == [{FIELD}, {FIELD_1}, {"slide"}]
    assert read_peaks(folder / "detections.parquet") == SORTED
    in_csv = [
        (row["image"], row["class"], float(row["y"]), float(row["x"])) for row in rows_of(folder / "detections.csv")
    ]
    assert in_csv == [(peak.image, peak.class_name, peak.y, peak.x) for peak in SORTED]


def test_an_image_can_be_read_without_the_others(folder: Path) -> None:
    path = folder / "detections.parquet"
    file = pyarrow.parquet.ParquetFile(path)
    names = [file.metadata.row_group(i).column(0).statistics for i in range(file.num_row_groups)]
    assert [(each.min, each.max) for each in names] == [(name, name) for name in (FIELD, FIELD_1, "slide")]
    content = bytearray(path.read_bytes())
    first = file.metadata.row_group(0)
    starts = [first.column(i).dictionary_page_offset or first.column(i).data_page_offset for i in range(12)]
    content[min(starts) : min(starts) + first.total_byte_size // 2] = b"\xff" * (first.total_byte_size // 2)
    path.write_bytes(content)  # the first image cannot be read any more
    with pytest.raises(OSError, match=r"page header|Thrift|decompress"):
        pyarrow.parquet.read_table(path)
    table = pyarrow.parquet.read_table(path, filters=[("image", "==", "slide")])
    assert len(table) == 5
    with pytest.raises(AnnotationError, match="expected a Parquet table of peaks"):
        list(read_detections(path))


def test_images_of_many_rows_come_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(PEAKS, tmp_path)
    whole = (tmp_path / "detections.csv").read_bytes()
    monkeypatch.setattr(peak_table, "_GROUP_ROWS", 2)
    write(PEAKS, tmp_path)
    assert pyarrow.parquet.ParquetFile(tmp_path / "detections.parquet").num_row_groups == 5
    assert (tmp_path / "detections.csv").read_bytes() == whole
    found = list(read_detections(tmp_path / "detections.parquet"))
    assert [here.image for here in found] == [FIELD, FIELD_1, "slide"]
    assert [peak for here in found for peak in here] == SORTED
    write_chosen_rows(tmp_path / "detections.parquet", np.arange(7) == 5, tmp_path / "objects.csv")
    assert rows_of(tmp_path / "objects.csv") == [rows_of(tmp_path / "detections.csv")[5]]


def test_row_groups_of_several_images_are_refused(folder: Path) -> None:
    path = folder / "detections.parquet"
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path), path)
    with pytest.raises(AnnotationError, match=rf"got rows of several images together \({FIELD}, {FIELD_1}, slide\)"):
        list(read_detections(path))


def test_tables_stay_whole_when_there_is_an_error(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KeyError):
        write_detections(
            peak_columns([PEAKS[0], Peak("unknown", "a", 1.0, 1.0, (48.0, 32.0), 0.5)]), IMAGES, "", folder
        )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_wells_and_fields_are_those_of_plates(folder: Path) -> None:
    rows = pyarrow.parquet.read_table(folder / "detections.parquet").to_pylist()
    assert {(row["image"], row["well"], row["field"]) for row in rows} == {
        (FIELD, "B03", "0"),
        (FIELD_1, "B03", "1"),
        ("slide", None, None),
    }
    assert {row["model"] for row in rows} == {MODEL}
    assert rows_of(folder / "detections.csv")[-1]["well"] == ""


def test_micrometres_start_at_the_origin_of_the_image(folder: Path) -> None:
    rows = pyarrow.parquet.read_table(folder / "detections.parquet").to_pylist()
    found = {(row["image"], row["y"], row["x"]): (row["y_um"], row["x_um"]) for row in rows}
    assert found["slide", 10.5, 20.25] == (100 + 10.5 * 0.5, 200 + 20.25 * 0.25)
    assert found[FIELD_1, 1.0, 2.0] == (2.0, 4.0)
    assert found[FIELD, 5.0, 6.0] == (None, None)


@pytest.mark.parametrize("peaks", [PEAKS, []])
def test_both_kinds_of_tables_come_back(tmp_path: Path, peaks: Sequence[Peak]) -> None:
    write_peaks(peaks, IMAGES, tmp_path)
    write(peaks, tmp_path)
    assert read_peaks(tmp_path / "peaks.parquet") == (SORTED if peaks else [])
    assert read_peaks(tmp_path / "detections.parquet") == (SORTED if peaks else [])
    assert pyarrow.parquet.read_schema(tmp_path / "peaks.parquet").names == PEAK_SCHEMA.names
    assert (tmp_path / "detections.csv").read_text().splitlines()[0].replace('"', "").split(
        ","
    ) == DETECTION_SCHEMA.names


def test_tables_replace_others_and_leave_nothing_beside_them(folder: Path) -> None:
    write(PEAKS[:1], folder)
    assert read_peaks(folder / "detections.parquet") == PEAKS[:1]
    assert {path.name for path in folder.iterdir()} == {"detections.parquet", "detections.csv"}


def test_the_same_detections_in_any_order_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write(PEAKS[::-1], tmp_path / "other")
    for name in ("detections.parquet", "detections.csv"):
        assert (tmp_path / "other" / name).read_bytes() == (folder / name).read_bytes()


def test_some_rows_can_be_chosen(folder: Path) -> None:
    write_chosen_rows(folder / "detections.parquet", np.isin(np.arange(7), (0, 3, 6)), folder / "objects.csv")
    every, chosen = rows_of(folder / "detections.csv"), rows_of(folder / "objects.csv")
    assert chosen == [every[0], every[3], every[6]]
    write_chosen_rows(folder / "detections.parquet", np.zeros(7, bool), folder / "objects.csv")
    header, *rows = (folder / "objects.csv").read_text().splitlines()
    assert header == (folder / "detections.csv").read_text().splitlines()[0]
    assert rows == []


def test_what_is_no_table_of_peaks_is_refused(folder: Path) -> None:
    (folder / "text.parquet").write_text("image,class,y,x\n")
    (folder / "torn.parquet").write_bytes((folder / "detections.parquet").read_bytes()[:-30])
    pyarrow.parquet.write_table(pa.table({"image": ["a"], "area": [3.0]}), folder / "other.parquet")
    pyarrow.parquet.write_table(pa.table({"confidence": ["high"]}), folder / "strange.parquet")
    for name in ("text.parquet", "torn.parquet", "other.parquet", "strange.parquet", "missing.parquet"):
        with pytest.raises(AnnotationError, match=rf"{name}: expected a Parquet table of peaks, got .*: search again"):
            read_peaks(folder / name)


def test_detections_that_are_gone_or_written_anew_are_to_be_detected_again(folder: Path) -> None:
    path = folder / "detections.parquet"
    table = pyarrow.parquet.read_table(path)
    many = pa.chunked_array([[f"image {i}" for i in range(len(table))]])
    pyarrow.parquet.write_table(table.set_column(0, "image", many), path)
    words = "got rows of several images together (image 0, image 1, image 2 and 4 more), as other programs write them"
    with pytest.raises(AnnotationError, match=rf"{re.escape(words)}: detect again"):
        list(read_detections(path))
    path.unlink()
    for read in (read_peaks, lambda gone: list(read_detections(gone))):
        with pytest.raises(AnnotationError, match="got no file: detect again"):
            read(path)


@pytest.mark.parametrize("column", ["y", "class", "width"])
def test_a_table_without_a_column_is_refused(folder: Path, column: str) -> None:
    table = pyarrow.parquet.read_table(folder / "detections.parquet").drop_columns([column])
    pyarrow.parquet.write_table(table, folder / "less.parquet")
    with pytest.raises(AnnotationError, match=rf"less\.parquet: .*no column {column}"):
        read_peaks(folder / "less.parquet")
