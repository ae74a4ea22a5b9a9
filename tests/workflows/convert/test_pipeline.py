"""Images become OME-Zarr that validates, has the pixels of the source, and is complete or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models import open_ome_zarr
from PIL import Image

from simsearch.errors import ConfigError, SimSearchError, SourceError, StoreError
from simsearch.io.ome_zarr.image import describe_image, open_image
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.io.ome_zarr.writing import read_level, store_errors
from simsearch.io.tables.records import journal as journal_module
from simsearch.io.tables.records.journal import JOURNAL_NAME, Journal
from simsearch.runtime.events import StepEnded, StepStarted, TaskDone
from simsearch.workflows.convert import pipeline
from simsearch.workflows.convert import tasks as convert_tasks
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client
    from numpy.typing import DTypeLike, NDArray

    from simsearch.core.tiles import Region
    from simsearch.io.ome_zarr.writing import OmeVersion

    WriteRegion = Callable[[str, int, Region, NDArray[Any]], None]

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])
SMALL = {"chunk": 32, "shard": 64}


def noise(*shape: int, dtype: DTypeLike = np.uint8, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)


def levels(path: Path) -> list[NDArray[Any]]:
    return [open_image(path, level=i).values for i in range(len(describe_image(path).levels))]


def save_png(path: Path, pixels: NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images are divided too; the client's workers are threads of this process."""
    monkeypatch.setattr(convert_tasks, "_WHOLE_BYTES", 0)
    monkeypatch.setattr(convert_tasks, "_BAND_BYTES", 3 * 64 * 256)


@pytest.fixture(params=["squares", "shards"])
def division(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose what a task is where images are divided."""
    monkeypatch.setattr(pipeline, "_SQUARES_PER_THREAD", {"squares": 0, "shards": 1e9}[request.param])
    return str(request.param)


@VERSIONS
@pytest.mark.parametrize("layout", ["tiled", "strips", "plain", "one strip"])
@pytest.mark.usefixtures("in_tiles")
def test_tiles_make_the_pyramid_of_the_whole_image(
    client: Client, tmp_path: Path, version: OmeVersion, layout: str, division: str
) -> None:
    pixels = noise(531, 1047, 3)
    options: dict[str, Any] = {
        "tiled": {"tile": (48, 80), "compression": "zlib"},
        "strips": {"rowsperstrip": 10, "compression": "zlib"},
        "plain": {},
        "one strip": {"rowsperstrip": 531, "compression": "zlib"},
    }[layout]
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", resolution=(20_000, 20_000), resolutionunit=3, **options
    )
    report = convert(
        client, [tmp_path / "a.tif"], tmp_path / "a.ome.zarr", ConvertOptions(ome_version=version, **SMALL)
    )
    expected = pixels.transpose(2, 0, 1)
    image = describe_image(tmp_path / "a.ome.zarr")

    open_ome_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))
    assert report.n_images == 1
    most = {"squares": 5 * 9 + 2 * 3, "shards": 9 * 17 + 5 * 9 + 3 * 5}[division]
    n_tasks = {"strips": {"squares": 5 * 5 + 2 * 3, "shards": 9 * 5 + 5 * 9 + 3 * 5}[division], "one strip": 1}
    assert report.n_tasks == n_tasks.get(layout, most)
    assert (image.channel_names, image.channel_colors) == (("Red", "Green", "Blue"), ("FF0000", "00FF00", "0000FF"))
    assert image.pixel_size_um == (0.5, 0.5)
    for level in levels(tmp_path / "a.ome.zarr"):
        np.testing.assert_array_equal(level, expected)
        expected = halved(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a.tif"]
    assert not (tmp_path / "a.ome.zarr" / JOURNAL_NAME).exists()


@pytest.mark.usefixtures("in_tiles")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_files_are_the_same_however_an_image_is_divided(client: Client, tmp_path: Path, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(300, 1100, dtype=dtype), tile=(48, 80), compression="zlib")
    found = {}
    for division in (0, 1e9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "_SQUARES_PER_THREAD", division)
            convert(client, [tmp_path / "a.tif"], tmp_path / "a.ome.zarr", ConvertOptions(overwrite=True, **SMALL))
        files = (path for path in (tmp_path / "a.ome.zarr").rglob("*") if path.is_file())
        found[division] = {path: path.read_bytes() for path in files}

    assert len(found[0]) > 100
    assert found[0] == found[1e9]


@pytest.mark.usefixtures("in_tiles")
def test_squares_are_not_read_again_for_the_level_above(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counted(path: str, level: int, region: Region, channels: slice) -> NDArray[Any]:
        read.append(level)
        return read_level(path, level, region, channels)

    monkeypatch.setattr(pipeline, "_SQUARES_PER_THREAD", 0)
    monkeypatch.setattr(convert_tasks, "read_level", counted)
    tifffile.imwrite(tmp_path / "a.tif", noise(300, 2100), tile=(48, 80), compression="zlib")
    convert(client, [tmp_path / "a.tif"], tmp_path / "a.ome.zarr", ConvertOptions(**SMALL))

    assert len(describe_image(tmp_path / "a.ome.zarr").levels) == 4
    assert set(read) == {1}, "levels 1 and 3 are made of what was in memory"


@VERSIONS
def test_small_images_are_one_task(client: Client, tmp_path: Path, version: OmeVersion) -> None:
    pixels = noise(700, 600)
    report = convert(
        client, [save_png(tmp_path / "a.png", pixels)], tmp_path / "a.zarr", ConvertOptions(ome_version=version)
    )
    first, second = levels(tmp_path / "a.zarr")

    assert report.n_tasks == 1
    np.testing.assert_array_equal(first[0], pixels)
    np.testing.assert_array_equal(second[0], halved(pixels))


@VERSIONS
def test_the_validators_command_line_accepts_the_result(client: Client, tmp_path: Path, version: OmeVersion) -> None:
    convert(
        client,
        [save_png(tmp_path / "a.png", noise(60, 50, 3))],
        tmp_path / "a.zarr",
        ConvertOptions(ome_version=version),
    )
    command = [str(Path(sys.executable).parent / "ome-zarr-models"), "validate", str(tmp_path / "a.zarr")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_result_tells_what_made_it(client: Client, tmp_path: Path) -> None:
    convert(
        client,
        [save_png(tmp_path / "cells.png", noise(60, 50))],
        tmp_path / "a.zarr",
        ConvertOptions(chunk=64, shard=128),
    )
    stored: Any = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["simsearch"]

    assert stored["sources"] == ["cells.png"]
    assert stored["options"]["chunk"] == 64
    assert stored["version"]


def test_names_and_sizes_that_the_user_gives_come_first(client: Client, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(2, 60, 50))
    options = ConvertOptions(channel_names=("DAPI", "GFP"), pixel_size_um=(0.3, 0.4))
    convert(client, [tmp_path / "a.npy"], tmp_path / "a.zarr", options)
    image = describe_image(tmp_path / "a.zarr")

    assert (image.channel_names, image.channel_colors) == (("DAPI", "GFP"), ("0000FF", "00FF00"))
    assert image.pixel_size_um == (0.3, 0.4)
    with pytest.raises(ConfigError, match="names for 2 channels, got 3"):
        convert(client, [tmp_path / "a.npy"], tmp_path / "b.zarr", ConvertOptions(channel_names=("a", "b", "c")))


def test_a_size_without_a_unit_is_kept_without_one(client: Client, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(2, 60, 50, dtype=np.uint16))
    convert(client, [tmp_path / "a.npy"], tmp_path / "a.ome.zarr")
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r+")
    ome = group.attrs["ome"]
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 0.5, 0.25]},
        {"type": "translation", "translation": [0, 10, 20]},
    ]
    group.attrs["ome"] = ome
    report = convert(client, [tmp_path / "a.ome.zarr"], tmp_path / "b.ome.zarr")
    copy = describe_image(tmp_path / "b.ome.zarr")

    assert (copy.pixel_size_um, copy.spacing, copy.origin) == (None, (0.5, 0.25), (10, 20))
    assert report.notes == ("a: a pixel size of 0.5 x 0.25 has no unit; `simsearch convert --pixel-size` sets one",)
    convert(client, [tmp_path / "a.ome.zarr"], tmp_path / "c.ome.zarr", ConvertOptions(pixel_size_um=(2.0, 2.0)))
    sized = describe_image(tmp_path / "c.ome.zarr")
    assert (sized.pixel_size_um, sized.origin) == ((2.0, 2.0), (40, 160))


def test_archives_are_converted_alone_and_from_a_folder(client: Client, tmp_path: Path) -> None:
    pixels = noise(1, 60, 50, dtype=np.uint16)
    np.save(tmp_path / "a.npy", pixels)
    convert(client, [tmp_path / "a.npy"], tmp_path / "a.ome.zarr")
    (tmp_path / "in").mkdir()
    for name in ("a.ozx", "b.ome.zarr.zip"):
        with zipfile.ZipFile(tmp_path / "in" / name, "w") as archive:
            for file in (tmp_path / "a.ome.zarr").rglob("*"):
                archive.write(file, file.relative_to(tmp_path / "a.ome.zarr"))
    convert(client, [tmp_path / "in/a.ozx"], tmp_path / "one.ome.zarr")
    convert(client, [tmp_path / "in"], tmp_path / "out")

    for path in ("one.ome.zarr", "out/a.ome.zarr", "out/b.ome.zarr"):
        np.testing.assert_array_equal(levels(tmp_path / path)[0], pixels)


def test_many_images_become_a_folder(client: Client, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        save_png(tmp_path / "in" / f"cells-{i}.png", noise(40 + i, 50, seed=i))
    save_png(tmp_path / "in" / "cells-0.bmp", noise(9, 9))
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    report = convert(client, [tmp_path / "in"], tmp_path / "out")

    assert report.n_images == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cells-0.bmp.ome.zarr",
        "cells-0.png.ome.zarr",
        "cells-1.ome.zarr",
        "cells-2.ome.zarr",
    ]
    np.testing.assert_array_equal(levels(tmp_path / "out" / "cells-2.ome.zarr")[0][0], noise(42, 50, seed=2))


@VERSIONS
def test_one_version_becomes_the_other(client: Client, tmp_path: Path, version: OmeVersion) -> None:
    other: Any = {"0.4": "0.5", "0.5": "0.4"}[version]
    np.save(tmp_path / "a.npy", noise(2, 700, 50, dtype=np.uint16))
    options = ConvertOptions(ome_version=version, channel_names=("GFP", "DNA"), pixel_size_um=(0.5, 0.25))
    convert(client, [tmp_path / "a.npy"], tmp_path / "a.ome.zarr", options)
    convert(client, [tmp_path / "a.ome.zarr"], tmp_path / "b.ome.zarr", ConvertOptions(ome_version=other))
    one, two = describe_image(tmp_path / "a.ome.zarr"), describe_image(tmp_path / "b.ome.zarr")

    assert (one.channel_names, one.pixel_size_um, one.origin) == (two.channel_names, two.pixel_size_um, two.origin)
    for first, second in zip(levels(tmp_path / "a.ome.zarr"), levels(tmp_path / "b.ome.zarr"), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_real_slide_is_converted(client: Client, tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "wsi_and_tiff/CMU-1-Small-Region.svs"
    convert(client, [source], tmp_path / "slide.ome.zarr")
    image = describe_image(tmp_path / "slide.ome.zarr")

    assert (image.shape, image.pixel_size_um) == ((2967, 2220), (0.499, 0.499))
    assert [level.shape for level in image.levels] == [(2967, 2220), (1484, 1110), (742, 555), (371, 278)]
    # tifffile decodes the JPEG tiles with another library: equal but for its rounding.
    difference = levels(tmp_path / "slide.ome.zarr")[0].astype(int) - tifffile.imread(source).transpose(2, 0, 1)
    assert np.abs(difference).max() <= 2


def test_progress_is_told(client: Client, tmp_path: Path) -> None:
    events: list[Any] = []
    convert(client, [save_png(tmp_path / "a.png", noise(60, 50))], tmp_path / "a.zarr", observe=events.append)

    steps = [event.step for event in events if isinstance(event, StepStarted)]
    assert steps == ["check", "level 0", "finish"]
    assert [event.step for event in events if isinstance(event, StepEnded)] == steps
    assert [event.task for event in events if isinstance(event, TaskDone)] == ["a", "a", "a"]


# What contradicts itself


@pytest.mark.parametrize(
    ("destination", "options", "error", "message"),
    [
        ("out.ome.zarr", {}, ConfigError, "expected one image for .*out.ome.zarr, got 2"),
        ("out", {"plate_map": Path("map.csv")}, ConfigError, "add --plate-pattern"),
        ("https://server/out", {}, ConfigError, "expected a path or a URL with s3://"),
        ("out", {"ome_version": "0.6"}, ConfigError, "0.4 or 0.5"),
        ("out", {"chunk": 100, "shard": 250}, ConfigError, "multiple of the chunk"),
    ],
)
def test_options_that_contradict_each_other(
    client: Client, tmp_path: Path, destination: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    sources = [save_png(tmp_path / f"{i}.png", noise(9, 9)) for i in range(2)]
    (tmp_path / "map.csv").write_text("well,drug\nA1,x\n")
    options = {name: tmp_path / value if isinstance(value, Path) else value for name, value in options.items()}
    with pytest.raises(error, match=message):
        convert(
            client, sources, destination if ":" in destination else tmp_path / destination, ConvertOptions(**options)
        )
    assert not (tmp_path / destination).exists()


def test_images_of_the_same_name_are_refused(client: Client, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save_png(tmp_path / folder / "x.png", noise(9, 9))
    with pytest.raises(ConfigError, match=r"different names, got .*a/x.png and .*b/x.png"):
        convert(client, [tmp_path / "a", tmp_path / "b"], tmp_path / "out")


def test_no_sources_and_no_images_are_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one source"):
        convert(client, [], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no image in it"):
        convert(client, [tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(SourceError, match="nothing there"):
        convert(client, [tmp_path / "none.png"], tmp_path / "out.zarr")


def test_a_stack_needs_a_choice(client: Client, tmp_path: Path) -> None:
    stack = noise(3, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(ConfigError, match="--z INDEX"):
        convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr")
    convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr", ConvertOptions(z="max"))

    np.testing.assert_array_equal(levels(tmp_path / "a.zarr")[0][0], stack.max(axis=0))


# Bad images among good ones


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        save_png(folder / f"{i}.png", noise(40, 50, seed=i))
    return folder


@pytest.mark.parametrize("damage", ["empty", "cut off", "text", "colours", "depth"])
def test_bad_images_are_left_out_only_on_request(client: Client, tmp_path: Path, batch: Path, damage: str) -> None:
    bad = batch / "2.png"
    content = bad.read_bytes()
    if damage in ("colours", "depth"):
        save_png(bad, noise(40, 50, 3) if damage == "colours" else noise(40, 50, dtype=np.uint16))
    else:
        bad.write_bytes({"empty": b"", "cut off": content[: len(content) // 2], "text": b"no image" * 99}[damage])
    with pytest.raises(SourceError, match=r"2\.png"):
        convert(client, [batch], tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.zarr"))
    report = convert(client, [batch], tmp_path / "out", ConvertOptions(skip_errors=True))

    ((name, message),) = report.failures
    assert name == "2"
    assert "2.png" in message
    assert report.n_images == 3
    assert sorted(path.name for path in (tmp_path / "out").glob("*.zarr")) == [f"{i}.ome.zarr" for i in (0, 1, 3)]


def test_what_is_true_of_many_images_is_said_once(client: Client, tmp_path: Path, batch: Path) -> None:
    for path in batch.iterdir():
        Image.open(path).convert("LA").save(path)
    report = convert(client, [batch], tmp_path / "out")

    assert report.notes == ("4 images: transparency is left out",)


def test_the_first_two_images_that_differ_are_named(client: Client, tmp_path: Path, batch: Path) -> None:
    for i in (2, 3):
        save_png(batch / f"{i}.png", noise(40, 50, 3))
    with pytest.raises(SourceError, match=r"got 1 x uint8 in .*/0\.png and 3 x uint8 in .*/2\.png: convert them apart"):
        convert(client, [batch], tmp_path / "out")


def test_nothing_but_bad_images_is_an_error(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SourceError, match="an empty file"):
        convert(client, [tmp_path / "a.png"], tmp_path / "out", ConvertOptions(skip_errors=True))


@pytest.mark.usefixtures("in_tiles")
def test_a_damaged_tile_leaves_its_image_out(client: Client, tmp_path: Path) -> None:
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", noise(200, 200), compression="zlib", tile=(64, 64))
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        offset = tiff.pages.first.dataoffsets[-1]
    with (tmp_path / "b.tif").open("r+b") as file:
        file.seek(offset)
        file.write(bytes(40))
    sources = [tmp_path / "a.tif", tmp_path / "b.tif"]
    with pytest.raises(SourceError, match=r"b\.tif: expected pixels of Region"):
        convert(client, sources, tmp_path / "out", ConvertOptions(**SMALL))
    report = convert(client, sources, tmp_path / "out", ConvertOptions(skip_errors=True, **SMALL))

    assert [name for name, _ in report.failures] == ["b"]
    np.testing.assert_array_equal(levels(tmp_path / "out/a.ome.zarr")[0][0], noise(200, 200))
    assert not (tmp_path / "out/b.ome.zarr").exists()


# Destinations


def test_an_earlier_result_is_replaced_only_on_request_and_when_the_new_one_is_complete(
    client: Client, tmp_path: Path
) -> None:
    target = tmp_path / "a.ome.zarr"
    convert(client, [save_png(tmp_path / "old.png", noise(40, 50))], target)
    new = save_png(tmp_path / "new.png", noise(60, 70, seed=1))
    with pytest.raises(StoreError, match="--overwrite"):
        convert(client, [new], target)
    content = new.read_bytes()
    new.write_bytes(content[:-500])
    with pytest.raises(SourceError, match=r"cut off|truncated|damaged"):
        convert(client, [new], target, ConvertOptions(overwrite=True))
    np.testing.assert_array_equal(levels(target)[0][0], noise(40, 50))

    new.write_bytes(content)
    convert(client, [new], target, ConvertOptions(overwrite=True))
    np.testing.assert_array_equal(levels(target)[0][0], noise(60, 70, seed=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "new.png", "old.png"]


def test_an_image_can_be_converted_onto_itself(client: Client, tmp_path: Path) -> None:
    target = tmp_path / "a.ome.zarr"
    convert(client, [save_png(tmp_path / "a.png", noise(40, 50))], target, ConvertOptions(ome_version="0.4"))
    convert(client, [target], target, ConvertOptions(overwrite=True))

    assert zarr.open_group(target, mode="r").metadata.zarr_format == 3
    np.testing.assert_array_equal(levels(target)[0][0], noise(40, 50))


def test_only_a_zarr_is_overwritten(client: Client, tmp_path: Path) -> None:
    target = tmp_path / "precious.zarr"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    source = save_png(tmp_path / "a.png", noise(9, 9))
    with pytest.raises(StoreError, match="something else"):
        convert(client, [source], target, ConvertOptions(overwrite=True))
    assert (target / "thesis.txt").exists()


def test_a_destination_that_cannot_be_written_is_named(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    source = save_png(tmp_path / "a.png", noise(9, 9))
    with pytest.raises(StoreError, match=r"file/a\.zarr.*expected to write.*same command again"):
        convert(client, [source], tmp_path / "file" / "a.zarr")


@pytest.mark.usefixtures("in_tiles")
def test_a_full_disk_stops_the_conversion_which_goes_on_later(client: Client, tmp_path: Path) -> None:
    pixels = noise(256, 256)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib", tile=(128, 128))
    options = ConvertOptions(chunk=128, shard=128, skip_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert_tasks, "write_region", _full_below(128, convert_tasks.write_region))
        with pytest.raises(StoreError, match="free some space, then run the same command again"):
            convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr", options)
    assert not (tmp_path / "a.zarr").exists()
    report = convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr", options)

    assert report.n_skipped_tasks >= 1
    np.testing.assert_array_equal(levels(tmp_path / "a.zarr")[0][0], pixels)


def _full_below(y: int, write: WriteRegion) -> WriteRegion:
    def full(path: str, level: int, region: Region, block: NDArray[Any]) -> None:
        if region.y0 >= y:
            with store_errors(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, level, region, block)

    return full


# Conversions that were interrupted

_SCRIPT = """
import sys
from simsearch.runtime import open_cluster
from simsearch.workflows.convert import pipeline
from simsearch.workflows.convert import tasks as convert_tasks
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
convert_tasks._WHOLE_BYTES = 0
with open_cluster("threads:2") as client:
    convert(client, [sys.argv[1]], sys.argv[2], ConvertOptions(chunk=64, shard=64))
"""


@pytest.mark.usefixtures("in_tiles")
def test_a_killed_conversion_leaves_nothing_that_opens_and_goes_on_where_it_was(client: Client, tmp_path: Path) -> None:
    pixels, n_tiles = noise(1000, 1000, 3), 16**2
    tifffile.imwrite(tmp_path / "big.tif", pixels, photometric="rgb", tile=(128, 128))
    target, partial = tmp_path / "big.ome.zarr", tmp_path / "big.ome.zarr.partial"
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(tmp_path / "big.tif"), str(target)])
    while process.poll() is None and len(_journaled(partial)) < n_tiles // 4:
        time.sleep(0.002)
    process.kill()
    process.wait()
    done = _journaled(partial)
    assert n_tiles // 4 <= len(done) < n_tiles, "killed in the middle of the first level"
    shards = [partial / n / "c/0" / str(int(y) // 64) / str(int(x) // 64) for _, n, y, x in map(str.split, done)]
    written = {shard: shard.stat().st_mtime_ns for shard in shards}

    assert not target.exists()
    for path in (partial, partial / "0"):
        with pytest.raises(SimSearchError):
            describe_image(path)
    with pytest.raises(Exception, match="Could not successfully validate"):
        open_ome_zarr(zarr.open_group(partial, mode="r"))
    report = convert(client, [tmp_path / "big.tif"], target, ConvertOptions(chunk=64, shard=64))
    convert(client, [tmp_path / "big.tif"], tmp_path / "whole.ome.zarr", ConvertOptions(chunk=64, shard=64))

    assert report.n_skipped_tasks == len(done)
    for shard, time_ns in written.items():
        assert (target / shard.relative_to(partial)).stat().st_mtime_ns == time_ns
    for resumed, whole in zip(levels(target), levels(tmp_path / "whole.ome.zarr"), strict=True):
        np.testing.assert_array_equal(resumed, whole)
    np.testing.assert_array_equal(levels(target)[0], pixels.transpose(2, 0, 1))


def _journaled(partial: Path) -> list[str]:
    try:
        lines = (partial / JOURNAL_NAME).read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [task["task"] for line in lines if line and "task" in (task := json.loads(line))]


@pytest.mark.usefixtures("in_tiles")
def test_what_squares_have_written_is_kept_whoever_goes_on(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, options = noise(256, 900), ConvertOptions(chunk=64, shard=64)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib", tile=(64, 64))
    monkeypatch.setattr(pipeline, "_SQUARES_PER_THREAD", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert_tasks, "write_region", _full_below(128, convert_tasks.write_region))
        with pytest.raises(StoreError):
            convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr", options)
    done = _journaled(tmp_path / "a.zarr.partial")
    report = convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr", options)

    assert report.n_skipped_tasks == len(done) > 0
    assert {name.split()[1] for name in done} == {"0", "1"}
    for level in levels(tmp_path / "a.zarr"):
        np.testing.assert_array_equal(level[0], pixels)
        pixels = halved(pixels)


@pytest.mark.parametrize("n_failures", [2, 100])
def test_what_is_still_written_while_a_folder_is_emptied_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_failures: int
) -> None:
    (tmp_path / "0").mkdir()
    failures, whole = iter(range(n_failures)), journal_module.remove

    def remove(path: Path) -> None:
        if next(failures, None) is not None:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
        whole(path)

    monkeypatch.setattr(journal_module, "remove", remove)
    monkeypatch.setattr(journal_module, "_PAUSE_S", 0)
    if n_failures > 20:
        with pytest.raises(StoreError, match="Directory not empty"):
            Journal(tmp_path, "a")
        monkeypatch.setattr(journal_module, "remove", whole)
    with closing(Journal(tmp_path, "a")):  # which the one that failed let go
        assert [path.name for path in tmp_path.iterdir()] == [JOURNAL_NAME]


def _settle(client: Client) -> None:
    """Wait until nothing is written any more by a conversion that has failed."""
    while any(client.run(lambda dask_worker: len(dask_worker.state.executing)).values()):
        time.sleep(0.01)


@pytest.mark.usefixtures("in_tiles")
@pytest.mark.parametrize("change", ["source", "options", "nothing"])
def test_only_the_same_conversion_goes_on(client: Client, tmp_path: Path, change: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(200, 200), compression="zlib", tile=(64, 64))
    options = ConvertOptions(**SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert_tasks, "write_region", _full_below(128, convert_tasks.write_region))
        with pytest.raises(StoreError):
            convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr", options)
    _settle(client)
    if change == "source":
        tifffile.imwrite(tmp_path / "a.tif", noise(200, 200, seed=1), compression="zlib", tile=(64, 64))
    if change == "options":
        options = ConvertOptions(ome_version="0.4", **SMALL)
    report = convert(client, [tmp_path / "a.tif"], tmp_path / "a.zarr", options)

    assert (report.n_skipped_tasks > 0) == (change == "nothing")
    np.testing.assert_array_equal(levels(tmp_path / "a.zarr")[0][0], noise(200, 200, seed=int(change == "source")))


def test_nobody_else_finishes_what_is_being_finished(client: Client, tmp_path: Path) -> None:
    source, destination = save_png(tmp_path / "a.png", noise(70, 90)), tmp_path / "a.ome.zarr"
    met: list[str] = []

    def meet(event: object) -> None:
        if isinstance(event, StepStarted) and event.step == "finish":
            with pytest.raises(StoreError, match="expected to be the only one to write") as caught:
                convert(client, [source], destination)
            met.append(str(caught.value))

    convert(client, [source], destination, observe=meet)
    assert len(met) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a.png"]


def test_a_journal_that_another_has_moved_since_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a.partial"
    Journal(folder, "same").close()

    def finish_meanwhile(*_: object) -> None:
        folder.rename(tmp_path / "a")

    monkeypatch.setattr(journal_module, "lock_file", finish_meanwhile)
    with pytest.raises(StoreError, match="got another command that has just finished"):
        Journal(folder, "same")


def test_a_conversion_that_was_killed_before_its_last_step_recomputes_nothing(client: Client, tmp_path: Path) -> None:
    source = save_png(tmp_path / "a.png", noise(40, 50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simsearch.workflows.convert.pipeline._publish", lambda product, journal: None)
        convert(client, [source], tmp_path / "a.zarr")
    source.chmod(0o600)
    assert not (tmp_path / "a.zarr").exists()
    report = convert(client, [source], tmp_path / "a.zarr")

    assert (report.n_tasks, report.n_skipped_tasks) == (1, 1)
    np.testing.assert_array_equal(levels(tmp_path / "a.zarr")[0][0], noise(40, 50))


def test_two_conversions_into_one_place_are_refused(client: Client, tmp_path: Path) -> None:
    source = save_png(tmp_path / "a.png", noise(40, 50))
    first = Journal(tmp_path / "a.zarr.partial", "another")
    with pytest.raises(StoreError, match="another command at work"):
        convert(client, [source], tmp_path / "a.zarr")
    first.close()
    convert(client, [source], tmp_path / "a.zarr")


def test_a_journal_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x", "same")
    for task in ("a", "b"):
        journal.add(task)
    journal.close()
    with (tmp_path / "x" / JOURNAL_NAME).open("a") as file:
        file.write('{"task": "c')
    again = Journal(tmp_path / "x", "same")
    again.add("d")
    again.close()
    last = Journal(tmp_path / "x", "same")
    last.close()

    assert again.done == {"a", "b"}
    assert last.done == {"a", "b", "d"}
    other = Journal(tmp_path / "x", "other")
    other.close()
    assert other.done == frozenset()
    shutil.rmtree(tmp_path / "x")
