"""What a detection found is sorted, filtered and taken a page at a time, as its files have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.peaks import Peak, object_mask, peak_columns
from simsearch.errors import AnnotationError
from simsearch.io.tables.peaks import write_detections
from simsearch.workflows.run.found_objects import FoundObjects, Wanted, read_found

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage

THRESHOLDS = {"nucleus": 0.5, "cytoplasm": 0.6}


def peak(image: str, class_name: str, x: float, confidence: float) -> Peak:
    return Peak(image, class_name, 30.0, x, (40.0, 20.0), confidence)


PEAKS = [
    peak("P1/B/03/0", "nucleus", 100, 0.9),
    peak("P1/B/03/0", "cytoplasm", 104, 0.7),  # competes with the nucleus, and loses
    peak("P1/B/03/0", "cytoplasm", 300, 0.4),  # nearly
    peak("P1/B/03/1", "nucleus", 100, 0.2),  # not even that
    peak("P1/B/04/0", "nucleus", 200, 0.55),
    peak("P1/B/04/0", "cytoplasm", 204, 0.58),  # nearly, but an object of another class is there
    peak("slide 10", "nucleus", 50, 0.6),
    peak("slide 10", "cytoplasm", 150, 0.8),
]


@pytest.fixture
def found(tmp_path: Path, save_image: SaveImage) -> FoundObjects:
    """Write a table and read what it has."""
    image = save_image(tmp_path / "slide.ome.zarr", np.zeros((1, 64, 64), np.uint8))
    images = {name: replace(image, name=name) for name in dict.fromkeys(each.image for each in PEAKS)}
    write_detections(peak_columns(PEAKS), images, "ab" * 32, tmp_path)
    return read_found(tmp_path, THRESHOLDS)


def listed(found: FoundObjects, wanted: Wanted) -> list[tuple[str, str, float]]:
    return [(each.image, each.class_name, round(each.confidence, 2)) for each in found.take(found.rows(wanted))]


def test_objects_are_those_of_the_tables(found: FoundObjects) -> None:
    assert listed(found, Wanted()) == [
        ("P1/B/03/0", "nucleus", 0.9),
        ("P1/B/04/0", "nucleus", 0.55),
        ("slide 10", "cytoplasm", 0.8),
        ("slide 10", "nucleus", 0.6),
    ]
    assert {name: len(peaks) for name, peaks in found.by_class.items()} == {"nucleus": 3, "cytoplasm": 1}
    assert found.by_class["nucleus"].score.tolist() == pytest.approx([0.9, 0.6, 0.55])
    assert found.patch_shapes == {"nucleus": (40, 20), "cytoplasm": (40, 20)}


def test_random_peaks_give_the_same_objects_as_files_have(tmp_path: Path, save_image: SaveImage) -> None:
    rng = np.random.default_rng(0)
    names, scores = rng.choice(["nucleus", "cytoplasm"], 500), np.round(rng.uniform(0.05, 1, 500), 2)  # with equal ones
    peaks = [
        Peak("slide", str(name), *rng.uniform(0, 300, 2), (40.0, 20.0), score)
        for name, score in zip(names, scores, strict=True)
    ]
    image = save_image(tmp_path / "slide.ome.zarr", np.zeros((1, 300, 300), np.uint8))
    write_detections(peak_columns(peaks), {"slide": image}, "ab" * 32, tmp_path)
    ordered = peak_columns(peaks)[0].in_order()
    expected = ordered.take(object_mask(ordered, THRESHOLDS))
    rows = read_found(tmp_path, THRESHOLDS)
    assert np.array_equal(rows.x[rows.is_object], expected.x.astype(np.float32))


def test_what_nearly_reaches_the_threshold_takes_no_objects_place(found: FoundObjects) -> None:
    all_of_them = listed(found, Wanted(has_nearly=True, order="doubt"))
    assert all_of_them[0] == ("P1/B/04/0", "nucleus", 0.55)
    assert ("P1/B/03/0", "cytoplasm", 0.4) in all_of_them
    assert len(all_of_them) == 5


def test_they_are_filtered_by_class_place_and_confidence(found: FoundObjects) -> None:
    assert len(listed(found, Wanted(class_name="nucleus"))) == 3
    assert listed(found, Wanted(class_name="unknown")) == []
    assert listed(found, Wanted(within="P1/B/04/")) == [("P1/B/04/0", "nucleus", 0.55)]
    assert listed(found, Wanted(within="slide 1")) == []  # a whole name
    assert len(listed(found, Wanted(find="LIDE 1"))) == 2
    assert len(listed(found, Wanted(find="b03"))) == 1
    assert len(listed(found, Wanted(least=0.58, most=0.85))) == 2


def test_they_are_sorted_by_any_column_up_and_down(found: FoundObjects) -> None:
    sure = [confidence for _, _, confidence in listed(found, Wanted(order="confidence", is_descending=True))]
    assert sure == [0.9, 0.8, 0.6, 0.55]
    assert [name for _, name, _ in listed(found, Wanted(order="class"))] == ["cytoplasm", *["nucleus"] * 3]
    assert listed(found, Wanted(order="image", is_descending=True))[0][0] == "slide 10"
    columns = [each.x for each in found.take(found.rows(Wanted(order="column")))]
    assert columns == [50, 100, 150, 200]
    assert found.take(found.rows(Wanted(order="row")))[0].well == "B03"


def test_two_runs_refer_to_the_same_images(found: FoundObjects) -> None:
    over = found.over(("a", *found.images))
    assert listed(over, Wanted()) == listed(found, Wanted())
    assert over.by_class["cytoplasm"].image.tolist() == [4]


def test_a_run_that_found_nothing_has_no_rows(tmp_path: Path) -> None:
    write_detections([], {}, "ab" * 32, tmp_path)
    nothing = read_found(tmp_path, THRESHOLDS)
    assert (len(nothing), nothing.by_class, nothing.rows(Wanted(find="x", order="doubt")).size) == (0, {}, 0)
    (tmp_path / "detections.parquet").unlink()
    with pytest.raises(AnnotationError, match="expected a Parquet table"):
        read_found(tmp_path, THRESHOLDS)
