"""Images are written in whole shards, and open only when they are complete."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models import open_ome_zarr

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, ShapeError, SourceError, StoreError
from simsearch.io.ome_zarr.image import describe_image, open_image
from simsearch.io.ome_zarr.writing import ImageTemplate, Window, create_image, finish_image, store_errors, write_region

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    WriteImage = Callable[..., ImageTemplate]

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])


def _template(version: str = "0.5", **changes: object) -> ImageTemplate:
    fields: dict[str, Any] = {
        "n_channels": 2,
        "shape": (700, 530),
        "dtype": "uint8",
        "channel_names": ("a", "b"),
        "channel_colors": ("00FF00", "0000FF"),
        "chunk": 64,
        "shard": 256,
        "ome_version": version,
    }
    return ImageTemplate(**{**fields, **changes})


@VERSIONS
def test_what_is_written_validates_and_says_how_it_is_stored(
    tmp_path: Path, write_image: WriteImage, pixels: NDArray[Any], version: str
) -> None:
    path = tmp_path / "a.ome.zarr"
    write_image(path, pixels, ome_version=version)
    group = zarr.open_group(path, mode="r")
    level = group["0"]

    open_ome_zarr(group)
    assert isinstance(level, zarr.Array)
    assert level.shards == ((2, 128, 128) if version == "0.5" else None)
    assert level.chunks == (1, 64, 64)
    assert level.metadata.zarr_format == (3 if version == "0.5" else 2)


@VERSIONS
def test_a_half_written_image_does_not_open(tmp_path: Path, version: str) -> None:
    template = _template(version)
    create_image(tmp_path / "a.ome.zarr", template)
    write_region(tmp_path / "a.ome.zarr", 0, Region(0, 256, 0, 256), np.ones((2, 256, 256), np.uint8))

    with pytest.raises(SourceError, match="without OME metadata"):
        describe_image(tmp_path / "a.ome.zarr")
    finish_image(tmp_path / "a.ome.zarr", template)
    assert describe_image(tmp_path / "a.ome.zarr").shape == (700, 530)


@VERSIONS
@pytest.mark.parametrize(
    "region", [Region(0, 100, 0, 530), Region(32, 288, 0, 256), Region(0, 700, 0, 500), Region(300, 301, 400, 401)]
)
def test_regions_that_share_a_file_with_others_are_refused(tmp_path: Path, version: str, region: Region) -> None:
    create_image(tmp_path / "a.ome.zarr", _template(version))

    with pytest.raises(ShapeError, match=r"whole (shards|chunks).*ImageTemplate\.regions"):
        write_region(tmp_path / "a.ome.zarr", 0, region, np.zeros((2, *region.shape), np.uint8))


def test_blocks_of_another_shape_are_refused(tmp_path: Path) -> None:
    create_image(tmp_path / "a.ome.zarr", _template())
    region = Region(0, 256, 0, 256)
    with pytest.raises(ShapeError, match=r"expected a block of \(2, 256, 256\)"):
        write_region(tmp_path / "a.ome.zarr", 0, region, np.zeros((1, 256, 256), np.uint8))
    with pytest.raises(ShapeError, match="inside"):
        write_region(tmp_path / "a.ome.zarr", 0, Region(512, 768, 0, 256), np.zeros((2, 256, 256), np.uint8))


@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.sampled_from([(16, 16), (64, 128), (256, 512)]),
    st.sampled_from(["0.4", "0.5"]),
)
def test_regions_are_whole_shards_and_cover_each_level_once(
    height: int, width: int, sides: tuple[int, int], version: str
) -> None:
    template = _template(version, shape=(height, width), chunk=sides[0], shard=sides[1])
    for level, shape in enumerate(template.level_shapes):
        chunks, shards = template.chunks(level), template.shards(level)
        assert all(shard % chunk == 0 for shard, chunk in zip(shards[1:], chunks[1:], strict=True))
        covered = np.zeros(shape, int)
        for region in template.regions(level):
            covered[region.slices] += 1
            assert region.y0 % shards[1] == 0
            assert region.x0 % shards[2] == 0
            assert region.y1 % shards[1] == 0 or region.y1 == shape[0]
            assert region.x1 % shards[2] == 0 or region.x1 == shape[1]
        assert (covered == 1).all()


@settings(max_examples=10)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 3), st.sampled_from(["0.4", "0.5"]))
def test_any_size_is_written_and_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    write_image: WriteImage,
    height: int,
    width: int,
    n_channels: int,
    version: str,
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.ome.zarr"
    pixels = np.random.default_rng(height).integers(0, 255, (n_channels, height, width), dtype=np.uint8)
    write_image(path, pixels, ome_version=version)
    group = zarr.open_group(path, mode="r")
    stored = group["0"]
    assert isinstance(stored, zarr.Array)

    open_ome_zarr(group)
    np.testing.assert_array_equal(np.asarray(stored[:]), pixels)


def test_creating_again_keeps_pixels_unless_the_template_is_another(tmp_path: Path) -> None:
    path, region = tmp_path / "a.ome.zarr", Region(0, 256, 0, 256)
    create_image(path, _template())
    write_region(path, 0, region, np.ones((2, 256, 256), np.uint8))
    create_image(path, _template())
    assert np.asarray(zarr.open_array(path / "0", mode="r")[:]).any()

    create_image(path, _template(dtype="uint16"))
    assert not np.asarray(zarr.open_array(path / "0", mode="r")[:]).any()
    write_region(path, 0, region, np.full((2, 256, 256), 1000, np.uint16))
    assert np.asarray(zarr.open_array(path / "0", mode="r")[:]).max() == 1000


def test_windows_are_those_of_the_template_or_what_is_seen(tmp_path: Path, write_image: WriteImage) -> None:
    grey = np.array([[[3, 900], [0, 20]]], np.uint16)
    write_image(tmp_path / "grey.ome.zarr", grey)
    write_image(tmp_path / "map.ome.zarr", grey.astype(np.float32), windows=(Window(0, 1, -1, 1),))
    rgb = np.full((3, 4, 4), 7, np.uint8)
    write_image(tmp_path / "rgb.ome.zarr", rgb, channel_names=("Red", "Green", "Blue"))
    windows = [
        zarr.open_group(tmp_path / f"{name}.ome.zarr").attrs.asdict()["ome"]["omero"]["channels"][0]["window"]
        for name in ("grey", "map", "rgb")
    ]

    assert windows[0] == {"start": 0, "end": 900, "min": 0, "max": 65535}
    assert windows[1] == {"start": 0, "end": 1, "min": -1, "max": 1}
    assert windows[2] == {"start": 0, "end": 255, "min": 0, "max": 255}


def test_constant_and_nan_images_get_windows(tmp_path: Path, write_image: WriteImage) -> None:
    for i, value in enumerate((0.0, np.nan, -3.0, 5.0)):
        write_image(tmp_path / f"{i}.ome.zarr", np.full((1, 8, 8), value, np.float32))
        group = zarr.open_group(tmp_path / f"{i}.ome.zarr", mode="r")
        window = group.attrs.asdict()["ome"]["omero"]["channels"][0]["window"]

        open_ome_zarr(group)
        assert window["start"] < window["end"]


@pytest.mark.parametrize(
    "changes", [{"ome_version": "0.6"}, {"shard": 100}, {"chunk": 0}, {"channel_names": ("a",)}, {"channel_colors": ()}]
)
def test_templates_that_contradict_themselves_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        _template(**changes)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EACCES, "permissions")],
)
def test_a_full_disk_says_the_way_out(code: int, remedy: str) -> None:
    with (
        pytest.raises(StoreError, match=f"/out/a: expected to write, got .*{remedy}.*same command"),
        store_errors("/out/a"),
    ):
        raise OSError(code, os.strerror(code))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"file/a\.ome\.zarr: expected to write"):
        create_image(tmp_path / "file" / "a.ome.zarr", _template())
    with pytest.raises(StoreError, match="create_image first"):
        write_region(tmp_path / "nothing", 0, Region(0, 8, 0, 8), np.zeros((1, 8, 8)))


def test_0_6_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"expected OME-Zarr 0\.4 or 0\.5 to write, got 0\.6: it is read, but"):
        _template("0.6")


@pytest.mark.parametrize(
    "changes",
    [
        {"pixel_size_um": (np.nan, 1.0)},
        {"pixel_size_um": (0.0, 1.0)},
        {"pixel_size_um": (np.inf, 1.0)},
        {"scale": (-1.0, 1.0)},
        {"translation": (np.nan, 0.0)},
    ],
)
def test_sizes_that_no_metadata_can_hold_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected pixels of a size above 0"):
        _template(**changes)


def _multiscale(path: Path) -> dict[str, Any]:
    attributes: dict[str, Any] = zarr.open_group(path, mode="r").attrs.asdict()
    found: dict[str, Any] = attributes.get("ome", attributes)["multiscales"][0]
    return found


def _places(multiscale: dict[str, Any]) -> list[tuple[list[float], list[float]]]:
    transforms = [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
    return [(scale["scale"], translation["translation"]) for scale, translation in transforms]


@VERSIONS
def test_what_is_written_of_a_pyramid_is_what_was_done(tmp_path: Path, write_image: WriteImage, version: str) -> None:
    pixels = np.zeros((1, 1100, 600), np.uint8)
    shared = {"ome_version": version, "pixel_size_um": (0.5, 0.25), "translation": (10.0, 20.0)}
    write_image(tmp_path / "mean.ome.zarr", pixels, **shared)
    write_image(tmp_path / "nearest.ome.zarr", pixels, pyramid="nearest", **shared)
    write_image(tmp_path / "one.ome.zarr", pixels, n_levels=1, **shared)
    mean, nearest, one = (_multiscale(tmp_path / f"{name}.ome.zarr") for name in ("mean", "nearest", "one"))

    assert mean["metadata"]["method"] == "mean of 2 x 2 pixels"
    assert nearest["metadata"]["method"] == "every other pixel along y and x"
    assert "method" not in one.get("metadata", {})
    sizes = [[1.0, 0.5 * k, 0.25 * k] for k in (1, 2, 4)]
    assert _places(mean) == list(zip(sizes, [[0, 5, 5], [0, 5.25, 5.125], [0, 5.75, 5.375]], strict=True))
    # Every other pixel, from the first on: that one stays where it is.
    assert _places(nearest) == list(zip(sizes, [[0, 5, 5]] * 3, strict=True))
    for name, first in (("mean", 5.75), ("nearest", 5.0)):
        np.testing.assert_allclose(open_image(tmp_path / f"{name}.ome.zarr", level=2).y.values[:2], [first, first + 2])


@VERSIONS
def test_an_empty_image_has_all_its_files(tmp_path: Path, write_image: WriteImage, version: str) -> None:
    write_image(tmp_path / "a.ome.zarr", np.zeros((2, 300, 140), np.uint8), ome_version=version, n_levels=1)
    files = [path for path in (tmp_path / "a.ome.zarr/0").rglob("*") if path.is_file() and path.name[0] not in ".z"]
    assert len(files) == (3 * 2 if version == "0.5" else 2 * 5 * 3)
