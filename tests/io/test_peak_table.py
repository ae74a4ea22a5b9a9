"""Tables of peaks and of detections."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet
import pytest

from simsearch.core.peaks import Peak
from simsearch.errors import AnnotationError
from simsearch.io.image import ImageMeta, Level
from simsearch.io.peak_table import (
    DETECTION_SCHEMA,
    PEAK_SCHEMA,
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the detections."""
    write_detections(PEAKS, IMAGES, MODEL, tmp_path)
    return tmp_path


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
    write_detections(peaks, IMAGES, MODEL, tmp_path)
    assert read_peaks(tmp_path / "peaks.parquet") == (SORTED if peaks else [])
    assert read_peaks(tmp_path / "detections.parquet") == (SORTED if peaks else [])
    assert pyarrow.parquet.read_schema(tmp_path / "peaks.parquet").names == PEAK_SCHEMA.names
    assert (tmp_path / "detections.csv").read_text().splitlines()[0].replace('"', "").split(
        ","
    ) == DETECTION_SCHEMA.names


def test_tables_replace_others_and_leave_nothing_beside_them(folder: Path) -> None:
    write_detections(PEAKS[:1], IMAGES, MODEL, folder)
    assert read_peaks(folder / "detections.parquet") == PEAKS[:1]
    assert {path.name for path in folder.iterdir()} == {"detections.parquet", "detections.csv"}


def test_the_same_detections_in_any_order_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write_detections(PEAKS[::-1], dict(reversed(IMAGES.items())), MODEL, tmp_path / "other")
    for name in ("detections.parquet", "detections.csv"):
        assert (tmp_path / "other" / name).read_bytes() == (folder / name).read_bytes()


def test_some_rows_can_be_chosen(folder: Path) -> None:
    write_chosen_rows(folder / "detections.parquet", [0, 3, 6], folder / "objects.csv")
    every, chosen = rows_of(folder / "detections.csv"), rows_of(folder / "objects.csv")
    assert chosen == [every[0], every[3], every[6]]
    write_chosen_rows(folder / "detections.parquet", [], folder / "objects.csv")
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


@pytest.mark.parametrize("column", ["y", "class", "width"])
def test_a_table_without_a_column_is_refused(folder: Path, column: str) -> None:
    table = pyarrow.parquet.read_table(folder / "detections.parquet").drop_columns([column])
    pyarrow.parquet.write_table(table, folder / "less.parquet")
    with pytest.raises(AnnotationError, match=rf"less\.parquet: .*no column {column}"):
        read_peaks(folder / "less.parquet")
