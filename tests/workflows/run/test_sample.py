"""A person judges a sample of what was detected; the command says what that tells of all of it."""

from __future__ import annotations

import csv
import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from simsearch.cli import main
from simsearch.core.peaks import Peak, peak_columns
from simsearch.errors import AnnotationError, ConfigError, StoreError
from simsearch.io.tables.frames import peak_frame
from simsearch.io.tables.peaks import write_detections
from simsearch.workflows.run.objects import rethreshold, write_objects
from simsearch.workflows.run.sample import SAMPLE_NAME, judge_sample, sample_results

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage

MODEL = "ab" * 32
SIDE, STEP = 400, 20
CLASSES = {"round": 0.5, "long": 0.5}

draw = partial(sample_results, pictures=False)


def is_right(row: dict[str, str]) -> bool:
    """Tell what is planted: of what is found with a confidence of at least 0.7, all is right."""
    return float(row["confidence"]) >= 0.7


@pytest.fixture
def results(save_image: SaveImage, tmp_path: Path) -> Path:
    """Write what a detection of two classes in two images writes."""
    rng = np.random.default_rng(0)
    images = [
        save_image(tmp_path / f"{name}.ome.zarr", rng.integers(0, 255, (1, SIDE, SIDE), np.uint8)) for name in "ab"
    ]
    peaks = [
        Peak(image.name, name, float(y), float(x), (16.0, 16.0), float(rng.uniform(0.06, 1)))
        for image in images
        for name, first in (("round", 10), ("long", 20))
        for y in range(first, SIDE - 10, STEP)
        for x in range(first, SIDE - 10, STEP)
    ]
    folder = tmp_path / "found"
    folder.mkdir()
    write_detections(peak_columns(peaks), {image.name: image for image in images}, MODEL, folder)
    write_objects(folder, CLASSES, [], [image.path for image in images], MODEL)
    run = {
        "workflow": "detect",
        "run": "x",
        "model": f"/models/model.safetensors@{MODEL}",
        "options": {"floor": 0.05},
        "plates": [],
        "confidence_thresholds": CLASSES,
        "images": [image.path for image in images],
        "report": {"n_objects": {}},
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / SAMPLE_NAME).open(newline="") as file:
        return list(csv.DictReader(file))


def answer(folder: Path, delimiter: str = ",", **words: str) -> None:
    """Say yes or no to all places, as a spreadsheet saves it."""
    rows = rows_of(folder)
    for row in rows:
        row["right"] = words.get("yes", "yes") if is_right(row) else words.get("no", "no")
    save(folder, rows, delimiter)


def save(folder: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    with (folder / SAMPLE_NAME).open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)


def test_half_of_the_sample_of_a_class_are_its_objects(results: Path) -> None:
    report = draw(results, n=20)
    rows = rows_of(results)
    assert len(rows) == 40
    assert [each.n_open for each in report.classes] == [20, 20]
    for name in CLASSES:
        own = [float(row["confidence"]) for row in rows if row["class"] == name]
        assert sum(confidence >= 0.5 for confidence in own) == 10
    assert {row["image"] for row in rows} == {"a", "b"}


def test_what_is_judged_tells_of_all(results: Path) -> None:
    draw(results, n=60)
    answer(results)
    report = draw(results, n=60)
    for each in report.classes:
        frame = peak_frame(results / "detections.parquet")
        confidences = frame.loc[frame["class"] == each.class_name, "confidence"]
        n_right, n_found = (confidences >= 0.7).sum(), (confidences >= 0.5).sum()
        told = each.estimate
        assert told.n_found == n_found
        assert told.precision.low <= n_right / n_found <= told.precision.high
        assert told.total.low <= n_right <= told.total.high
        assert told.recall.value == 1.0
    table = report.estimates()
    assert set(table["class"]) == set(CLASSES)
    at_seven = table[(table["class"] == "round") & (table["threshold"] == 0.7)]
    assert at_seven["precision"].item() == 1.0


def test_a_spreadsheet_of_another_country_is_understood(results: Path) -> None:
    draw(results, n=6)
    answer(results, delimiter=";", yes="WAHR", no="Nein")
    assert [each.n_open for each in draw(results, n=6).classes] == [0, 0]


def test_more_places_leave_the_answers(results: Path) -> None:
    draw(results, n=6)
    answer(results)
    before = rows_of(results)
    report = draw(results, n=10)
    assert rows_of(results)[: len(before)] == before
    assert [(each.estimate.n_judged, each.n_open) for each in report.classes] == [(6, 4), (6, 4)]


def test_the_same_seed_draws_the_same(results: Path) -> None:
    draw(results, n=10, seed=3)
    first = rows_of(results)
    (results / SAMPLE_NAME).unlink()
    draw(results, n=10, seed=3)
    assert rows_of(results) == first


def test_another_threshold_asks_nothing_again(results: Path) -> None:
    draw(results, n=40)
    answer(results)
    rethreshold(results, {"round": 0.7})
    told = draw(results, n=40).classes[0]
    assert (told.threshold, told.n_open, told.estimate.precision.value) == (0.7, 0, 1.0)


def test_places_are_drawn_with_their_numbers(results: Path) -> None:
    sample_results(results, n=4)
    with Image.open(results / "sample" / "round.png") as sheet:
        assert sheet.width > 4 * 160


def test_images_that_are_gone_leave_the_sample(results: Path) -> None:
    for path in results.parent.glob("*.ome.zarr"):
        path.rename(path.with_suffix(".gone"))
    report = sample_results(results, n=4)
    assert len(rows_of(results)) == 8
    assert any("not drawn" in note for note in report.notes)


def test_an_answer_that_is_none_names_its_row(results: Path) -> None:
    draw(results, n=4)
    answer(results, yes="perhaps", no="perhaps")
    with pytest.raises(AnnotationError, match=r"sample.csv, row 2, column right: expected yes or no.*got 'perhaps'"):
        draw(results, n=4)


def test_a_sample_of_another_model_is_refused(results: Path) -> None:
    draw(results, n=4)
    path = results / SAMPLE_NAME
    path.write_text(path.read_text().replace(MODEL, "cd" * 32))
    with pytest.raises(AnnotationError, match="of other results, move the file"):
        draw(results, n=4)


def test_places_that_were_moved_are_named_and_not_counted(results: Path) -> None:
    draw(results, n=4)
    rows = rows_of(results)
    rows[0]["y"] = "3.5"
    save(results, rows)
    assert any("1 of the sample" in note for note in draw(results, n=4).notes)


def test_an_unknown_class_and_no_places_are_refused(results: Path) -> None:
    with pytest.raises(ConfigError, match="expected a class out of round, long, got 'square'"):
        draw(results, classes=["square"])
    with pytest.raises(ConfigError, match="at least 1 place"):
        draw(results, n=0)
    with pytest.raises(ConfigError, match="seed: expected"):
        draw(results, seed=-1)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected results of `simsearch detect`"):
        draw(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_says_how_to_go_on_and_then_how_right_it_is(results: Path) -> None:
    first = CliRunner().invoke(main, ["sample", str(results), "--n", "8", "--class", "round", "--no-pictures"])
    assert first.exit_code == 0, first.output
    assert "Write yes or no into the column right" in first.output
    assert "not known" in first.output
    answer(results)
    second = CliRunner().invoke(main, ["sample", str(results), "--n", "8", "--class", "round", "--no-pictures"])
    assert "8 of 8" in second.output
    assert "%" in second.output
    assert "rite yes" not in second.output


def test_a_place_that_stands_twice_and_an_unknown_class_are_refused(results: Path) -> None:
    draw(results, n=4)
    answer(results)
    rows = rows_of(results)
    save(results, [*rows, {**rows[0], "right": "no" if is_right(rows[0]) else "yes"}])
    with pytest.raises(AnnotationError, match=r"expected each place once, got .* twice: remove one"):
        draw(results, n=4)
    save(results, [{**row, "class": row["class"].title()} for row in rows])
    with pytest.raises(AnnotationError, match="expected classes out of round, long, got"):
        draw(results, n=4)


def test_an_answer_names_its_place_whatever_the_order_of_rows(results: Path) -> None:
    places = draw(results, n=4).places
    save(results, rows_of(results)[::-1])
    first = (places[0].image, places[0].class_name, places[0].y, places[0].x)
    report = judge_sample(results, {first: True})
    assert [each.is_right for each in report.places] == [None] * 7 + [True]
    with pytest.raises(ConfigError, match="expected a place of the sample"):
        judge_sample(results, {("a", "round", 1.0, 2.0): True})


def test_it_says_how_many_places_are_left(results: Path) -> None:
    n_all = sum(each.n_left + 4 for each in draw(results, n=4).classes)
    assert [each.n_left for each in draw(results, n=n_all).classes] == [0, 0]
