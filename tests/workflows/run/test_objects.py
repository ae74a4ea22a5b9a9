"""Other thresholds give other objects, without a look at the images."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet
import pytest
import zarr
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.core.peaks import Peak, peak_columns
from simsearch.errors import AnnotationError, ConfigError, SourceError, StoreError
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.ome_zarr.plates.hierarchy import write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.tables.peaks import write_detections
from simsearch.io.tables.records.results_folder import only_writer
from simsearch.workflows.find.tiles import check_free
from simsearch.workflows.run import objects, plate_report
from simsearch.workflows.run.image_counts import read_image_counts
from simsearch.workflows.run.objects import RESULT_NAMES, chosen_before, rethreshold, write_objects
from simsearch.workflows.run.reports import read_report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage

MODEL = "ab" * 32
KNOWN = {"nucleus": 0.5, "cytoplasm": 0.5}
FLOOR = 0.05
DOSES = [0, 1, 2, 4, 8, 16]
FIELDS = [f"P1/A/{i + 1:02d}/0" for i in range(len(DOSES))]


def peak(image: str, class_name: str, x: float, confidence: float) -> Peak:
    return Peak(image, class_name, 30.0, x, (40.0, 40.0), confidence)


PEAKS = [
    peak("slide", "nucleus", 100, 0.9),
    peak("slide", "cytoplasm", 105, 0.7),  # competes with the nucleus, and loses
    peak("slide", "cytoplasm", 300, 0.3),
    peak("other", "nucleus", 100, 0.6),
    *(peak(field, "nucleus", 100 * (k + 1), 0.8) for i, field in enumerate(FIELDS) for k in range(i + 1)),
    *(peak(field, "cytoplasm", 50 + 100 * k, 0.55) for i, field in enumerate(FIELDS) for k in range(6 - i)),
]


@pytest.fixture(scope="module")
def original(save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what a detection in two images and a plate writes, then delete all images."""
    root = tmp_path_factory.mktemp("detected")
    plate, results = root / "P1.ome.zarr", root / "results"
    wells = {Well(0, i): ["0"] for i in range(len(DOSES))}
    zarr.create_group(plate, zarr_format=3)
    pixels = np.zeros((1, 8, 8), np.uint8)
    images = [save_image(plate / well.path / "0", pixels, pixel_size_um=(0.5, 0.5)) for well in wells]
    images += [save_image(root / f"{name}.ome.zarr", pixels) for name in ("slide", "other", "empty")]
    plate_map = [{"well": well.name, "drug": "a", "dose": dose} for well, dose in zip(wells, DOSES, strict=True)]
    write_plate(str(plate), wells, name="P1", version="0.5", provenance={"plate_map": plate_map})
    results.mkdir()
    detections = sorted(peak_columns(PEAKS), key=lambda here: here.image)
    write_detections(detections, {image.name: image for image in images}, MODEL, results)
    write_objects(results, KNOWN, [str(plate)], [image.path for image in images], MODEL)
    run = {
        "workflow": "detect",
        "model": f"/models/model.safetensors@{MODEL}",
        "options": {"floor": FLOOR, "tile": None},
        "plates": [str(plate)],
        "confidence_thresholds": KNOWN,
        "images": [image.path for image in images],
        "report": {"n_objects": {}},
    }
    (results / "run.json").write_text(json.dumps(run))
    for image in images:
        shutil.rmtree(image.path)
        with pytest.raises(SourceError):
            describe_image(image.path)
    return results


@pytest.fixture
def results(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the results, and write what pictures would show, as drawing takes long."""
    monkeypatch.setattr(
        plate_report, "draw_heat_maps", lambda values, title, path, crossed: path.write_text(repr((values, title)))
    )
    monkeypatch.setattr(
        plate_report, "draw_dose_response", lambda panels, path, aside: path.write_text(repr((panels, aside)))
    )
    return shutil.copytree(original, tmp_path / "results")


def objects_in(folder: Path) -> list[tuple[str, str, float]]:
    """List image, class and x of the objects in the table."""
    with (folder / "objects.csv").open(newline="") as file:
        return [(row["image"], row["class"], float(row["x"])) for row in csv.DictReader(file)]


def geojson_in(folder: Path) -> dict[str, list[str]]:
    """List the classes in the GeoJSON file of each image."""
    files = sorted((folder / "geojson").rglob("*.geojson"))
    return {
        str(path.relative_to(folder / "geojson").with_suffix("")): sorted(
            feature["properties"]["classification"]["name"] for feature in json.loads(path.read_text())["features"]
        )
        for path in files
    }


def counts_in(folder: Path, class_name: str) -> list[int]:
    """Count the objects of a class in each well, as the plate report says."""
    with (folder / "plates" / "P1" / "wells.csv").open(newline="") as file:
        return [int(row[f"count {class_name}"]) for row in csv.DictReader(file)]


def content_of(folder: Path) -> dict[str, bytes]:
    """Read all that is in a folder but for its lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def thresholds_in(folder: Path) -> dict[str, float]:
    thresholds: dict[str, float] = json.loads((folder / "run.json").read_text())["confidence_thresholds"]
    return thresholds


def test_each_place_is_an_object_of_its_most_probable_class(original: Path) -> None:
    found = objects_in(original)
    assert [each for each in found if each[0] == "slide"] == [("slide", "nucleus", 100)]
    assert [each for each in found if each[0] == "other"] == [("other", "nucleus", 100)]
    assert geojson_in(original)["slide"] == ["nucleus"]
    assert set(geojson_in(original)) == {"slide", "other", *FIELDS}
    assert counts_in(original, "nucleus") == [1, 2, 3, 4, 5, 6]
    assert counts_in(original, "cytoplasm") == [6, 5, 4, 3, 2, 1]


def test_objects_are_rows_of_the_detections_in_their_order(original: Path) -> None:
    every = [
        (row["image"], row["class"], row["x"])
        for row in pyarrow.parquet.read_table(original / "detections.parquet").to_pylist()
    ]
    found = objects_in(original)
    assert [each for each in every if each in found] == found
    with (original / "objects.csv").open() as file, (original / "detections.csv").open() as detections:
        assert next(file) == next(detections)
        assert set(file) < set(detections)


def test_a_lower_threshold_adds_objects_without_images(results: Path) -> None:
    before = objects_in(results)
    report = rethreshold(results, {"cytoplasm": 0.2})
    added = set(objects_in(results)) - set(before)
    assert added == {("slide", "cytoplasm", 300)}
    assert set(before) < set(objects_in(results))
    assert geojson_in(results)["slide"] == ["cytoplasm", "nucleus"]
    assert report.confidence_thresholds == {"nucleus": 0.5, "cytoplasm": 0.2} == thresholds_in(results)
    assert report.n_objects == {"nucleus": 23, "cytoplasm": 22}


def images_in(folder: Path) -> dict[str, list[str]]:
    """Read what the table of images says of each image."""
    with (folder / "images.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["image", "count nucleus", "fraction nucleus", "count cytoplasm", "fraction cytoplasm"]
    return {name: row for name, *row in rows}


def test_objects_of_each_image_are_counted_and_follow_thresholds(results: Path) -> None:
    counts = images_in(results)
    assert list(counts) == [*FIELDS, "empty", "other", "slide"]
    assert counts["slide"] == ["1", "1.000000", "0", "0.000000"]
    assert counts["empty"] == ["0", "", "0", ""]  # nothing was detected there at any confidence
    assert [row[::2] for row in counts.values()][:6] == [[str(i + 1), str(6 - i)] for i in range(6)]
    report = rethreshold(results, {"cytoplasm": 0.2})
    assert images_in(results)["slide"] == ["1", "0.500000", "1", "0.500000"]
    table = report.image_counts()
    assert table["count cytoplasm"].sum() == report.n_objects["cytoplasm"]
    every = {each.image: each.counts for each in read_image_counts(results / "images.csv", list(KNOWN))}
    assert every["empty"] == {"nucleus": 0, "cytoplasm": 0}


def shares_in(folder: Path, class_name: str) -> list[str]:
    """Read the share of a class in each well."""
    with (folder / "plates/P1/wells.csv").open(newline="") as file:
        return [row[f"fraction {class_name}"] for row in csv.DictReader(file)]


def test_objects_of_a_class_aside_do_not_count_in_shares_of_others(results: Path) -> None:
    assert shares_in(results, "nucleus")[0] == f"{1 / 7:.6f}"
    report = rethreshold(results, {}, aside=["cytoplasm"])
    assert report.aside == ("cytoplasm",)
    assert shares_in(results, "nucleus") == ["1.000000"] * 6
    assert shares_in(results, "cytoplasm")[0] == f"{6 / 7:.6f}"  # its own share is in all objects
    assert images_in(results)[FIELDS[0]] == ["1", "1.000000", "6", f"{6 / 7:.6f}"]
    assert "nucleus: fraction of objects but cytoplasm" in (results / "plates/P1/heat_maps.png").read_text()
    assert "cytoplasm: fraction of objects'" in (results / "plates/P1/heat_maps.png").read_text()
    assert json.loads((results / "run.json").read_text())["aside"] == ["cytoplasm"]
    rethreshold(results, {"cytoplasm": 0.5})
    assert shares_in(results, "nucleus") == ["1.000000"] * 6  # it stays aside


def test_the_command_sets_classes_aside_and_counts_them_again(results: Path) -> None:
    before = content_of(results)
    words = ["rethreshold", str(results), "--aside"]
    assert CliRunner().invoke(main, [*words, "cytoplasm"]).exit_code == 0
    assert shares_in(results, "nucleus") == ["1.000000"] * 6
    assert CliRunner().invoke(main, [*words, ""]).exit_code == 0
    after = content_of(results)
    assert all(after[name] == before[name] for name in before if name.endswith(".csv"))


def test_a_well_in_which_nothing_counts_has_no_share(results: Path) -> None:
    report = rethreshold(results, {"nucleus": 0.9}, aside=["cytoplasm"])
    assert shares_in(results, "nucleus") == [""] * 6
    assert "P1: a: wells without objects but cytoplasm are left out: A01, A02, A03, A04, A05 and 1 more" in report.notes


def test_a_class_aside_must_be_known_and_others_must_count(results: Path) -> None:
    with pytest.raises(ConfigError, match="expected a class out of nucleus, cytoplasm, got 'debris': correct the name"):
        rethreshold(results, {}, aside=["debris"])
    with pytest.raises(ConfigError, match=r"expected a class that counts, got all aside \(nucleus, cytoplasm\)"):
        rethreshold(results, {}, aside=["nucleus", "cytoplasm"])


def test_a_higher_threshold_takes_objects_away_everywhere(results: Path) -> None:
    report = rethreshold(results, {"cytoplasm": 0.75})
    assert {class_name for _, class_name, _ in objects_in(results)} == {"nucleus"}
    assert counts_in(results, "cytoplasm") == [0] * 6
    assert counts_in(results, "nucleus") == [1, 2, 3, 4, 5, 6]
    assert geojson_in(results)[FIELDS[0]] == ["nucleus"]
    assert report.n_objects == {"nucleus": 23, "cytoplasm": 0}


def test_heat_maps_and_dose_response_follow(original: Path, tmp_path: Path) -> None:
    results = shutil.copytree(original, tmp_path / "results")
    rethreshold(results, {"cytoplasm": 0.75})
    pictures = [f"{name}.{kind}" for name in ("heat_maps", "dose_response") for kind in ("png", "svg")]
    for name in ("wells.csv", "wells.zarr/count/0.0.0", "dose_response.csv", *pictures):
        path = f"plates/P1/{name}"
        assert (results / path).read_bytes() != (original / path).read_bytes()


def test_thresholds_of_other_classes_stay(results: Path) -> None:
    rethreshold(results, {"nucleus": 0.7})
    rethreshold(results, {"cytoplasm": 0.3})
    assert thresholds_in(results) == {"nucleus": 0.7, "cytoplasm": 0.3}
    assert geojson_in(results)["slide"] == ["cytoplasm", "nucleus"]
    assert "other" not in geojson_in(results)
    assert json.loads((results / "run.json").read_text())["options"] == {"floor": FLOOR, "tile": None}


def test_there_and_back_changes_nothing(results: Path) -> None:
    rethreshold(results, {})  # run.json as it is written here
    before = content_of(results)
    rethreshold(results, {"nucleus": 0.95, "cytoplasm": 0.95})
    assert content_of(results) != before
    rethreshold(results, KNOWN)
    assert content_of(results) == before


def test_images_without_objects_have_no_geojson(results: Path) -> None:
    (results / "geojson" / "gone.geojson").write_text("{}")  # of an image that was not looked at again
    rethreshold(results, {"nucleus": 0.7})
    assert set(geojson_in(results)) == {"slide", *FIELDS}


def test_without_any_object_tables_are_empty_and_nothing_of_before_stays(results: Path) -> None:
    assert (results / "plates" / "P1" / "dose_response.csv").exists()
    report = rethreshold(results, dict.fromkeys(KNOWN, 1.0))
    assert report.n_objects == {"nucleus": 0, "cytoplasm": 0}
    assert objects_in(results) == []
    assert (results / "objects.csv").read_text().startswith('"image",')
    assert not list((results / "geojson").rglob("*.geojson"))
    assert counts_in(results, "nucleus") == [0] * 6
    left = {path.name for path in (results / "plates" / "P1").iterdir()}
    assert left == {"wells.csv", "wells.zarr", "heat_maps.png"}  # what stands in for the picture makes no SVG


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"mitosis": 0.5}, "expected a class out of nucleus, cytoplasm, got 'mitosis'"),
        ({"nucleus": 0.9, "mitosis": 0.5}, "got 'mitosis'"),
        ({"nucleus": 0.04}, r"class nucleus: expected a confidence from 0\.05, .* got 0\.04: .* lower --floor"),
        ({"nucleus": 1.01}, r"to 1, got 1\.01"),
        ({"nucleus": float("nan")}, "got nan"),
    ],
)
def test_thresholds_that_make_no_sense_change_nothing(
    results: Path, thresholds: dict[str, float], message: str
) -> None:
    before = content_of(results)
    with pytest.raises(ConfigError, match=message):
        rethreshold(results, thresholds)
    assert content_of(results) == before


def test_the_floor_itself_is_a_threshold(results: Path) -> None:
    rethreshold(results, {"cytoplasm": FLOOR})
    assert ("slide", "cytoplasm", 300) in objects_in(results)


@pytest.mark.parametrize(
    "run",
    [
        None,
        "{",
        "[]",
        "3",
        json.dumps({"workflow": "search", "options": {"floor": 0.0}}),
        json.dumps({"confidence_thresholds": {}, "options": {}, "plates": []}),
    ],
)
def test_what_is_no_result_of_a_detection_is_refused(tmp_path: Path, run: str | None) -> None:
    if run is not None:
        (tmp_path / "run.json").write_text(run)
    before = content_of(tmp_path)
    with pytest.raises(StoreError, match=r"expected results of `simsearch detect`, got .*: detect again") as caught:
        rethreshold(tmp_path, {"nucleus": 0.5})
    assert str(tmp_path) in str(caught.value)
    assert content_of(tmp_path) == before


def test_results_without_detections_are_refused(results: Path) -> None:
    (results / "detections.parquet").unlink()
    with pytest.raises(AnnotationError, match=r"detections\.parquet: expected a Parquet table"):
        rethreshold(results, {"nucleus": 0.7})
    assert thresholds_in(results) == KNOWN


def test_a_plate_that_is_gone_is_named_and_all_stays(results: Path) -> None:
    run: dict[str, Any] = json.loads((results / "run.json").read_text())
    (results / "run.json").write_text(json.dumps({**run, "plates": ["/nowhere/P1.ome.zarr"]}))
    before = content_of(results)
    with pytest.raises(SourceError, match=r"/nowhere/P1\.ome\.zarr: expected an OME-Zarr, got nothing there"):
        rethreshold(results, {"nucleus": 0.7})
    assert content_of(results) == before


def test_the_command_says_what_is_there_now(results: Path) -> None:
    result = CliRunner(catch_exceptions=False).invoke(
        main, ["rethreshold", str(results), "--confidence", "cytoplasm=0.2", "--confidence", "nucleus=0.7"]
    )
    assert result.exit_code == 0
    assert thresholds_in(results) == {"nucleus": 0.7, "cytoplasm": 0.2}
    words = result.stdout.split()
    assert "22" in words  # of both classes as many objects
    refused = CliRunner(catch_exceptions=False).invoke(
        main, ["rethreshold", str(results), "--confidence", "nucleus=0.01"]
    )
    assert refused.exit_code == 2
    assert "expected a confidence from 0.05" in " ".join(refused.stderr.split())


def test_what_somebody_keeps_beside_results_stays(results: Path) -> None:
    """A plate in ``plates`` is no stale report."""
    mine = [results / "plates" / "mine.ome.zarr" / "zarr.json", results / "geojson" / "notes.txt"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    rethreshold(results, {"nucleus": 0.95})

    assert [path.read_text() for path in mine] == ["mine", "mine"]


def test_a_detection_does_not_begin_among_other_things(tmp_path: Path) -> None:
    check_free(tmp_path, RESULT_NAMES, overwrite=False)
    (tmp_path / "plates").mkdir()
    with pytest.raises(StoreError, match="expected a new folder, got plates in it"):
        check_free(tmp_path, RESULT_NAMES, overwrite=False)
    check_free(tmp_path, RESULT_NAMES, overwrite=True)


class KilledError(BaseException):
    """Stands for the end of a process: nothing is done after it."""


@pytest.mark.parametrize("step", ["write_chosen_rows", "_remove_stale", "_write_geojson", "write_plate_report"])
def test_new_thresholds_that_were_killed_leave_nothing_that_reads_as_finished_and_can_be_chosen_again(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    chosen = {"nucleus": 0.85}
    undisturbed = shutil.copytree(results, tmp_path / "undisturbed")
    rethreshold(undisturbed, chosen)

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(objects, step, kill)
        with pytest.raises(KilledError):
            rethreshold(results, chosen)
    assert not (results / "run.json").exists()
    rethreshold(results, chosen)
    assert content_of(results) == content_of(undisturbed)


def test_what_is_found_wrong_before_anything_is_written_leaves_results_as_they_are(results: Path) -> None:
    before = content_of(results)
    for wrong in ({"nobody": 0.5}, {"nucleus": 0.01}):
        with pytest.raises(ConfigError):
            rethreshold(results, wrong)
        assert content_of(results) == before


def test_two_cannot_choose_at_once(results: Path) -> None:
    before = content_of(results)
    with only_writer(results), pytest.raises(StoreError, match="expected to be the only one to write, got another"):
        rethreshold(results, {"nucleus": 0.85})
    assert content_of(results) == before
    rethreshold(results, {"nucleus": 0.85})


@pytest.mark.parametrize(
    "name", ["../../escape", "/abs/escape", "a/../../../escape", "a\\..\\..\\escape", "a\x00b", "a\nb"]
)
def test_names_in_a_table_lead_nowhere_else(results: Path, save_image: SaveImage, tmp_path: Path, name: str) -> None:
    image = save_image(tmp_path / "fine.ome.zarr", np.zeros((1, 8, 8), np.uint8))
    found = replace(next(iter(peak_columns([peak("fine", "nucleus", 100, 0.9)]))), image=name)
    write_detections([found], {name: replace(image, name=name)}, MODEL, results)
    before = set(tmp_path.parent.rglob("*"))
    with pytest.raises(ConfigError, match=r"detections.parquet: expected a name that can be one of a file in a folder"):
        rethreshold(results, {"nucleus": 0.6})
    assert set(tmp_path.parent.rglob("*")) - before <= {results / ".lock"}
    assert (results / "run.json").exists()


def test_thresholds_that_are_no_numbers_are_refused(results: Path) -> None:
    path = results / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"confidence_thresholds": {"nucleus": "much"}}))
    with pytest.raises(StoreError, match="expected results of `simsearch detect`, got ValueError"):
        rethreshold(results, {"nucleus": 0.6})


def test_results_of_a_newer_simsearch_are_refused_and_stay(results: Path) -> None:
    run = json.loads((results / "run.json").read_text())
    (results / "run.json").write_text(json.dumps({**run, "format": 2}))
    before = content_of(results)
    for read in (
        lambda: rethreshold(results, {}),
        lambda: chosen_before(results, "any"),
        lambda: read_report(results),
    ):
        with pytest.raises(StoreError, match=r"run.json: expected format 1 or older, got 2: update simsearch$"):
            read()
    assert content_of(results) == before
