"""Metadata that were changed at random are read, or refused in one line; by hand, SIMSEARCH_FUZZ says how many."""

from __future__ import annotations

import json
import os
import random
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from simsearch.core.tiles import Region
from simsearch.errors import SimSearchError
from simsearch.io.ome_zarr.image import describe_image, open_image, read_region
from simsearch.io.ome_zarr.plates.hierarchy import find_locations, read_plate_map, write_plate
from simsearch.io.ome_zarr.plates.wells import Well

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simsearch.io.ome_zarr.writing import ImageTemplate

    WriteImage = Callable[..., ImageTemplate]

_METADATA = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
_ODD: list[Any] = [
    None, True, 0, -1, 10**30, 1.5, float("nan"), float("inf"), "", "x", "../..", "\0", "\u202e", "1e400", [], {}, [[]],
    [None], {"a": 1}, 10**400, "9" * 6000, [1, 2], [0, 0, 0],
]  # fmt: skip


def _places(value: object, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from _places(inner, (*place, key))


def _change(path: Path, rng: random.Random) -> None:
    content = inner = json.loads(path.read_text())
    places = list(_places(content))
    if not places:
        return
    *above, last = rng.choice(places)
    for key in above:
        inner = inner[key]
    if rng.random() < 0.2:
        del inner[last]
    elif isinstance(inner, list) and rng.random() < 0.2:
        inner.append(inner[last])
    else:
        inner[last] = rng.choice(_ODD)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module", params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, write_image: WriteImage) -> Path:
    path: Path = tmp_path_factory.mktemp("fuzz") / "P1.ome.zarr"
    zarr.create_group(path, zarr_format=2 if request.param == "0.4" else 3)
    write_image(path / "A/01/0", np.ones((1, 40, 50), np.uint16), pixel_size_um=(0.5, 0.5), ome_version=request.param)
    provenance = {"plate_map": [{"well": "A01", "dose": 1.0}]}
    write_plate(str(path), {Well(0, 0): ["0"]}, name="P1", version=request.param, provenance=provenance)
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")  # of zarr, on what it does not know
@pytest.mark.parametrize("seed", range(int(os.environ.get("SIMSEARCH_FUZZ", "60"))))
def test_changed_metadata_are_read_or_refused_in_one_line(plate: Path, tmp_path: Path, seed: int) -> None:
    rng, path = random.Random(seed), tmp_path / "P1.ome.zarr"
    shutil.copytree(plate, path)
    _change(rng.choice(sorted(file for name in _METADATA for file in path.rglob(name))), rng)
    message = "expected nothing"
    try:
        for location in find_locations(str(path)).images:
            image = describe_image(location)
            read_region(image, 0, Region(0, min(40, image.shape[0]), 0, min(50, image.shape[1])))
            open_image(image)
        read_plate_map(path)
    except SimSearchError as error:
        message = str(error)
    assert "expected" in message
    assert "\n" not in message
    assert len(message) < 1500
