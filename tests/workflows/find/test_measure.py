from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from simsearch.errors import AnnotationError, ConfigError, SourceError
from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.runtime.events import Event, StepStarted
from simsearch.workflows.find import counting as module
from simsearch.workflows.find.measure import Measurement, measure, read_ranges, write_measurement
from simsearch.workflows.image_set import ImageSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from simsearch.io.ome_zarr.image import ImageMeta

    SaveImage = Callable[..., ImageMeta]
    Pixels = NDArray[Any]


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TILE", 50)


def drawn(dtype: str, shape: tuple[int, ...], seed: int) -> Pixels:
    """Draw channels that go together, over most of the range of the type."""
    rng = np.random.default_rng(seed)
    common = rng.gamma(2.0, size=shape[1:])
    pixels = np.stack([common + rng.gamma(1.0 + c, size=shape[1:]) for c in range(shape[0])])
    if dtype == "float32":
        return (pixels * 10 ** rng.uniform(-3, 3) - 3).astype(dtype)
    limits = np.iinfo(dtype)
    return (pixels / pixels.max() * (float(limits.max) - limits.min) + limits.min).astype(dtype)


def on_whole_arrays(images: Sequence[Pixels]) -> tuple[Pixels, list[tuple[float, float]], Pixels]:
    """Do what section 2.2 of the paper says with numpy."""
    table = np.array([[np.percentile(channel.astype(float), [5, 95]) for channel in image] for image in images])
    ranges = [
        (float(np.percentile(table[:, c, 0], 0.5)), float(np.percentile(table[:, c, 1], 99.5)))
        for c in range(table.shape[1])
    ]
    correlation = np.mean([np.corrcoef(image.reshape(len(image), -1).astype(float)) for image in images], axis=0)
    return table, ranges, correlation


def check(got: Measurement, images: Sequence[Pixels]) -> None:
    table, ranges, correlation = on_whole_arrays(images)
    np.testing.assert_array_equal(got.percentiles, table)
    assert got.ranges == tuple(ranges)
    np.testing.assert_allclose(got.correlation, correlation, atol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize("n_images", [1, 3])
def test_a_measurement_equals_that_of_whole_arrays(
    client: Client, save_image: SaveImage, tmp_path: Path, dtype: str, n_images: int
) -> None:
    shapes = [(2, 130, 97), (2, 40, 201), (2, 7, 7)][:n_images]
    images = [drawn(dtype, shape, seed) for seed, shape in enumerate(shapes)]
    metas = [save_image(tmp_path / f"i{k}.ome.zarr", image) for k, image in enumerate(images)]
    got = measure(client, ImageSet(metas))
    check(got, images)
    assert got.images == ("i0", "i1", "i2")[:n_images]
    assert got.channel_names == ("c0", "c1")
    assert got.failures == ()


def test_an_image_of_one_pixel_is_measured(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    meta = save_image(tmp_path / "i.ome.zarr", np.full((1, 1, 1), 0.1, np.float32))
    assert measure(client, ImageSet([meta])).ranges == ((float(np.float32(0.1)),) * 2,)


@pytest.mark.cluster
def test_the_measurement_does_not_depend_on_workers(
    client: Client, processes: Client, save_image: SaveImage, tmp_path: Path
) -> None:
    metas = [save_image(tmp_path / f"{k}.ome.zarr", drawn("float32", (3, 140, 120), k)) for k in range(2)]
    first, second = (measure(cluster, ImageSet(metas)) for cluster in (client, processes))
    np.testing.assert_array_equal(first.percentiles, second.percentiles)
    np.testing.assert_array_equal(first.correlation, second.correlation)
    assert first.ranges == second.ranges


def test_the_measurement_does_not_depend_on_tiles(
    client: Client, save_image: SaveImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = save_image(tmp_path / "i.ome.zarr", drawn("uint16", (2, 140, 120), 0))
    first = measure(client, ImageSet([meta]))
    monkeypatch.setattr(module, "_TILE", 1000)
    second = measure(client, ImageSet([meta]))
    np.testing.assert_array_equal(first.percentiles, second.percentiles)
    np.testing.assert_allclose(first.correlation, second.correlation)


def test_a_downsampled_image_is_measured_as_it_is_seen(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    pixels = drawn("uint16", (2, 131, 96), 0)
    meta = save_image(tmp_path / "i.ome.zarr", pixels)
    got = measure(client, ImageSet([meta]), downsampling=4)
    assert got.downsampling == 4
    check(got, [halved(halved(pixels))])


@pytest.mark.parametrize(("dtype", "steps"), [("uint16", 1), ("float32", 2)])
def test_16_bits_take_one_pass_and_32_take_two(
    client: Client, save_image: SaveImage, tmp_path: Path, dtype: str, steps: int
) -> None:
    events: list[Event] = []
    meta = save_image(tmp_path / "i.ome.zarr", drawn(dtype, (1, 120, 60), 0))
    measure(client, ImageSet([meta]), observe=events.append)
    started = [event for event in events if isinstance(event, StepStarted)]
    assert [event.n_tasks for event in started] == [6] * steps


def test_nan_counts_as_nothing(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    pixels = drawn("float32", (2, 130, 97), 0)
    pixels[:, :60] = pixels[:, :, :9] = np.nan  # a whole tile, and parts of others
    pixels[1, 100, 50] = np.nan
    got = measure(client, ImageSet([save_image(tmp_path / "i.ome.zarr", pixels)]))

    np.testing.assert_array_equal(got.percentiles[0], [np.nanpercentile(c.astype(float), [5, 95]) for c in pixels])
    known = pixels.reshape(2, -1)[:, ~np.isnan(pixels).any(axis=0).ravel()].astype(float)
    np.testing.assert_allclose(got.correlation, np.corrcoef(known), atol=1e-9)


def test_an_image_with_nothing_but_nan_in_a_channel_is_named(
    client: Client, save_image: SaveImage, tmp_path: Path
) -> None:
    pixels = drawn("float32", (2, 130, 97), 0)
    good = save_image(tmp_path / "good.ome.zarr", pixels)
    pixels[1] = np.nan
    empty = save_image(tmp_path / "empty.ome.zarr", pixels)
    with pytest.raises(SourceError, match=r"^empty: expected intensities in each channel, got only NaN in one"):
        measure(client, ImageSet([empty, good]))
    assert measure(client, ImageSet([empty, good], skip_errors=True)).images == ("good",)


SLIDE = (256, 2304)  # more than 2048 px along a side


def slide(share: float) -> tuple[Pixels, NDArray[np.bool_]]:
    """Draw glass with a square of tissue on a share of it, and where that is."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(236, 250, (3, *SLIDE), np.uint8)
    is_tissue = np.zeros(SLIDE, bool)
    is_tissue[64:192, 64 : 64 + round(share * is_tissue.size / 128)] = True
    pixels[:, is_tissue] = rng.integers(60, 200, (3, int(is_tissue.sum())), np.uint8)
    return pixels, is_tissue


@pytest.mark.parametrize("share", [0.01, 0.06, 0.3])
def test_a_slide_that_is_mostly_glass_is_measured_as_if_half_of_it_were_tissue(
    client: Client, save_image: SaveImage, tmp_path: Path, share: float
) -> None:
    pixels, is_tissue = slide(share)
    meta = save_image(tmp_path / "s.ome.zarr", pixels, channel_names=RGB_NAMES, channel_colors=RGB_COLORS)
    got = measure(client, ImageSet([meta]))
    tissue, glass = pixels[:, is_tissue], pixels[:, ~is_tissue]
    half = np.concatenate([tissue, glass[:, : tissue.shape[1]]], axis=1).astype(float)
    expected = np.percentile(half, [5, 95], axis=1).T
    assert got.percentiles[0] == pytest.approx(expected, abs=8)  # squares of the mask have some glass, which is smooth
    for (low, high), (dark, bright) in zip(got.ranges, expected, strict=True):
        assert (low, high) == pytest.approx((dark, bright), abs=8)


def test_a_slide_that_is_half_tissue_is_measured_whole(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    pixels = np.concatenate([slide(0.3)[0][:, 64:192]] * 2, axis=1)
    meta = save_image(tmp_path / "s.ome.zarr", pixels, channel_names=RGB_NAMES, channel_colors=RGB_COLORS)
    check(measure(client, ImageSet([meta])), [pixels])


def test_rare_cells_on_a_constant_background_are_measured(
    client: Client, save_image: SaveImage, tmp_path: Path
) -> None:
    pixels = np.full((1, 130, 100), 100, np.uint16)
    pixels[0, 20:32, 30:42] = 4000  # 1.1 % of the image
    assert measure(client, ImageSet([save_image(tmp_path / "i.ome.zarr", pixels)])).ranges == ((100.0, 4000.0),)


def with_infinity(pixels: Pixels) -> Pixels:
    pixels[1, 110, 30] = np.inf
    return pixels


def test_an_image_with_infinite_values_is_named_with_its_tile(
    client: Client, save_image: SaveImage, tmp_path: Path
) -> None:
    pixels = with_infinity(drawn("float32", (2, 130, 97), 0))
    metas = [save_image(tmp_path / "good.ome.zarr", pixels[:, :50]), save_image(tmp_path / "holes.ome.zarr", pixels)]
    with pytest.raises(SourceError, match="holes y 100:130 x 0:50: expected finite intensities, got infinity"):
        measure(client, ImageSet(metas))


def test_an_image_with_infinite_values_can_be_left_out(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    images = [drawn("float32", (2, 130, 97), seed) for seed in range(3)]
    metas = [save_image(tmp_path / f"good{k}.ome.zarr", image) for k, image in enumerate(images)]
    holes = save_image(tmp_path / "holes.ome.zarr", with_infinity(images[0].copy()))
    searched = ImageSet([metas[0], holes, *metas[1:]], skip_errors=True)
    got = measure(client, searched)
    check(got, images)
    assert got.images == ("good0", "good1", "good2")
    ((name, message),) = got.failures
    assert name == "holes"
    assert message.startswith("holes y 100:130 x 0:50: expected finite intensities")
    assert [image.name for image in searched] == ["good0", "good1", "good2"]


def test_without_any_image_left_there_is_no_measurement(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    holes = save_image(tmp_path / "holes.ome.zarr", with_infinity(drawn("float32", (2, 130, 97), 0)))
    with pytest.raises(SourceError, match="expected at least one image that can be read, got none; the last: holes"):
        measure(client, ImageSet([holes], skip_errors=True))


def test_a_damaged_image_is_named(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    meta = save_image(tmp_path / "torn.ome.zarr", drawn("uint8", (2, 130, 97), 0))
    (chunk,) = (tmp_path / "torn.ome.zarr" / "0" / "c").rglob("0/0/0")
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(OSError, match=r"^torn: expected pixels at level 0, .* is damaged or cannot be reached"):
        measure(client, ImageSet([meta]))


@pytest.mark.parametrize(
    ("other", "got"),
    [(np.zeros((2, 9, 9), np.uint16), "2 of uint16"), (np.zeros((1, 9, 9), np.uint8), "1 of uint8")],
    ids=["types", "channels"],
)
def test_images_of_two_kinds_are_refused_and_both_named(
    save_image: SaveImage, tmp_path: Path, other: Pixels, got: str
) -> None:
    first = save_image(tmp_path / "first.ome.zarr", np.zeros((2, 9, 9), np.uint8))
    second = save_image(tmp_path / "second.ome.zarr", other)
    with pytest.raises(SourceError, match=f"second.ome.zarr: expected 2 channels of uint8 as in .*first.*, got {got}"):
        ImageSet([first, second])


def test_two_images_of_one_name_are_refused(save_image: SaveImage, tmp_path: Path) -> None:
    metas = [save_image(tmp_path / folder / "a.ome.zarr", np.zeros((1, 9, 9), np.uint8)) for folder in ("x", "y")]
    with pytest.raises(ConfigError, match="got a twice: rename one"):
        ImageSet(metas)


def test_no_image_is_refused() -> None:
    with pytest.raises(SourceError, match="at least one image, got none"):
        ImageSet([], skip_errors=True)


def test_pixels_of_64_bits_are_refused(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    meta = save_image(tmp_path / "i.ome.zarr", np.zeros((1, 9, 9)))
    with pytest.raises(ConfigError, match="got float64: convert the image first"):
        measure(client, ImageSet([meta]))


def test_ranges_survive_as_json(client: Client, save_image: SaveImage, tmp_path: Path) -> None:
    pixels = drawn("float32", (3, 60, 60), 0)
    pixels[1] = 7.0
    meta = save_image(tmp_path / "i.ome.zarr", pixels)
    got = measure(client, ImageSet([meta]))
    write_measurement(got, tmp_path / "measure.json")
    assert read_ranges(tmp_path / "measure.json", ("c0", "c2")) == (got.ranges[0], got.ranges[2])
    written = json.loads((tmp_path / "measure.json").read_text())
    assert written["format"] == written["downsampling"] == 1
    assert [image["name"] for image in written["images"]] == ["i"]
    assert written["images"][0]["percentiles"]["c1"] == [7.0, 7.0]
    assert written["correlation"][0][1] is None  # a constant channel correlates with nothing
    assert written["correlation"][0][2] == pytest.approx(got.correlation[0, 2], abs=1e-6)


@pytest.mark.parametrize("text", ["", "low,high\n", "[]", "{}", '{"channels": [{"name": "c0"}]}', '{"channels": 3}'])
def test_json_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"other.json: expected JSON written by `simsearch measure`.*again"):
        read_ranges(path, ("c0",))


def test_a_measurement_of_a_newer_simsearch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "measure.json"
    content = {"channels": [{"name": "c0", "low": 0, "high": 1}]}
    path.write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(AnnotationError, match=r"measure.json: expected format 1 or older, got 2: update simsearch"):
        read_ranges(path, ("c0",))
    path.write_text(json.dumps(content))  # as before formats had numbers
    assert read_ranges(path, ("c0",)) == ((0, 1),)
