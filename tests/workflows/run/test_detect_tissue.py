"""Glass is left out of detections, wherever tiles meet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from simsearch.io.tables.peaks import read_peaks
from simsearch.workflows.find import tissue
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, DetectReport, detect
from tests.workflows.run.test_detect import check_same
from tests.workflows.run.test_segment import SHAPE, write_model, write_slide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

GLASS = 500  # where it begins in the slide, in pixels
MARGIN = 32  # of a mask of 8 px pixels whose gaps are closed
FLOOR = 1e-3  # on plain ground there are lower peaks, of rounding alone


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tissue")
    write_slide(folder / "slide.ome.zarr")
    write_model(folder / "model.safetensors", (48, 48))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small_slides() -> Iterator[None]:
    """Take small images for slides."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tissue, "SLIDE", 100)
        yield


def run(client: Client, folder: Path, name: str, **options: object) -> DetectReport:
    images = find_image_set([folder / "slide.ome.zarr"])
    found = DetectOptions(floor=FLOOR, **options)  # type: ignore[arg-type]  # of its own types
    return detect(client, images, folder / "model.safetensors", folder / name, found)


@pytest.fixture(scope="module")
def whole(client: Client, folder: Path) -> DetectReport:
    return run(client, folder, "whole", tile=128)


def test_detections_on_glass_are_left_out_and_the_others_are_not(
    client: Client, folder: Path, whole: DetectReport
) -> None:
    everywhere = read_peaks(
        run(client, folder, "everywhere", tile=128, tissue_mask=False).folder / "detections.parquet"
    )
    found = read_peaks(whole.folder / "detections.parquet")
    assert any(peak.y > GLASS + MARGIN for peak in everywhere)
    assert not any(peak.y > GLASS + MARGIN for peak in found)
    inside = [peak for peak in everywhere if peak.y < GLASS - MARGIN]
    assert [peak for peak in found if peak.y < GLASS - MARGIN] == inside
    assert len(inside) > 10


def test_an_image_of_one_field_is_looked_at_whole(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tissue, "SLIDE", max(SHAPE))
    found = read_peaks(run(client, folder, "field", tile=128).folder / "detections.parquet")
    assert any(peak.y > GLASS + MARGIN for peak in found)


@pytest.mark.parametrize("tile", [16, 23])
def test_detections_with_a_mask_do_not_depend_on_tiles(
    client: Client, folder: Path, whole: DetectReport, tile: int
) -> None:
    report = run(client, folder, f"tile {tile}", tile=tile)
    found, expected = (read_peaks(each.folder / "detections.parquet") for each in (report, whole))
    check_same(found, expected, places=0.5, scores=4e-3)
    assert report.n_skipped > 0


def test_what_was_skipped_is_reported(client: Client, folder: Path, whole: DetectReport) -> None:
    report = run(client, folder, "reported", tile=16)
    height, width = SHAPE
    assert (report.n_pixels, whole.n_skipped) == (height * width, 0)
    assert report.n_tissue == whole.n_tissue == pytest.approx(GLASS * width, rel=0.1)
    rows = {int(task["tile"].split()[2].split(":")[0]) for task in map(json.loads, _tile_lines(report.folder))}
    assert report.n_skipped == (height - (max(rows) + 128)) * width
    written = json.loads((report.folder / "run.json").read_text())["report"]
    assert (written["n_tissue"], written["n_skipped"]) == (report.n_tissue, report.n_skipped)
    everywhere = run(client, folder, "no mask", tile=16, tissue_mask=False)
    assert (everywhere.n_tissue, everywhere.n_skipped) == (height * width, 0)
    assert everywhere.n_tiles > report.n_tiles


def _tile_lines(folder: Path) -> list[str]:
    return [line for line in (folder / "tiles.jsonl").read_text().splitlines() if '"tile"' in line]
