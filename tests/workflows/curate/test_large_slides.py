"""Slides too large to be held are searched from the newest box outward, without their glass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.data

from simsearch.curation.actions import AddClass, apply
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.runtime.events import Event, StepStarted
from simsearch.runtime.submit import run_tasks
from simsearch.workflows.curate.live.search import LiveSearch
from simsearch.workflows.curate.study import StudyOptions, create_study
from simsearch.workflows.curate.suggest import find_suggestions
from simsearch.workflows.find import features, peaks, query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from distributed import Client

    from simsearch.curation.state import Curation
    from simsearch.runtime.tasks.search import SearchTask
    from simsearch.workflows.curate.live.coarse_maps import SimilarityMap
    from simsearch.workflows.curate.live.search import Findings
    from simsearch.workflows.curate.study import Study
    from tests.conftest import SaveImage

TILE, N_TILES = 256, 4  # level-0 pixels along a side, and tiles along a side of the slide
ISLANDS = ((0, 0), (2, 3))


@pytest.fixture
def slide(save_image: SaveImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Make a study of a slide of 16 tiles, two of which have tissue in their middle; no features are kept."""
    monkeypatch.setattr(features, "_LARGEST_BYTES", 0)
    monkeypatch.setattr(query.Setting, "search_tile", lambda setting, shape: TILE // 8)
    rng = np.random.default_rng(0)
    pixels = rng.integers(236, 250, (3, N_TILES * TILE, N_TILES * TILE), np.uint8)
    tissue = skimage.data.immunohistochemistry()[:160, :160].transpose(2, 0, 1)
    for row, column in ISLANDS:
        y, x = row * TILE + 48, column * TILE + 48
        pixels[:, y : y + 160, x : x + 160] = tissue
    save_image(tmp_path / "slide.ome.zarr", pixels, channel_names=RGB_NAMES, channel_colors=RGB_COLORS)
    return create_study(tmp_path / "study", [tmp_path / "slide.ome.zarr"], StudyOptions(display=1))


def drawn(study: Study, *islands: tuple[int, int]) -> Curation:
    curation = apply(study.initial, AddClass("cell", "#e69f00"))
    for row, column in islands:
        at = Patch.at("slide", row * TILE + 120, column * TILE + 130)
        curation = apply(curation, AddPrototypes("cell", (at,), (40.0, 40.0)))
    return curation


def tile_name(row: int, column: int) -> str:
    return f"slide y {row * TILE}:{(row + 1) * TILE} x {column * TILE}:{(column + 1) * TILE}"


def test_tissue_alone_is_searched_and_that_around_the_newest_box_first(
    client: Client, slide: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[str]] = []
    told: list[Findings] = []

    def noting(client: Client, function: Any, tasks: Sequence[object], **options: Any) -> Any:  # noqa: ANN401  as run_tasks
        orders.append([str(task) for task in tasks])
        return run_tasks(client, function, tasks, **options)

    monkeypatch.setattr(peaks, "run_tasks", noting)
    search = LiveSearch(client, slide, memory_bytes=1000)
    search.find(drawn(slide, ISLANDS[0]))
    found = search.find(drawn(slide, *ISLANDS), tell=told.append)
    first, last = (tile_name(*at) for at in ISLANDS)
    assert orders == [[first, last], [last, first]]
    assert 0 < len(told[0].by_class["cell"]) <= len(found.by_class["cell"])
    assert found.candidates == find_suggestions(client, slide, drawn(slide, *ISLANDS))
    search.close()


def test_tiles_at_the_box_are_small_and_first_and_find_the_same(
    client: Client, slide: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[SearchTask]] = []

    def noting(client: Client, function: Any, tasks: Sequence[SearchTask], **options: Any) -> Any:  # noqa: ANN401  as run_tasks
        orders.append(list(tasks))
        return run_tasks(client, function, tasks, **options)

    monkeypatch.setattr(query.Setting, "search_tile", lambda setting, shape: 4 * TILE // 8)
    monkeypatch.setattr(peaks, "_NEAR_TILE", 16)
    monkeypatch.setattr(peaks, "_FAR_TILE", 64)
    monkeypatch.setattr(peaks, "run_tasks", noting)
    search = LiveSearch(client, slide, memory_bytes=1000)
    curation = drawn(slide, ISLANDS[0])
    found = search.find(curation)
    search.close()
    (cut,) = orders
    assert [task.window.shape for task in (cut[0], cut[-1])] == [(16, 16), (64, 64)]
    assert str(cut[0]) == "slide y 0:128 x 128:256"  # with the box at 120, 130
    assert sum(task.n_pixels for task in cut) == (N_TILES * TILE) ** 2
    whole = find_suggestions(client, slide, curation)
    assert len(orders[-1]) == 1
    assert found.candidates
    got, expected = (np.array([(p.score, p.y, p.x) for p in each.peaks]) for each in (found.candidates, whole))
    np.testing.assert_array_equal(got[:, 0], expected[:, 0])
    np.testing.assert_allclose(got, expected, atol=1e-9)


def coarse(search: LiveSearch) -> SimilarityMap:
    found = search.coarse_map("cell", "slide")
    assert found is not None
    return found


def test_the_similarity_map_is_coarse_and_comes_with_what_is_found(
    client: Client, slide: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks, "_COARSE_SIDE", 50)  # for 128 positions: squares of 3, which tiles do not end at
    monkeypatch.setattr(query.Setting, "search_tile", lambda setting, shape: 32)
    search = LiveSearch(client, slide, memory_bytes=1000)
    parts: list[SimilarityMap] = []
    found = search.find(drawn(slide, ISLANDS[0]), tell=lambda _: parts.append(coarse(search)))
    whole = coarse(search)
    assert (whole.values.shape, whole.step) == ((43, 43), 24.0)
    assert np.isnan(parts[0].values).sum() > np.isnan(whole.values).sum()  # the second island was searched later
    top, left = (at - whole.step / 2 for at in whole.origin)
    columns = found.by_class["cell"]
    for y, x, score in zip(columns.y, columns.x, columns.score, strict=True):
        square = whole.values[int((y - top) // whole.step), int((x - left) // whole.step)]
        assert square > score - 0.05  # a peak lies between positions, and a byte has 254 steps
    glass = whole.values[:, 33:][:20]
    assert np.isnan(glass).all()

    monkeypatch.setattr(peaks, "_NEAR_TILE", 8)
    monkeypatch.setattr(peaks, "_FAR_TILE", 16)
    search.find(drawn(slide, ISLANDS[0]))
    np.testing.assert_array_equal(coarse(search).values, whole.values)
    assert search.coarse_map("other", "slide") is None
    search.close()


def test_what_only_images_tell_is_computed_once_and_before_anybody_draws(client: Client, slide: Study) -> None:
    steps: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, StepStarted):
            steps.append(event.step)

    search = LiveSearch(client, slide, memory_bytes=1000)
    search.look(slide.initial, observe=observe)
    assert {"tissue", "mean vector"} <= set(steps)
    steps.clear()
    search.find(drawn(slide, ISLANDS[0]), observe=observe)
    search.find(drawn(slide, *ISLANDS), observe=observe)
    assert not {"tissue", "mean vector", "features"} & set(steps)
    search.close()
