"""A page of a run is complete in itself, says what was done, and shows names as they are."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from simsearch.cli import main
from simsearch.core.peaks import Peak, peak_columns
from simsearch.errors import AnnotationError, StoreError
from simsearch.io.tables.peaks import write_detections
from simsearch.workflows.curate.trained import TrainedModel
from simsearch.workflows.run.html_report.facts import gather_facts
from simsearch.workflows.run.html_report.methods import methods
from simsearch.workflows.run.html_report.page import write_html_report
from simsearch.workflows.run.objects import TABLE_NAME, rethreshold, write_objects
from simsearch.workflows.run.plate_report import write_plate_report
from simsearch.workflows.run.plate_summary import WellSummary
from simsearch.workflows.run.sample import judge_sample, sample_results

if TYPE_CHECKING:
    from tests.conftest import SaveImage

HOSTILE = ("<script>alert(1)</script>", "two\x1b[31m \u202elines")
IMAGE, DRUG = "a&<b>", "<img src=x onerror=alert(2)>"
MODEL = "ab" * 32


class Read(HTMLParser):
    """Reads a page: tags, addresses, and text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag."""
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All that one reads."""
        return "".join(self.texts)


@pytest.fixture
def results(save_image: SaveImage, tmp_path: Path) -> Path:
    """Write what a detection leaves of an image and of a plate whose doses have names that are made to harm."""
    image = save_image(tmp_path / f"{IMAGE}.ome.zarr", np.random.default_rng(0).integers(0, 255, (1, 90, 90), np.uint8))
    peaks = [Peak(image.name, name, 20.0 + 9 * i, 30.0 + 30 * j, (16.0, 16.0), 0.55 + 0.05 * i)
             for j, name in enumerate(HOSTILE) for i in range(6)]  # fmt: skip
    folder = tmp_path / "results" / "found"
    folder.mkdir(parents=True)
    write_detections(peak_columns(peaks), {image.name: image}, MODEL, folder)
    (folder / "run.json").write_text("{}")
    thresholds = dict.fromkeys(HOSTILE, 0.5)
    write_objects(folder, thresholds, [], [image.path], MODEL)
    wells = [
        WellSummary("P1", f"A{i + 1:02}", {"drug": DRUG, "dose": 2.0**i, "unit": "nM", "role": "dose_series"},
                    {HOSTILE[0]: 5 + 10 * i, HOSTILE[1]: 60 - 9 * i}, dict.fromkeys(HOSTILE, 0.9)) for i in range(6)
    ]  # fmt: skip
    write_plate_report(wells, folder / "plates" / "P1")
    header = {
        "kind": "dense", "classes": ["background", *HOSTILE], "patch_shapes": [[16, 16], [16, 16]], "downsampling": 2,
        "channels": ["GFP"], "ranges": [[3, 250]], "dtype": "uint8", "pixel_size_um": [0.65, 0.65],
    }  # fmt: skip
    run = {
        "workflow": "detect", "run": "f00", "finished": "2026-01-02T03:04:00+00:00", "python": "3.11.7",
        "versions": {"simsearch": "0.1", "torch": "2.9", "dask": "2026.1"}, "options": {"floor": 0.05},
        "model": f"gone/m.safetensors@{MODEL}", "header": header, "plates": [], "images": [image.path],
        "confidence_thresholds": thresholds, "trunk": "bundled@12", "arithmetic": "float32",
        "report": {"n_images": 1, "n_objects": dict.fromkeys(HOSTILE, 6), "failures": [[DRUG, "gone"]]},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_a_page_is_complete_in_itself_and_shows_names_as_they_are(results: Path) -> None:
    page = Read(write_html_report(results).path)
    assert page.tags.isdisjoint({"script", "iframe", "link", "object"})
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert {address.partition(";")[0] for address in page.addresses} == {"data:image/svg+xml", "data:image/jpeg"}
    for name in (HOSTILE[0], "two\N{REPLACEMENT CHARACTER}[31m \N{REPLACEMENT CHARACTER}lines", DRUG, IMAGE):
        assert name in page.text
    assert "12 objects of 2 classes in 1 image" in page.text
    assert "02 January 2026" in page.text


def test_methods_say_what_was_done(results: Path) -> None:
    told = dict(methods(gather_facts(results)))
    assert list(told) == ["Images", "Training", "Detection", "Plates"]  # of what nothing is known, nothing is said
    assert "pixels of 0.65 \N{MULTIPLICATION SIGN} 0.65 \N{MICRO SIGN}m" in told["Images"]
    assert "from 3\N{EN DASH}250 (GFP)" in told["Images"]
    assert "patches of 16 x 16 px, seen at 1 / 2 of the resolution" in told["Training"]
    assert "four-parameter logistic curve" in told["Plates"]
    assert f"at least 0.50 ({HOSTILE[0]})" in told["Detection"]


def test_what_is_known_of_the_training_is_said(results: Path) -> None:
    model = TrainedModel(
        "m", Path("m"), MODEL, "dense", HOSTILE, {}, {}, "2026", {"clean": {"a": 20, "background": 5}, "noisy": {}},
        {"clean": (2.0, 1.0), "classifier": (3.0,)}, {"a": {"precision": 0.9, "recall": None, "n_patches": 20}},
    )  # fmt: skip
    text = dict(methods(replace(gather_facts(results), model=model)))["Training"].replace(
        "\N{NARROW NO-BREAK SPACE}", " "
    )
    assert "20 a and 5 background (drawn or accepted)." in text
    assert "2 stages: supervised contrastive learning on labelled patches (2 epochs) and" in text
    assert "a precision 90 %, recall \N{EN DASH} (n = 20)" in text


def test_a_judged_sample_tells_how_right_it_is_and_other_results_have_no_page(results: Path) -> None:
    sample = sample_results(results, n=4, pictures=False)
    judge_sample(results, {(each.image, each.class_name, each.y, each.x): True for each in sample.places})
    page = write_html_report(results).path
    told = dict(methods(gather_facts(results)))["Accuracy"]
    assert f"random sample of {len(sample.places)} places" in told
    assert f"{HOSTILE[0]} precision" in told
    assert "How right it is" in Read(page).text
    rethreshold(results, {HOSTILE[0]: 0.7})
    assert not page.exists()


def test_images_that_are_gone_cost_their_pictures_alone(results: Path, tmp_path: Path) -> None:
    (tmp_path / f"{IMAGE}.ome.zarr").rename(tmp_path / "elsewhere")
    report = write_html_report(results, tmp_path / "page.html")
    assert "No pictures of objects" in report.notes[0]
    assert "data:image/jpeg" not in report.path.read_text()
    assert report.notes[0] in Read(report.path).text


def damaged(folder: Path, name: str, content: bytes | None) -> tuple[str, ...]:
    """Damage a file of results, or remove it; return what the page says then."""
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    report = write_html_report(folder)
    assert all(note in Read(report.path).text for note in report.notes if note.isprintable())
    return report.notes


def test_results_as_they_were_written_agree(results: Path) -> None:
    assert write_html_report(results).notes == ()


@pytest.mark.parametrize("content", [bytes(range(128, 256)) * 9, None, b""], ids=["random", "missing", "empty"])
def test_a_table_of_objects_that_cannot_be_read_is_named(results: Path, content: bytes | None) -> None:
    (note,) = damaged(results, "objects.csv", content)
    assert note.startswith("The numbers here are those of run.json, and no table of objects bears them out: ")
    assert f"{results / 'objects.csv'}: expected a table of objects, got " in note
    assert note.endswith(": detect again")


def test_tables_whose_numbers_are_others_are_named(results: Path) -> None:
    header, first, *rest = (results / "objects.csv").read_bytes().splitlines(keepends=True)
    (note,) = damaged(results, "objects.csv", header)
    assert f"objects.csv: expected as many objects as run.json says, got 0 {HOSTILE[0]} instead of 6, 0 two" in note
    (note,) = damaged(results, "objects.csv", b"".join([header, *rest]))
    assert "got 5 " in note
    assert note.endswith(" instead of 6: detect again")
    (results / "objects.csv").write_bytes(b"".join([header, first, *rest]))
    table = (results / "images.csv").read_bytes()
    notes = damaged(results, "images.csv", table.splitlines(keepends=True)[0])
    assert "images.csv: expected one row for each image of run.json (1), got 0: detect again" in notes[0]
    assert "images.csv: expected as many objects as run.json says, got 0 " in notes[1]
    (note,) = damaged(results, "images.csv", None)
    assert "Objects in each image are not told: " in note
    (results / "images.csv").write_bytes(table)
    run = json.loads((results / "run.json").read_text())
    run["report"]["n_objects"] = {HOSTILE[0]: 9, HOSTILE[1]: 6}
    notes = damaged(results, "run.json", json.dumps(run).encode())
    assert [Path(note.partition(": ")[0]).name for note in notes] == ["objects.csv", "images.csv", TABLE_NAME]
    assert all(note.endswith(f"got 6 {HOSTILE[0]} instead of 9: detect again") for note in notes)


def test_a_damaged_table_of_images_is_an_error_that_says_what_is_wrong(results: Path) -> None:
    table = (results / "images.csv").read_text()
    assert ",6," in table
    for other, words in (
        (table.replace("count <", "count of <"), "got no column 'count <script>"),
        (table.replace(",6,", ",six,"), "got invalid literal for int.*'six'"),
        (table.splitlines()[0] + "\na\n", "got a row that is cut short"),
    ):
        with pytest.raises(AnnotationError, match=rf"images\.csv: expected a table of results .*, {words}.*: run it"):
            damaged(results, "images.csv", other.encode())


def test_wells_that_are_gone_or_others_are_named(results: Path) -> None:
    run = json.loads((results / "run.json").read_text())
    run["plates"] = ["gone/P1.ome.zarr", "gone/P2.ome.zarr"]
    (note,) = damaged(results, "run.json", json.dumps(run).encode())
    assert note.startswith("Wells of P2 are not told: ")
    table = (results / "images.csv").read_text().replace(IMAGE, "P1/A/01/0")
    (first, second) = damaged(results, "images.csv", table.encode())
    assert "wells.csv: expected as many objects as images.csv says, got 180 <script>" in first
    assert second.startswith("Wells of P2")


def test_a_class_that_the_run_does_not_name_is_told_of(results: Path) -> None:
    run = json.loads((results / "run.json").read_text())
    run["confidence_thresholds"] = {"platelet": 0.5, HOSTILE[1]: 0.5}
    (note,) = damaged(results, "run.json", json.dumps(run).encode())
    named = f"{results / TABLE_NAME}: expected the classes that run.json names (platelet, {HOSTILE[1]})"
    assert note == f"No pictures of objects: {named}, got {HOSTILE[0]}: detect again"
    with pytest.raises(AnnotationError, match=r"expected the classes that run\.json names \(platelet"):
        rethreshold(results, {"platelet": 0.6})
    run["confidence_thresholds"] = {"platelet": "high"}
    with pytest.raises(StoreError, match=r"run\.json: expected what .*'high'.*: run it again"):
        damaged(results, "run.json", json.dumps(run).encode())
    run["header"]["classes"] = 3
    with pytest.raises(StoreError, match=r"run\.json: expected what `simsearch detect` or `segment` says of"):
        damaged(results, "run.json", json.dumps(run).encode())


def test_areas_that_are_gone_are_told_of(tmp_path: Path) -> None:
    run = {
        "workflow": "segment", "finished": "soon", "model": f"gone@{MODEL}", "header": {"classes": ["b", "stroma"]},
        "report": {"images": [{"image": "a b", "labels": "/x"}], "failures": []},
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(run))
    (note,) = write_html_report(tmp_path).notes
    assert note == f"{tmp_path / 'areas.csv'}: expected rows for each image of run.json (1), got 0: segment again"


def test_the_command_says_where_the_page_is_and_refuses_what_is_none(results: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(results), "--out", str(tmp_path / "new" / "page.html")])
    assert (result.exit_code, result.stdout) == (0, f"Report: {tmp_path / 'new' / 'page.html'}\n")
    with pytest.raises(StoreError, match=r"expected results of `simsearch detect` or `segment`, got none"):
        write_html_report(tmp_path)
    other = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert (other.exit_code, "expected results" in other.stderr) == (2, True)


def test_a_segmentation_has_a_page_of_its_areas(tmp_path: Path) -> None:
    folder = tmp_path / "areas"
    (folder / "overlays").mkdir(parents=True)
    Image.new("RGB", (3000, 40), "red").save(folder / "overlays" / "a b.png")
    (folder / "areas.csv").write_text(
        "image,class,pixels,mm2,fraction_of_tissue,fraction_of_image\n"
        f'a b,"{HOSTILE[0]}",100,0.25,0.5,0.25\na b,stroma,0,,,0\n'
    )
    run = {
        "workflow": "segment", "finished": "soon", "model": f"gone@{MODEL}",
        "header": {"classes": ["b", HOSTILE[0], "stroma"]},
        "report": {"images": [{"image": "a b", "labels": "/x"}], "failures": []},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    page = Read(write_html_report(folder).path)
    assert "Areas of 2 classes in 1 image" in page.text
    assert [address.partition(";")[0] for address in page.addresses] == ["data:image/jpeg"]
    with Image.open(BytesIO(b64decode(page.addresses[0].partition(",")[2]))) as picture:
        assert picture.width == 1000
    for words in (HOSTILE[0], "a b", "0.25", "50\N{NARROW NO-BREAK SPACE}%", "Segmentation"):
        assert words in page.text
