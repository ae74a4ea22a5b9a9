"""Images are described, read and opened as they were written, by us and by other tools."""

from __future__ import annotations

import json
import pickle
import shutil
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, ShapeError, SourceError, StoreError
from simsearch.io.ome_zarr.image import describe_image, open_image, read_region
from simsearch.io.ome_zarr.plates.hierarchy import find_images
from simsearch.io.ome_zarr.pyramid import halved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.image import Selection
    from simsearch.io.ome_zarr.writing import ImageTemplate

    Pixels = NDArray[np.uint16]
    WriteImage = Callable[..., ImageTemplate]

_WHOLE = Region(0, 64, 0, 64)


@pytest.fixture(scope="session", params=["0.4", "0.5"])
def image_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("image") / "cells.ome.zarr"
    write_image, pixels = request.getfixturevalue("write_image"), request.getfixturevalue("pixels")
    write_image(path, pixels, ome_version=request.param, pixel_size_um=(0.5, 0.25), channel_names=("GFP", "DNA"))
    return path


class _Plain(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in the library
        pass


class _Ranges(_Plain):
    """Serves parts of files, as real servers do."""

    def do_GET(self) -> None:
        wanted, path = self.headers["Range"], Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        start, end = wanted.removeprefix("bytes=").split("-")
        part = content[int(start) : int(end) + 1 if end else None] if start else content[-int(end) :]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@contextmanager
def _served(folder: Path, handler: type[_Plain]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_an_image_is_described_as_it_was_written(image_path: Path) -> None:
    image = describe_image(image_path)

    assert (image.name, image.n_channels, image.channel_names) == ("cells", 2, ("GFP", "DNA"))
    assert (image.dtype, image.shape, image.pixel_size_um) == ("uint16", (1301, 723), (0.5, 0.25))
    assert [level.shape for level in image.levels] == [(1301, 723), (651, 362), (326, 181)]
    assert [level.downsampling for level in image.levels] == [(1, 1), (2, 2), (4, 4)]
    assert pickle.loads(pickle.dumps(image)) == image


@given(y=st.tuples(st.integers(0, 1301), st.integers(0, 1301)), x=st.tuples(st.integers(0, 723), st.integers(0, 723)))
def test_any_region_is_read(image_path: Path, pixels: Pixels, y: tuple[int, int], x: tuple[int, int]) -> None:
    region = Region(min(y), max(y), min(x), max(x))
    block = read_region(describe_image(image_path), 0, region)

    np.testing.assert_array_equal(block, pixels[(slice(None), *region.slices)])


@pytest.mark.parametrize("channels", [[0], [1], [1, 0], [0, 0, 1]])
def test_channels_come_in_the_order_that_was_asked_for(image_path: Path, pixels: Pixels, channels: list[int]) -> None:
    block = read_region(describe_image(image_path), 0, _WHOLE, channels)

    np.testing.assert_array_equal(block, pixels[channels, :64, :64])


@pytest.mark.parametrize("region", [Region(-1, 5, 0, 5), Region(0, 1302, 0, 5), Region(0, 5, 720, 724)])
def test_a_region_outside_is_refused(image_path: Path, region: Region) -> None:
    with pytest.raises(ShapeError, match="inside"):
        read_region(describe_image(image_path), 0, region)


def test_a_channel_that_is_not_there_is_refused(image_path: Path) -> None:
    with pytest.raises(ShapeError, match="channels out of 2"):
        read_region(describe_image(image_path), 0, _WHOLE, [2])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_an_image_opens_lazily_with_coordinates(image_path: Path, pixels: Pixels, level: int) -> None:
    array = open_image(image_path, level=level)
    for _ in range(level):
        pixels = halved(pixels)
    step, first = 2**level, (2**level - 1) / 2

    assert array.chunks is not None
    assert array.dims == ("c", "y", "x")
    assert list(array.c.values) == ["GFP", "DNA"]
    assert array.attrs["unit"] == "micrometer"
    np.testing.assert_allclose(array.y.values[:2], [first * 0.5, (first + step) * 0.5])
    np.testing.assert_allclose(array.x.values[:2], [first * 0.25, (first + step) * 0.25])
    np.testing.assert_array_equal(array.values, pixels)


def test_what_is_drawn_stays_in_place_on_all_levels(tmp_path: Path, write_image: WriteImage) -> None:
    y, x = np.mgrid[:1301, :723]
    spot = 1000 * np.exp(-((y - 1050.3) ** 2 + (x - 400.7) ** 2) / (2 * 30**2))
    write_image(tmp_path / "a.ome.zarr", spot.astype(np.float32)[np.newaxis])
    for level in range(3):
        array = open_image(tmp_path / "a.ome.zarr", level=level)[0]
        weights = array / array.sum()

        assert float((weights * array.y).sum()) == pytest.approx(1050.3, abs=0.05)
        assert float((weights * array.x).sum()) == pytest.approx(400.7, abs=0.05)


def test_without_pixel_size_coordinates_are_pixels(tmp_path: Path, write_image: WriteImage, pixels: Pixels) -> None:
    write_image(tmp_path / "a.ome.zarr", pixels, scale=(8, 8), translation=(3.5, 3.5), n_levels=1)
    array = open_image(tmp_path / "a.ome.zarr")

    assert array.attrs["unit"] == "pixel"
    assert describe_image(tmp_path / "a.ome.zarr").pixel_size_um is None
    np.testing.assert_allclose(array.y.values[:2], [3.5, 11.5])


def test_a_level_that_is_not_there_is_refused(image_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 to 2"):
        open_image(image_path, level=3)


def test_images_are_read_over_http(image_path: Path, pixels: Pixels) -> None:
    with _served(image_path.parent, _Ranges) as address:
        (image,) = find_images([f"{address}/cells.ome.zarr"])

        assert image.name == "cells"
        np.testing.assert_array_equal(read_region(image, 0, _WHOLE), pixels[:, :64, :64])
        np.testing.assert_array_equal(open_image(image, level=2).values, halved(halved(pixels)))


def test_shards_on_a_server_that_cannot_serve_parts_are_refused(
    tmp_path: Path, write_image: WriteImage, pixels: Pixels
) -> None:
    for version in ("0.4", "0.5"):
        write_image(tmp_path / f"v{version}.ome.zarr", pixels, ome_version=version)
    with _served(tmp_path, _Plain) as address:
        image = describe_image(f"{address}/v0.4.ome.zarr")
        np.testing.assert_array_equal(read_region(image, 0, _WHOLE), pixels[:, :64, :64])
        with pytest.raises(SourceError, match="parts of files"):
            describe_image(f"{address}/v0.5.ome.zarr")


def test_an_image_that_was_written_anew_on_a_server_is_read_anew(tmp_path: Path, write_image: WriteImage) -> None:
    path = tmp_path / "a.ome.zarr"
    with _served(tmp_path, _Ranges) as address:
        for version in ("0.4", "0.5"):
            shutil.rmtree(path, ignore_errors=True)
            write_image(path, np.full((1, 64, 64), 7, np.uint8), ome_version=version)
            image = describe_image(f"{address}/a.ome.zarr")

            assert (read_region(image, 0, _WHOLE) == 7).all()


def test_a_server_without_the_image_is_named(tmp_path: Path) -> None:
    with _served(tmp_path, _Plain) as address, pytest.raises(SourceError, match=r"nothing\.zarr: expected an OME-Zarr"):
        describe_image(f"{address}/nothing.zarr")


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/a\.zarr: expected an OME-Zarr"):
        describe_image("http://127.0.0.1:9/a.zarr")


def test_a_damaged_chunk_names_image_level_and_region(tmp_path: Path, write_image: WriteImage, pixels: Pixels) -> None:
    path = tmp_path / "cells.ome.zarr"
    write_image(path, pixels, ome_version="0.4")
    chunk = path / "1/0/2/3"
    chunk.write_bytes(chunk.read_bytes()[:-100])
    image = describe_image(path)

    read_region(image, 1, Region(0, 128, 0, 128))
    with pytest.raises(StoreError, match=r"cells: expected pixels at level 1, Region\(y0=128"):
        read_region(image, 1, Region(128, 300, 100, 300))


def test_an_image_that_was_written_anew_is_read_anew(tmp_path: Path, write_image: WriteImage) -> None:
    path = tmp_path / "a.ome.zarr"
    for shape in ((1, 80, 70), (1, 60, 90)):
        shutil.rmtree(path, ignore_errors=True)
        write_image(path, np.full(shape, shape[1], np.uint16))
        image = describe_image(path)

        assert read_region(image, 0, Region(0, *image.shape[:1], 0, 70)).tolist()[0][-1][-1] == shape[1]


def test_missing_and_other_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing there"):
        describe_image(tmp_path / "a.zarr")
    with pytest.raises(SourceError, match="no Zarr group"):
        describe_image(tmp_path)
    zarr.create_group(tmp_path / "plain.zarr")
    with pytest.raises(SourceError, match="without OME metadata"):
        describe_image(tmp_path / "plain.zarr")


@pytest.mark.parametrize("version", ["0.7", "0.60", "1.0"])
def test_other_versions_are_refused(tmp_path: Path, write_image: WriteImage, version: str) -> None:
    path = tmp_path / "a.ome.zarr"
    write_image(path, np.zeros((1, 8, 8), np.uint8))
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome"]["version"] = version
    (path / "zarr.json").write_text(json.dumps(metadata))

    with pytest.raises(SourceError, match=f"expected OME-Zarr 0.1 to 0.6, got '{version}'"):
        describe_image(path)


def test_broken_metadata_is_named(tmp_path: Path, write_image: WriteImage) -> None:
    path = tmp_path / "a.ome.zarr"
    write_image(path, np.zeros((1, 8, 8), np.uint8))
    metadata = json.loads((path / "zarr.json").read_text())
    del metadata["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    (path / "zarr.json").write_text(json.dumps(metadata))

    with pytest.raises(SourceError, match="coordinateTransformations"):
        describe_image(path)


@pytest.mark.parametrize("version", ["v04", "v05"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "tyx", "czyx", "tcyx", "tzyx", "tczyx", "c1yx"])
@pytest.mark.parametrize("selection", [0, 1, "max"])
def test_every_order_of_axes_is_read(shared_data: Path, version: str, axes: str, selection: Selection) -> None:
    path = shared_data / f"ome_zarr/ngio/{version}/images/test_image_{axes}.zarr"
    z, t = (selection if axis in axes else None for axis in "zt")
    image = describe_image(path, z=z, t=t)

    assert image.axes == axes.replace("1", "z")
    assert read_region(image, 0, _WHOLE).shape == (image.n_channels, 64, 64)
    assert open_image(image).shape == (image.n_channels, 64, 64)
    assert image.pixel_size_um == (0.5, 0.5)
    for axis in set("zt") & set(axes):
        with pytest.raises(ConfigError, match=f"--{axis} INDEX"):
            describe_image(path, **{axis: None, "zt".replace(axis, ""): 0})


def test_planes_and_time_points_are_chosen(tmp_path: Path, write_image: WriteImage) -> None:
    path = tmp_path / "a.zarr"
    stack = np.random.default_rng(0).integers(0, 255, (3, 2, 4, 20, 30), dtype=np.uint8)
    write_image(path, np.zeros((1, 8, 8), np.uint8))
    array = zarr.create_array(path / "0", data=stack, chunks=(1, 1, 1, 16, 16), overwrite=True)
    group = zarr.open_group(path)
    ome = group.attrs.asdict()["ome"]
    ome["multiscales"][0]["axes"] = [
        {"name": "t", "type": "time"},
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space"} for name in "zyx"),
    ]
    ome["multiscales"][0]["datasets"] = [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * array.ndim}]}
    ]
    group.attrs["ome"] = ome
    everything = Region(0, 20, 0, 30)
    for z, t, expected in (
        (2, 1, stack[1, :, 2]),
        ("max", 0, stack[0].max(axis=1)),
        (3, "max", stack[:, :, 3].max(axis=0)),
        ("max", "max", stack.max(axis=(0, 2))),
    ):
        image = describe_image(path, z=z, t=t)  # type: ignore[arg-type]
        np.testing.assert_array_equal(read_region(image, 0, everything), expected)
        np.testing.assert_array_equal(read_region(image, 0, everything, [1]), expected[1:])
        np.testing.assert_array_equal(open_image(image).values, expected)


def test_an_image_of_other_tools_is_read(shared_data: Path) -> None:
    path = shared_data / "ome_zarr/fractal_real/cardiomyocyte_B03_mip.zarr"
    image = describe_image(path)
    independent = zarr.open_group(path, mode="r")["1"]
    assert isinstance(independent, zarr.Array)

    assert image.channel_names == ("DAPI", "nanog", "Lamin B1")
    assert (image.shape, image.pixel_size_um) == ((1080, 1280), (0.65, 0.65))
    assert [level.downsampling for level in image.levels] == [(1, 1), (2, 2), (4, 4)]
    np.testing.assert_array_equal(
        read_region(image, 0, Region(500, 700, 300, 900), [2, 0]),
        np.asarray(independent[:])[[2, 0], 0, 500:700, 300:900],
    )


def test_published_examples_of_metadata_are_told_apart(shared_data: Path) -> None:
    folder = shared_data / "ome_zarr/ome-zarr-models"
    with pytest.raises(SourceError, match="got a scene: point to one of its images"):
        describe_image(folder / "v06/stitched_tiles_2d.zarr")
    assert describe_image(folder / "v06/stitched_tiles_2d.zarr/tile_0").pixel_size_um is not None
    with pytest.raises(SourceError, match="point to one of its images"):
        describe_image(folder / "v04/hcs_example.ome.zarr")
    assert describe_image(folder / "v04/hcs_example.ome.zarr/B/03/0", z=0).name == "hcs_example/B/03/0"
