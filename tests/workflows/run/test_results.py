"""Results are read as they were written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from simsearch.workflows.curate.study import Study, StudyOptions, create_study
from simsearch.workflows.run.results import RESULTS_NAME, read_results

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workflows.conftest import Cells


@pytest.fixture
def study(cells: Cells, tmp_path: Path) -> Study:
    return create_study(tmp_path / "study", cells.paths, StudyOptions())


def write_run(folder: Path, workflow: str, finished: str, report: dict[str, object], **more: object) -> None:
    folder.mkdir(parents=True)
    run = {
        "workflow": workflow,
        "finished": finished,
        "model": "m.safetensors@abc",
        "header": {"classes": ["background", "cell"]},
    }
    (folder / "run.json").write_text(json.dumps({**run, "report": {"failures": [["a", "gone"]], **report}, **more}))


def test_a_detection_tells_its_plates_and_doses(study: Study) -> None:
    folder = study.folder / RESULTS_NAME / "detect-1"
    write_run(
        folder, "detect", "2026-01-02", {"n_images": 3, "n_objects": {"cell": 7}}, confidence_thresholds={"cell": 0.4}
    )
    for name in ("objects.csv", "detections.csv", "detections.parquet", "geojson/P/A/01/0.geojson"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "images.csv").write_text("image,count cell,fraction cell\n'=a,7,1.000000\nb,0,\n")
    plate = folder / "plates" / "P"
    plate.mkdir(parents=True)
    (plate / "wells.csv").write_text(
        "plate,well,drug,count (plate map),count cell,fraction cell,mean score cell\n"
        "P,B03,taxol,5,7,1.000000,0.5\nP,A01,,,0,,\n"
    )
    (plate / "heat_maps.png").write_bytes(b"")
    (plate / "dose_response.png").write_bytes(b"")
    (plate / "wells.zarr").mkdir()  # a folder is no download
    (plate / "dose_response.csv").write_text(
        "drug,class,ec50,low,high,unit,bottom,top,slope,z_prime\n"
        "taxol,cell,2.5,1.0,4.0,uM,0,1,1.5,\ntaxol,other,,,,uM,,,,0.6\n"
    )
    (result,) = read_results(study)
    assert (result.kind, result.model, result.n_images, result.n_objects) == ("detect", "abc", 3, {"cell": 7})
    assert (result.classes, result.confidence_thresholds, result.failures) == (
        ("cell",),
        {"cell": 0.4},
        (("a", "gone"),),
    )
    assert [path.name for path in result.files] == [
        "objects.csv", "images.csv", "detections.csv", "detections.parquet", "wells.csv", "heat_maps.png",
        "dose_response.csv", "dose_response.png", "0.geojson", "run.json",
    ]  # fmt: skip
    assert [(each.image, each.counts, each.total) for each in result.images] == [
        ("=a", {"cell": 7}, 7),
        ("b", {"cell": 0}, 0),
    ]
    (found,) = result.plates
    treated, empty = found.wells
    assert (treated.well, treated.row, treated.column, treated.counts) == ("B03", 1, 2, {"cell": 7})
    assert treated.treatment == {"drug": "taxol", "count (plate map)": "5"}
    assert (treated.fractions, empty.fractions) == ({"cell": 1.0}, {"cell": None})
    fitted, flat = found.doses
    assert (fitted.ec50, fitted.interval, fitted.unit, fitted.z_prime) == (2.5, (1.0, 4.0), "uM", None)
    assert (flat.ec50, flat.interval, flat.z_prime) == (None, None, 0.6)
    assert found.curves == plate / "dose_response.png"


def test_a_segmentation_tells_areas_and_where_labels_are(study: Study) -> None:
    folder = study.folder / RESULTS_NAME / "segment-1"
    write_run(folder, "segment", "2026-01-01", {"images": [{"labels": "/a.ome.zarr/labels/x"}]})
    (folder / "areas.csv").write_text(
        "image,class,pixels,mm2,fraction_of_tissue,fraction_of_image\na,cell,100,,0.5,0.25\na,rest,0,0.1,,0\n"
    )
    (folder / "overlays").mkdir()
    (folder / "overlays" / "a.png").write_bytes(b"")
    (result,) = read_results(study)
    assert (result.labels, [path.name for path in result.overlays]) == (("/a.ome.zarr/labels/x",), ["a.png"])
    first, second = result.areas
    assert (first.n_pixels, first.mm2, first.of_tissue, first.of_image) == (100, None, 0.5, 0.25)
    assert (second.mm2, second.of_tissue) == (0.1, None)


def test_runs_are_in_order_and_what_is_none_is_left_out(study: Study) -> None:
    results = study.folder / RESULTS_NAME
    for name, finished in (("one", "2026-01-03"), ("two", "2026-01-02")):
        write_run(results / name, "detect", finished, {"n_images": 1, "n_objects": {}})
    (results / "begun").mkdir()
    (results / "damaged").mkdir()
    (results / "damaged" / "run.json").write_text("{")
    assert [result.id for result in read_results(study)] == ["two", "one"]
