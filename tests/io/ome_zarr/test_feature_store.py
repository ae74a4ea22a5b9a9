"""Feature maps and blocks that were kept come back as they were; what is half written or damaged does not."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.tiles import Region, tile_cores
from simsearch.errors import StoreError
from simsearch.io.ome_zarr import feature_store
from simsearch.io.ome_zarr.feature_store import (
    create_features,
    finish_features,
    has_features,
    read_blocks,
    read_features,
    write_blocks,
    write_features,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SHAPE, TILE = (3, 10, 13), 4
KEY = {"image": "/data/a.ome.zarr", "channels": [0, 2]}
WHOLE = Region(0, 10, 0, 13)
TILES = list(tile_cores(SHAPE[1:], TILE))


@pytest.fixture
def features() -> NDArray[np.float16]:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float16)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "map.zarr")


def write(path: str, features: NDArray[np.float16], tiles: list[Region] = TILES) -> None:
    for tile in tiles:
        write_features(path, tile, features[(slice(None), *tile.slices)])


def complete(path: str, features: NDArray[np.float16]) -> None:
    create_features(path, SHAPE, TILE, KEY)
    write(path, features)
    finish_features(path)


def test_a_feature_map_comes_back_bit_for_bit(path: str, features: NDArray[np.float16]) -> None:
    complete(path, features)
    assert has_features(path)
    np.testing.assert_array_equal(read_features(path, WHOLE), features)
    across = read_features(path, Region(3, 9, 2, 13))
    np.testing.assert_array_equal(across, features[:, 3:9, 2:13])
    assert across.dtype == np.float16


def test_a_feature_map_tells_what_it_is_of(path: str, features: NDArray[np.float16]) -> None:
    complete(path, features)
    described = json.loads((Path(path) / "zarr.json").read_text())
    assert described["attributes"] == {**KEY, "simsearch": {"whole": True}}
    assert described["dimension_names"] == ["feature", "y", "x"]


def test_what_is_not_finished_is_not_there(path: str, features: NDArray[np.float16]) -> None:
    assert not has_features(path)
    create_features(path, SHAPE, TILE, KEY)
    write(path, features)
    assert not has_features(path)
    with pytest.raises(StoreError, match=r"map\.zarr: expected a feature map, got .*: delete the folder"):
        read_features(path, WHOLE)


def test_tiles_that_were_written_before_a_kill_are_kept(path: str, features: NDArray[np.float16]) -> None:
    create_features(path, SHAPE, TILE, KEY)
    write(path, features, TILES[:5])
    create_features(path, SHAPE, TILE, KEY)
    write(path, features, TILES[5:])
    finish_features(path)
    np.testing.assert_array_equal(read_features(path, WHOLE), features)


def test_what_another_version_began_in_other_tiles_is_begun_anew(path: str, features: NDArray[np.float16]) -> None:
    create_features(path, SHAPE, TILE + 1, KEY)
    write(path, features + 1, TILES[:1])
    complete(path, features)
    np.testing.assert_array_equal(read_features(path, WHOLE), features)
    assert len(list(Path(path).glob("c/0/*/*"))) == len(TILES)


def test_a_writer_that_comes_late_changes_nothing(path: str, features: NDArray[np.float16]) -> None:
    complete(path, features)
    create_features(path, SHAPE, TILE, KEY)  # it had looked before the map was complete
    write(path, features + 1)
    finish_features(path)
    np.testing.assert_array_equal(read_features(path, WHOLE), features)


def test_a_writer_that_is_overtaken_between_looking_and_writing_goes_on(
    path: str, features: NDArray[np.float16], monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(path, features)
    looks = iter([False])  # the other finishes right after the first look
    monkeypatch.setattr(feature_store, "has_features", lambda path: next(looks, Path(path).is_dir()))
    write(path, features + 1, TILES[:1])
    np.testing.assert_array_equal(read_features(path, WHOLE), features)


@pytest.mark.parametrize("attempt", range(8))
def test_writers_of_one_map_meet(path: str, features: NDArray[np.float16], attempt: int) -> None:
    together = Barrier(4)  # chance decides who is first in what

    def compute() -> None:
        together.wait()
        complete(path, features)

    with ThreadPoolExecutor(4) as pool:
        for writer in [pool.submit(compute) for _ in range(4)]:
            writer.result()
    np.testing.assert_array_equal(read_features(path, WHOLE), features)


def test_what_was_never_created_cannot_be_written_or_finished(path: str, features: NDArray[np.float16]) -> None:
    with pytest.raises(StoreError, match=r"map\.zarr: expected to write"):
        write(path, features)
    with pytest.raises(StoreError, match=r"map\.zarr: expected to write"):
        finish_features(path)


def cut_a_chunk(path: Path) -> None:
    chunk = next(file for file in (path / "c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": shutil.rmtree,
    "no description": lambda path: (path / "zarr.json").unlink(),
    "damaged description": lambda path: (path / "zarr.json").write_text("{"),
    "short chunk": cut_a_chunk,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_map_is_named_with_the_way_out(
    path: str, features: NDArray[np.float16], damage: Callable[[Path], object]
) -> None:
    complete(path, features)
    damage(Path(path))
    with pytest.raises(StoreError, match=r"map\.zarr: expected a feature map, got .*delete the folder"):
        read_features(path, WHOLE)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"map\.zarr: expected to write, got .*check the path"):
        create_features(str(tmp_path / "file" / "map.zarr"), SHAPE, TILE, KEY)
    with pytest.raises(StoreError, match=r"blocks\.npz: expected to write, got .*check the path"):
        write_blocks(str(tmp_path / "file" / "blocks.npz"), [np.zeros((1, 1, 1), np.float32)])


def test_blocks_come_back_in_their_order(tmp_path: Path) -> None:
    path, rng = str(tmp_path / "blocks.npz"), np.random.default_rng(0)
    blocks = [rng.normal(size=(3, 5, 7)[:: 1 if turns % 2 else -1]).astype(np.float32) for turns in range(12)]
    write_blocks(path, blocks)
    found = read_blocks(path)
    assert found is not None
    assert [block.shape for block in found] == [block.shape for block in blocks]
    for block, expected in zip(found, blocks, strict=True):
        np.testing.assert_array_equal(block, expected)
    assert [file.name for file in tmp_path.iterdir()] == ["blocks.npz"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_blocks_that_were_cut_short_count_as_none(tmp_path: Path, share: float) -> None:
    path = tmp_path / "blocks.npz"
    write_blocks(str(path), [np.ones((3, 5, 5), np.float32)] * 4)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert read_blocks(str(path)) is None


def test_blocks_that_are_damaged_or_missing_count_as_none(tmp_path: Path) -> None:
    path = tmp_path / "blocks.npz"
    assert read_blocks(str(path)) is None
    path.write_text("something else")
    assert read_blocks(str(path)) is None
    write_blocks(str(path), [np.ones((3, 5, 5), np.float32)] * 4)
    content = bytearray(path.read_bytes())
    content[300] ^= 255
    path.write_bytes(bytes(content))
    assert read_blocks(str(path)) is None
