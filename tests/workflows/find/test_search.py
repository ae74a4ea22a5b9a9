from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet
import pytest
from ome_zarr_models import open_ome_zarr
from PIL import Image

from simsearch.errors import AnnotationError, ConfigError, SimSearchError, StoreError, TrunkError
from simsearch.io.ome_zarr.image import ImageMeta, open_image
from simsearch.io.ome_zarr.plates.hierarchy import find_images, write_plate
from simsearch.io.ome_zarr.plates.wells import parse_well
from simsearch.nn.trunk_file import BUNDLED_SHA256
from simsearch.runtime.events import Event, Noted, StepEnded, TaskDone
from simsearch.runtime.tasks import overlay
from simsearch.workflows.find.measure import measure, write_measurement
from simsearch.workflows.find.search import SearchOptions, SearchReport, search
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import xarray as xr
    from distributed import Client
    from numpy.typing import NDArray

    SaveImage = Callable[..., ImageMeta]
    Pixels = NDArray[Any]

Row = dict[str, Any]
Place = tuple[int, int]

SHAPE = (300, 340)


def sprite() -> Pixels:
    """Draw an object that looks different in each rotation, as (33, 33)."""
    pixels = np.zeros((33, 33))
    pixels[2:31, 6:13] = 1.0
    pixels[2:9, 6:29] = 0.8
    pixels[14:20, 6:22] = 0.5
    pixels[25:31, 20:29] = -0.6
    return pixels


def scattered(seed: int, *, fixed: Sequence[Place] = (), distance: int = 64, margin: int = 24) -> list[Place]:
    """Choose places that keep their distance."""
    places: list[Place] = []
    low, high = (margin, margin), (SHAPE[0] - margin, SHAPE[1] - margin)
    for y, x in [*fixed, *np.random.default_rng(seed).integers(low, high, (500, 2)).tolist()]:
        if all(np.hypot(y - v, x - u) > distance for v, u in places):
            places.append((y, x))
    return places


def scene(seed: int, places: Sequence[Place], *, size: int = 1, noise: float = 0.15) -> Pixels:
    """Put objects, each turned at random, on a noisy background, as (1, H, W)."""
    rng = np.random.default_rng(seed)
    pixels = noise * (rng.normal(size=SHAPE) + 0.3 * np.kron(rng.normal(size=(30, 34)), np.ones((10, 10))))
    for y, x in places:
        turned = np.kron(np.rot90(sprite(), rng.integers(4)), np.ones((size, size)))
        half = len(turned) // 2
        pixels[y - half : y - half + len(turned), x - half : x - half + len(turned)] += turned
    return np.clip(1000 + 600 * pixels, 0, 65535).astype(np.uint16)[None]


def save_boxes(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "class", "y", "x", "height", "width"), *rows])
    return path


@pytest.fixture
def ranges(tmp_path: Path) -> Path:
    """Save the range of intensities of scenes: where objects are few, percentiles would cut them off."""
    path = tmp_path / "ranges.json"
    path.write_text('{"channels": [{"name": "c0", "low": 500, "high": 1700}]}')
    return path


def place_of_maximum(image: xr.DataArray) -> xr.DataArray:
    image = image.compute()
    return image.isel({name: int(index) for name, index in image.argmax(...).items()})


def read_peaks(folder: Path) -> list[Row]:
    rows: list[Row] = pyarrow.parquet.read_table(folder / "peaks.parquet").to_pylist()
    return rows


def most_similar(rows: Sequence[Row], n: int, **wanted: str) -> list[Row]:
    chosen = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return sorted(chosen, key=lambda row: -row["similarity"])[:n]


def distances(rows: Sequence[Row], places: Sequence[Place]) -> list[float]:
    """Distance from each place to the nearest peak."""
    return [min(float(np.hypot(row["y"] - y, row["x"] - x)) for row in rows) for y, x in places]


def check_same(first: Sequence[Row], second: Sequence[Row]) -> None:
    """Check that two searches found the same peaks."""
    assert len(first) == len(second) > 0

    def key(row: Row) -> tuple[object, ...]:
        return row["image"], row["class"], round(row["y"], 1), round(row["x"], 1)

    for one, other in zip(sorted(first, key=key), sorted(second, key=key), strict=True):
        assert (one["image"], one["class"]) == (other["image"], other["class"])
        for name in ("y", "x"):
            assert one[name] == pytest.approx(other[name], abs=1e-2)
        assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-4)


@dataclass
class Bench:
    """An image with known objects, and a search of it."""

    image: ImageMeta
    places: list[Place]
    boxes: Path
    folder: Path
    report: SearchReport
    events: list[Event]


@pytest.fixture(scope="module")
def bench(client: Client, save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Search an image, 0.5 micrometres a pixel, with the trunk that ships."""
    folder = tmp_path_factory.mktemp("bench")
    places = scattered(1, fixed=[(128, 208), (64, 128)])
    image = save_image(folder / "scene.ome.zarr", scene(1, places), pixel_size_um=(0.5, 0.25))
    boxes = save_boxes(folder / "boxes.csv", [("scene", "F", *places[0], 48, 48)])
    events: list[Event] = []
    report = search(client, ImageSet([image]), boxes, folder / "out", SearchOptions(tile=16), observe=events.append)
    return Bench(image, places, boxes, folder / "out", report, events)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_planted_objects_are_found_wherever_and_however_they_lie(
    client: Client, save_image: SaveImage, tmp_path: Path, seed: int
) -> None:
    # Tiles of 16 positions meet at each 128 px, so the first places lie on a corner and on sides of tiles.
    places = scattered(seed, fixed=[(128, 128), (128, 200), (61, 256)])
    image = save_image(tmp_path / "scene.ome.zarr", scene(seed, places))
    boxes = save_boxes(tmp_path / "boxes.csv", [("scene", "F", *places[3], 48, 48)])
    search(client, ImageSet([image]), boxes, tmp_path / "out", SearchOptions(tile=16, save_maps=False))
    rows = most_similar(read_peaks(tmp_path / "out"), len(places) + 1)
    assert max(distances(rows[:-1], places)) < 3  # of 8 px between positions
    assert np.median(distances(rows[:-1], places)) < 1.5
    assert rows[-1]["similarity"] < 0.6 * rows[-2]["similarity"]  # what is no object is far behind


def test_nothing_is_found_where_an_image_has_no_intensities(
    client: Client, save_image: SaveImage, tmp_path: Path
) -> None:
    places = scattered(5, fixed=[(200, 200)])
    pixels = scene(5, places).astype(np.float32)
    pixels[:, :90] = pixels[:, :, 300:] = np.nan
    image = save_image(tmp_path / "scene.ome.zarr", pixels)
    boxes = save_boxes(tmp_path / "boxes.csv", [("scene", "F", 200, 200, 48, 48)])
    search(client, ImageSet([image]), boxes, tmp_path / "out", SearchOptions(tile=16, floor=-1.0))
    rows = read_peaks(tmp_path / "out")
    whole = [(y, x) for y, x in places if y > 90 + 16 and x < 300 - 16]

    assert rows
    assert all(row["y"] > 85 and row["x"] < 305 and np.isfinite(row["similarity"]) for row in rows)
    assert max(distances(most_similar(rows, len(whole) + 2), whole)) < 3
    (path,) = (tmp_path / "out/similarity/scene").iterdir()
    similarity = open_image(path).values
    assert np.isnan(similarity[:, :10]).all()
    assert np.isfinite(similarity[:, 13:, :36]).all()


def test_the_prototype_itself_is_found_at_its_place(bench: Bench) -> None:
    (best,) = most_similar(read_peaks(bench.folder), 1)
    assert best["similarity"] == pytest.approx(1, abs=1e-4)  # it lies on a position of layer3's own grid
    assert distances([best], [bench.places[0]])[0] < 2


def test_pooled_vectors_find_objects_too(client: Client, bench: Bench, tmp_path: Path) -> None:
    search(
        client, ImageSet([bench.image]), bench.boxes, tmp_path / "out", SearchOptions(method="pooled", save_maps=False)
    )
    rows = most_similar(read_peaks(tmp_path / "out"), 5)
    assert all(min(np.hypot(row["y"] - y, row["x"] - x) for y, x in bench.places) < 12 for row in rows)


@pytest.mark.parametrize("tile", [11, 32, 128])
def test_peaks_do_not_depend_on_tiles(client: Client, bench: Bench, tmp_path: Path, tile: int) -> None:
    search(client, ImageSet([bench.image]), bench.boxes, tmp_path / "out", SearchOptions(tile=tile, save_maps=False))
    check_same(read_peaks(tmp_path / "out"), read_peaks(bench.folder))


def test_the_papers_method_finds_objects_and_does_not_depend_on_tiles(
    client: Client, save_image: SaveImage, tmp_path: Path, ranges: Path
) -> None:
    places = [(29, 34), (63, 80)]
    image = save_image(tmp_path / "scene.ome.zarr", scene(1, places)[:, :97, :115])
    boxes = save_boxes(tmp_path / "boxes.csv", [("scene", "F", *places[0], 48, 48)])
    found = []
    for tile in (8, 10, 64):
        options = SearchOptions(method="patchwise", tile=tile, measurement=ranges, save_maps=tile == 8)
        search(client, ImageSet([image]), boxes, tmp_path / str(tile), options)
        found.append(read_peaks(tmp_path / str(tile)))
    check_same(found[0], found[2])
    check_same(found[1], found[2])
    assert max(distances(most_similar(found[0], 2), places)) < 4
    values = open_image(tmp_path / "8" / "similarity" / "scene" / "48x48.ome.zarr")
    assert values.coords["x"].values[:3] == pytest.approx([0, 4.8, 9.6])


@pytest.mark.cluster
def test_peaks_do_not_depend_on_workers(processes: Client, bench: Bench, tmp_path: Path) -> None:
    options = SearchOptions(tile=16, save_maps=False)
    search(processes, ImageSet([bench.image]), bench.boxes, tmp_path / "two", options)
    processes.cluster.scale(1)
    try:
        search(processes, ImageSet([bench.image]), bench.boxes, tmp_path / "one", options)
    finally:
        processes.cluster.scale(2)
        processes.wait_for_workers(2)
    check_same(read_peaks(tmp_path / "two"), read_peaks(bench.folder))
    check_same(read_peaks(tmp_path / "one"), read_peaks(bench.folder))


def test_the_map_is_a_valid_image_that_lies_over_the_image(bench: Bench) -> None:
    path = bench.folder / "similarity" / "scene" / "48x48.ome.zarr"
    open_ome_zarr(str(path))
    found = open_image(path)
    assert found.attrs["unit"] == "micrometer"
    assert found.coords["c"].values.tolist() == ["F"]
    best = place_of_maximum(found[0])
    y, x = bench.places[0]
    assert best.coords["y"].item() == pytest.approx(0.5 * y, abs=0.5 * 8)
    assert best.coords["x"].item() == pytest.approx(0.25 * x, abs=0.25 * 8)
    assert found.shape == (1, -(-SHAPE[0] // 8), -(-SHAPE[1] // 8))
    assert found.coords["y"].values[1] - found.coords["y"].values[0] == pytest.approx(0.5 * 8)


def test_peaks_are_the_maxima_of_the_map(bench: Bench) -> None:
    values = open_image(bench.folder / "similarity" / "scene" / "48x48.ome.zarr")[0].values
    for row in read_peaks(bench.folder):
        i, j = round(row["y"] / 8), round(row["x"] / 8)
        around = values[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        assert np.isclose(around, row["similarity"], atol=1e-6).any()


@pytest.mark.parametrize("pixel_size_um", [(0.5, 0.25), None])
def test_the_map_of_an_image_that_lies_elsewhere_lies_there_too(
    client: Client, save_image: SaveImage, tmp_path: Path, ranges: Path, pixel_size_um: tuple[float, float] | None
) -> None:
    y, x = 100, 120
    image = save_image(
        tmp_path / "far.ome.zarr",
        scene(0, [(y, x)]),
        pixel_size_um=pixel_size_um,
        translation=(5000.0, 700.0),
        scale=(1.0, 1.0) if pixel_size_um else (3.0, 3.0),
    )
    boxes = save_boxes(tmp_path / "boxes.csv", [("far", "F", y, x, 48, 48)])
    search(client, ImageSet([image]), boxes, tmp_path / "out", SearchOptions(measurement=ranges))
    found = open_image(tmp_path / "out" / "similarity" / "far" / "48x48.ome.zarr")[0]
    original = open_image(image)
    best = place_of_maximum(found)
    for name, position in (("y", y), ("x", x)):
        step = original.coords[name].values[1] - original.coords[name].values[0]
        assert best.coords[name].item() == pytest.approx(original.coords[name].values[position], abs=8 * step)


def test_tables_have_their_columns_in_both_formats(bench: Bench) -> None:
    rows = read_peaks(bench.folder)
    columns = ["image", "class", "y", "x", "y_um", "x_um", "height", "width", "similarity"]
    assert list(rows[0]) == columns
    with (bench.folder / "peaks.csv").open(newline="") as file:
        from_csv = list(csv.DictReader(file))
    assert [list(row) for row in from_csv] == [columns] * len(rows)
    for row, text in zip(rows, from_csv, strict=True):
        assert (row["image"], row["class"], row["height"], row["width"]) == ("scene", "F", 48.0, 48.0)
        assert row["y_um"] == pytest.approx(0.5 * row["y"])
        assert row["x_um"] == pytest.approx(0.25 * row["x"])
        assert [float(text[name]) for name in columns[2:]] == pytest.approx([row[name] for name in columns[2:]])
        assert -0.5 <= row["y"] <= SHAPE[0] - 0.5
        assert -0.5 <= row["x"] <= SHAPE[1] - 0.5
    similarities = [row["similarity"] for row in rows]
    assert similarities == sorted(similarities, reverse=True)
    assert 0 <= similarities[-1] <= similarities[0] <= 1


def test_the_run_is_recorded(bench: Bench) -> None:
    run = json.loads((bench.folder / "run.json").read_text())
    assert run["workflow"] == "search"
    assert {"simsearch", "torch", "dask", "zarr"} <= set(run["versions"])
    assert run["options"]["method"] == "template"
    assert run["options"]["tile"] == 16
    assert run["trunk"] == f"bundled@{BUNDLED_SHA256[:16]}"
    assert run["images"] == [bench.image.path]
    assert run["groups"][0]["classes"] == ["F"]
    assert run["groups"][0]["boxes"][0]["y"] == bench.places[0][0]
    assert run["report"]["n_peaks"] == {"F": len(read_peaks(bench.folder))}
    assert run["report"]["failures"] == []
    assert set(run["report"]["seconds"]) == {"measure", "prototypes", "mean vector", "search", "overlays"}


def test_the_report_counts_what_was_found(bench: Bench) -> None:
    rows = read_peaks(bench.folder)
    threshold = bench.report.suggested_thresholds["F"]
    assert bench.report.n_images == 1
    assert bench.report.n_peaks == {"F": len(rows)}
    assert bench.report.n_objects == {"F": sum(row["similarity"] >= threshold for row in rows)}
    assert len(bench.places) <= bench.report.n_objects["F"] <= len(bench.places) + 2  # the rest is far behind


def test_steps_are_told_as_they_end(bench: Bench) -> None:
    ended = [event.step for event in bench.events if isinstance(event, StepEnded)]
    assert ended == ["measure", "prototypes", "mean vector", "search", "overlays"]


def test_the_overlay_shows_the_image_and_a_legend(bench: Bench) -> None:
    with Image.open(bench.folder / "overlays" / "scene.png") as overlay:
        assert overlay.size[0] == SHAPE[1]
        assert overlay.size[1] > SHAPE[0]
        colors = {color for _, color in overlay.convert("RGB").getcolors(2**24)}
    assert (0xE6, 0x9F, 0x00) in colors  # of the first class


def test_overlays_that_cannot_be_drawn_cost_no_table(
    client: Client, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "draw_overlay", lambda *_: 1 / 0)
    out, boxes, events = tmp_path / "out", tmp_path / "boxes.csv", []
    header, *rows = bench.boxes.read_text().splitlines()
    boxes.write_bytes("\n".join([f"{header},remark", *(f"{row},schön" for row in rows)]).encode("cp1252"))
    report = search(client, ImageSet([bench.image]), boxes, out, SearchOptions(tile=16), observe=events.append)
    assert any("Windows-1252" in event.note for event in events if isinstance(event, Noted))
    (note,) = report.notes
    assert note.startswith("scene.png was not drawn: ZeroDivisionError")
    assert report.failures == ()
    check_same(read_peaks(out), read_peaks(bench.folder))
    assert json.loads((out / "run.json").read_text())["report"]["notes"] == [note]


def test_prototypes_of_a_class_are_combined_as_asked_for(client: Client, bench: Bench, tmp_path: Path) -> None:
    """The most similar prototype alone, as in the paper, gives more than all together; what was done is recorded."""
    rows = [("scene", "F", *place, 48, 48) for place in bench.places[:3]]
    boxes, highest = save_boxes(tmp_path / "boxes.csv", rows), {}
    for combine in ("mean", "soft", "max"):
        folder, options = tmp_path / combine, SearchOptions(combine=combine, save_maps=False)
        search(client, ImageSet([bench.image]), boxes, folder, options)
        found = read_peaks(folder)
        assert max(distances(most_similar(found, len(bench.places)), bench.places)) < 3
        assert json.loads((folder / "run.json").read_text())["options"]["combine"] == combine
        highest[combine] = found[0]["similarity"]
    assert highest["mean"] < highest["soft"] < highest["max"] == pytest.approx(1, abs=0.05)


def test_an_unknown_way_to_combine_leaves_no_folder(client: Client, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="combine: expected soft or max or mean, got 'sum'"):
        search(client, ImageSet([bench.image]), bench.boxes, tmp_path / "out", SearchOptions(combine="sum"))
    assert not (tmp_path / "out").exists()


def test_low_peaks_are_left_out(client: Client, bench: Bench, tmp_path: Path) -> None:
    search(client, ImageSet([bench.image]), bench.boxes, tmp_path / "out", SearchOptions(floor=0.3, save_maps=False))
    expected = [row for row in read_peaks(bench.folder) if row["similarity"] >= 0.3]
    check_same(read_peaks(tmp_path / "out"), expected)
    assert not (tmp_path / "out" / "similarity").exists()


def test_results_are_not_overwritten_unasked(client: Client, bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    (folder / "overlays").mkdir()
    (folder / "overlays" / "old.png").touch()
    with pytest.raises(StoreError, match=f"{folder}: expected a new folder, got run.json in it: add --overwrite"):
        search(client, ImageSet([bench.image]), bench.boxes, folder, SearchOptions())
    assert (folder / "overlays" / "old.png").exists()
    search(client, ImageSet([bench.image]), bench.boxes, folder, SearchOptions(overwrite=True, save_maps=False))
    assert not (folder / "overlays" / "old.png").exists()
    assert json.loads((folder / "run.json").read_text())["workflow"] == "search"


class KilledError(BaseException):
    """Stands for the end of a process."""


def content_of(folder: Path) -> dict[str, bytes]:
    """Read what a search wrote but for its times."""
    kept = (path for path in folder.rglob("*") if path.is_file() and path.name not in {"events.jsonl", "tiles.jsonl"})
    content = {str(path.relative_to(folder)): path.read_bytes() for path in kept}
    run = json.loads(content.pop("run.json"))
    assert run["workflow"] == "search"
    return content


def test_a_search_that_was_killed_goes_on_and_finds_the_same(client: Client, bench: Bench, tmp_path: Path) -> None:
    whole, killed, options = tmp_path / "whole", tmp_path / "killed", SearchOptions(tile=8)
    events: list[Event] = []
    search(client, ImageSet([bench.image]), bench.boxes, whole, options, observe=events.append)
    n_tiles = sum(isinstance(event, TaskDone) and event.step == "search" for event in events)
    assert n_tiles >= 9
    n_done = 0

    def kill(event: Event) -> None:
        nonlocal n_done
        n_done += isinstance(event, TaskDone) and event.step == "search"
        if n_done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        search(client, ImageSet([bench.image]), bench.boxes, killed, options, observe=kill)
    assert not (killed / "run.json").exists()
    events.clear()
    search(client, ImageSet([bench.image]), bench.boxes, killed, options, observe=events.append)
    assert sum(isinstance(event, TaskDone) and event.step == "search" for event in events) == n_tiles - 3
    assert not any(isinstance(event, TaskDone) and event.step == "measure" for event in events)
    assert content_of(killed) == content_of(whole)
    events.clear()
    search(client, ImageSet([bench.image]), bench.boxes, killed, options, observe=events.append)  # it is complete
    assert not any(isinstance(event, TaskDone) and event.step == "search" for event in events)
    assert content_of(killed) == content_of(whole)


def test_a_search_for_something_else_does_not_go_on(client: Client, bench: Bench, tmp_path: Path) -> None:
    folder, options = tmp_path / "out", SearchOptions(save_maps=False)
    search(client, ImageSet([bench.image]), bench.boxes, folder, options)
    before = content_of(folder)
    other = tmp_path / "other.csv"
    with bench.boxes.open(newline="") as file:
        _, (image, class_name, y, *rest), *others = csv.reader(file)
    save_boxes(other, [(image, class_name, float(y) + 1, *rest), *others])
    for boxes, changed in ((other, options), (bench.boxes, replace(options, floor=0.4))):
        with pytest.raises(StoreError, match=r"expected results of the same run .* got others: add --overwrite"):
            search(client, ImageSet([bench.image]), boxes, folder, changed)
        assert content_of(folder) == before


def test_a_folder_that_is_a_file_is_refused(client: Client, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StoreError, match=r"out: expected to write, got .*check the path"):
        search(client, ImageSet([bench.image]), bench.boxes, tmp_path / "out", SearchOptions())


def test_classes_of_two_sizes_are_each_found_at_their_scale(
    client: Client, save_image: SaveImage, tmp_path: Path, ranges: Path
) -> None:
    small, large = [(40, 40), (50, 130), (60, 240)], [(210, 80), (200, 260)]
    pixels = scene(5, small).astype(int) + scene(6, large, size=2) - 1000
    image = save_image(tmp_path / "scene.ome.zarr", pixels.clip(0, 65535).astype(np.uint16))
    rows = [("scene", "small", *small[0], 48, 48), ("scene", "large", *large[0], 96, 100)]
    boxes = save_boxes(tmp_path / "boxes.csv", rows)
    report = search(client, ImageSet([image]), boxes, tmp_path / "out", SearchOptions(measurement=ranges))
    assert list(report.n_peaks) == ["small", "large"]
    found = read_peaks(tmp_path / "out")
    assert max(distances(most_similar(found, 3, **{"class": "small"}), small)) < 3
    assert max(distances(most_similar(found, 2, **{"class": "large"}), large)) < 6  # twice as large a step
    assert {(row["class"], row["height"], row["width"]) for row in found} == {("small", 48, 48), ("large", 96, 100)}
    maps = {name: open_image(tmp_path / "out" / "similarity" / "scene" / name) for name in ("48x48.ome.zarr",)}
    maps["96x100.ome.zarr"] = open_image(tmp_path / "out" / "similarity" / "scene" / "96x100.ome.zarr")
    assert [m.coords["y"].values[:2].tolist() for m in maps.values()] == [[0, 8], [0.5, 16.5]]


def test_an_image_without_a_pyramid_gives_the_same(
    client: Client, save_image: SaveImage, tmp_path: Path, ranges: Path
) -> None:
    places = [(90, 80), (200, 260)]
    found = []
    for n_levels in (1, 3):
        image = save_image(tmp_path / str(n_levels) / "a.ome.zarr", scene(7, places, size=2), n_levels=n_levels)
        assert len(image.levels) == n_levels
        boxes = save_boxes(tmp_path / "boxes.csv", [("a", "F", *places[0], 96, 96)])
        search(
            client,
            ImageSet([image]),
            boxes,
            tmp_path / f"out{n_levels}",
            SearchOptions(measurement=ranges, save_maps=False),
        )
        found.append(read_peaks(tmp_path / f"out{n_levels}"))
    check_same(*found)
    assert max(distances(most_similar(found[0], 2), places)) < 6


def test_rotations_share_a_prototype_and_non_square_patches_are_turned(
    client: Client, save_image: SaveImage, tmp_path: Path, ranges: Path
) -> None:
    bar = np.zeros((61, 61))
    bar[20:41, 4:57] = 1.0
    bar[20:41, 4:12] = -0.5
    pixels = 0.2 * np.random.default_rng(0).normal(size=SHAPE)
    places = [(60, 70), (60, 250), (200, 90), (210, 240)]
    for turns, (y, x) in enumerate(places):
        pixels[y - 30 : y + 31, x - 30 : x + 31] += np.rot90(bar, turns)
    image = save_image(tmp_path / "bars.ome.zarr", (1000 + 600 * pixels).clip(0).astype(np.uint16)[None])
    boxes = save_boxes(tmp_path / "boxes.csv", [("bars", "bar", *places[0], 32, 64)])
    search(client, ImageSet([image]), boxes, tmp_path / "out", SearchOptions(measurement=ranges, save_maps=False))
    assert max(distances(most_similar(read_peaks(tmp_path / "out"), 4), places)) < 6  # a bar is alike along itself


def test_a_plate_is_searched_well_by_well(client: Client, save_image: SaveImage, tmp_path: Path, ranges: Path) -> None:
    plate = tmp_path / "P1.ome.zarr"
    places = {"B/03/0": [(60, 80), (200, 250)], "C/04/0": [(150, 150)]}
    for seed, (path, objects) in enumerate(places.items()):
        save_image(plate / path, scene(seed, objects))
    wells = {well: ["0"] for name in ("B03", "C04") if (well := parse_well(name))}
    write_plate(str(plate), wells, name="P1", version="0.5", provenance={})
    images = find_images([plate])
    assert [image.name for image in images] == ["P1/B/03/0", "P1/C/04/0"]
    boxes = save_boxes(tmp_path / "boxes.csv", [("P1/B/03/0", "F", 60, 80, 48, 48)])
    report = search(client, ImageSet(images), boxes, tmp_path / "out", SearchOptions(measurement=ranges))
    assert report.n_images == 2
    rows = read_peaks(tmp_path / "out")
    for path, objects in places.items():
        assert max(distances(most_similar(rows, len(objects), image=f"P1/{path}"), objects)) < 3
        open_ome_zarr(str(tmp_path / "out" / "similarity" / "P1" / path / "48x48.ome.zarr"))
        assert (tmp_path / "out" / "overlays" / "P1" / f"{path}.png").exists()


def test_only_the_channels_asked_for_are_looked_at(
    client: Client, bench: Bench, save_image: SaveImage, tmp_path: Path
) -> None:
    objects = scene(1, bench.places)
    noise = np.random.default_rng(0).integers(0, 60000, objects.shape, dtype=np.uint16)
    image = save_image(
        tmp_path / "scene.ome.zarr", np.concatenate([noise, objects, noise]), channel_names=("DNA", "GFP", "actin")
    )
    for name in ("GFP", "1"):
        options = SearchOptions(channels=(name,), save_maps=False)
        search(client, ImageSet([image]), bench.boxes, tmp_path / name, options)
        check_same(read_peaks(tmp_path / name), read_peaks(bench.folder))
    with pytest.raises(AnnotationError, match="scene: expected channels out of DNA, GFP, actin, got 'RFP'"):
        search(client, ImageSet([image]), bench.boxes, tmp_path / "out", SearchOptions(channels=("RFP",)))
    with pytest.raises(SimSearchError, match=r"expected .* channel"):
        search(client, ImageSet([image]), bench.boxes, tmp_path / "none", SearchOptions(channels=()))


def test_a_measurement_from_a_file_is_used(client: Client, bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "measure.json"
    measured = measure(client, ImageSet([bench.image]))
    write_measurement(measured, path)
    options = SearchOptions(measurement=path, save_maps=False)
    report = search(client, ImageSet([bench.image]), bench.boxes, tmp_path / "same", options)
    assert "measure" not in report.seconds
    check_same(read_peaks(tmp_path / "same"), read_peaks(bench.folder))
    ((low, high),) = measured.ranges
    write_measurement(replace(measured, ranges=((low, high + 2000),)), path)
    search(client, ImageSet([bench.image]), bench.boxes, tmp_path / "other", options)
    found = [[peak["similarity"] for peak in read_peaks(tmp_path / name)] for name in ("other", "same")]
    assert found[0] != found[1]


def test_a_measurement_of_other_channels_is_refused(client: Client, bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "measure.json"
    path.write_text('{"channels": [{"name": "RFP", "low": 0, "high": 1}]}')
    with pytest.raises(ConfigError, match=r"measure\.json: expected a range for channel c0, got RFP"):
        search(client, ImageSet([bench.image]), bench.boxes, tmp_path / "out", SearchOptions(measurement=path))


def test_a_constant_channel_is_refused_by_name(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    pixels = np.concatenate([scene(0, [(60, 60)]), np.full((1, *SHAPE), 7, np.uint16)])
    image = save_image(tmp_path / "a.ome.zarr", pixels, channel_names=("GFP", "empty"))
    boxes = save_boxes(tmp_path / "boxes.csv", [("a", "F", 60, 60, 48, 48)])
    with pytest.raises(ConfigError, match="channel empty: expected intensities that vary, got 7"):
        search(client, ImageSet([image]), boxes, tmp_path / "out", SearchOptions())


def test_a_trunk_that_is_not_there_leaves_no_folder(client: Client, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(TrunkError, match="got no such file: check --trunk"):
        search(
            client, ImageSet([bench.image]), bench.boxes, tmp_path / "out", SearchOptions(trunk="missing.safetensors")
        )
    assert not (tmp_path / "out").exists()


@pytest.fixture
def torn(save_image: SaveImage, tmp_path: Path) -> ImageMeta:
    """Save an image of which a file is cut short."""
    image = save_image(tmp_path / "torn.ome.zarr", scene(3, [(60, 60)]))
    file = max((tmp_path / "torn.ome.zarr" / "0" / "c").rglob("*"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-2000])
    return image


def test_a_damaged_image_ends_the_search_by_its_name(
    client: Client, bench: Bench, torn: ImageMeta, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"^torn: expected pixels at level 0, .*torn\.ome\.zarr is damaged"):
        search(client, ImageSet([bench.image, torn]), bench.boxes, tmp_path / "out", SearchOptions())
    assert not (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize("measured_before", [False, True])
def test_a_damaged_image_can_be_left_out(
    client: Client, bench: Bench, torn: ImageMeta, tmp_path: Path, measured_before: bool
) -> None:
    # Where the range is known, the damage shows as late as in the search itself.
    measurement = bench.folder / "measure.json" if measured_before else None
    options = SearchOptions(measurement=measurement)
    report = search(client, ImageSet([torn, bench.image], skip_errors=True), bench.boxes, tmp_path / "out", options)
    ((name, message),) = report.failures
    assert name == "torn"
    assert message.startswith("torn: expected pixels at level 0")
    assert report.n_images == 1
    rows = read_peaks(tmp_path / "out")
    assert {row["image"] for row in rows} == {"scene"}
    assert max(distances(most_similar(rows, len(bench.places)), bench.places)) < 3
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["images"] == [bench.image.path]
    assert run["report"]["failures"] == [[name, message]]
    with pytest.raises((OSError, ValueError)):
        open_image(tmp_path / "out" / "similarity" / "torn" / "48x48.ome.zarr")


def test_without_a_prototype_left_a_class_is_named(
    client: Client, bench: Bench, torn: ImageMeta, tmp_path: Path
) -> None:
    boxes = save_boxes(tmp_path / "boxes.csv", [("torn", "lost", 60, 60, 48, 48)])
    with pytest.raises(AnnotationError, match="class lost: expected a prototype in an image that can be read"):
        search(client, ImageSet([bench.image, torn], skip_errors=True), boxes, tmp_path / "out", SearchOptions())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("scene,F,290,60,48,48", "inside the 300 x 340 px of the image, got 48 x 48 px"),
        ("scene,F,60,60,0,48", "positive height and width, got 0 x 48 px"),
        ("scene,F,60,60,48,-5", "positive height and width"),
        ("scene,F,nan,60,48,48", "expected"),
        ("scene,F,60,60,48,inf", "expected"),
        ("scene,F,here,60,48,48", "column y: expected a number, got 'here'"),
        ("scene,F,60,60,48", "column width: expected a number, got ''"),
        ("scene,F,60,60,48,48,48", "expected 6 values, got 7"),
        ("scenery,F,60,60,48,48", r"expected the name of one of the images \(scene\), got 'scenery'"),
        ("scene,,60,60,48,48", "expected the name of a class"),
    ],
)
def test_a_wrong_box_is_named_by_file_and_row(
    client: Client, bench: Bench, tmp_path: Path, row: str, message: str
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"image,class,y,x,height,width\nscene,F,60,60,48,48\n{row}\n")
    with pytest.raises(AnnotationError, match=rf"{boxes}, row 3: .*{message}"):
        search(client, ImageSet([bench.image]), boxes, tmp_path / "out", SearchOptions())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,class,y,x,height\nscene,F,60,60,48\n", "add width"),
        ("image,class,y,x,height,width\n", "rows below a header, got none"),
        ("", "a header"),
    ],
)
def test_a_table_without_boxes_is_named(client: Client, bench: Bench, tmp_path: Path, text: str, message: str) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(text)
    with pytest.raises(AnnotationError, match=f"{boxes}: expected .*{message}"):
        search(client, ImageSet([bench.image]), boxes, tmp_path / "out", SearchOptions())


def test_a_box_that_is_too_small_is_refused_before_anything_is_done(
    client: Client, bench: Bench, tmp_path: Path
) -> None:
    boxes = save_boxes(tmp_path / "boxes.csv", [("scene", "F", 60, 60, 12, 40)])
    with pytest.raises(ConfigError, match="at least 16 px"):
        search(client, ImageSet([bench.image]), boxes, tmp_path / "out", SearchOptions())
    assert not (tmp_path / "out").exists()
