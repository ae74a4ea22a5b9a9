"""Every format is read as an independent reader reads it, whole and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, SourceError
from simsearch.io.sources.formats import open_source, suffix_note
from simsearch.io.sources.protocol import SourceSpec, StackSpec, stored_dtype
from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RGB = ("Red", "Green", "Blue")


TIFFS = [
    # name, how the independent reader's axes become c, y, x, channels, pixel size
    ("qupath_cells.tif", (2, 0, 1), RGB, 0.25),
    ("qupath_cells.ome.tif", (0, 1, 2), RGB, 0.25),
    ("qupath_cells-2c.ome.tif", (0, 1, 2), ("Channel 1", "Channel 2"), 0.25),
    ("qupath_cells-gray16.tif", None, ("Intensity",), 0.25),
    ("piximi_16b_1c_fluorescence.tif", None, ("Intensity",), None),
    ("piximi_16b_1c_happy_cell.tif", None, ("Intensity",), None),
    ("piximi_16b_4c_neuron-composite.tif", (0, 1, 2), tuple(f"Channel {i}" for i in range(1, 5)), 0.16),
    ("piximi_8b_2c_actin-nuclei.tif", (0, 1, 2), ("Channel 1", "Channel 2"), None),
    ("piximi_8b_5c_rat_hippocampal_neuron.tif", (0, 1, 2), tuple(f"Channel {i}" for i in range(1, 6)), 0.16),
    ("small_vectra.qptiff", (0, 1, 2), ("DAPI", "FITC", "Cy3"), 0.4965),
    ("smalltif.tif", None, ("Intensity",), None),
]


@pytest.mark.parametrize(("name", "order", "channels", "size"), TIFFS)
def test_real_tiffs(
    shared_data: Path, name: str, order: tuple[int, ...] | None, channels: tuple[str, ...], size: float | None
) -> None:
    path = shared_data / "wsi_and_tiff" / name
    with tifffile.TiffFile(path) as tiff:
        # Of ImageJ's stacks, tifffile's series may take the second page's directory for pixels.
        expected = np.squeeze([each.asarray() for each in tiff.pages]) if tiff.is_imagej else tiff.asarray(series=0)
    pixels, meta = read(path, tile=200)

    np.testing.assert_array_equal(pixels, expected.transpose(order) if order else expected[np.newaxis])
    assert meta.channel_names == channels
    assert meta.pixel_size_um == (None if size is None else pytest.approx((size, size), rel=1e-3))


@pytest.mark.parametrize("axis", ["z", "t"])
def test_planes_and_time_points_of_real_ome_tiffs(shared_data: Path, axis: str) -> None:
    path = shared_data / f"wsi_and_tiff/qupath_cells-2{axis}.ome.tif"
    stack = tifffile.imread(path)
    with pytest.raises(ConfigError, match=f"--{axis} INDEX"):
        read(path)
    for selection, expected in ((0, stack[0]), (1, stack[1]), ("max", stack.max(axis=0))):
        np.testing.assert_array_equal(read(path, tile=64, **{axis: selection})[0][0], expected)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("CMU-1-Small-Region.svs", 0.499),
        ("openslide_small.svs", 0.499),
        ("openslide_boxes.tiff", None),
        ("small_HE_levels.tiff", None),
    ],
)
def test_real_slides(shared_data: Path, name: str, size: float | None) -> None:
    path = shared_data / "wsi_and_tiff" / name
    with openslide.OpenSlide(path) as slide:
        expected = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
    pixels, meta = read(path, tile=777)

    assert expected[..., 3].min() == 255
    np.testing.assert_array_equal(pixels, expected[..., :3].transpose(2, 0, 1))
    assert meta.channel_names == RGB
    assert meta.pixel_size_um == (None if size is None else (size, size))


def test_every_real_file_has_a_test(shared_data: Path) -> None:
    tested = {name for name, *_ in TIFFS} | {"qupath_cells-2z.ome.tif", "qupath_cells-2t.ome.tif", "SOURCE.txt"}
    tested |= {"CMU-1-Small-Region.svs", "openslide_small.svs", "openslide_boxes.tiff", "small_HE_levels.tiff"}

    assert {path.name for path in (shared_data / "wsi_and_tiff").iterdir()} == tested


def test_real_palette_png_is_grey(shared_data: Path) -> None:
    path = shared_data / "bbbc013/images/Channel1-01-A-01.png"
    pixels, meta = read(path)

    np.testing.assert_array_equal(pixels[0], np.asarray(Image.open(path).convert("L")))
    assert meta.channel_names == ("Intensity",)


def test_real_jpeg_and_png(shared_data: Path) -> None:
    for path in (
        sorted((shared_data / "bccd/JPEGImages").glob("*.jpg"))[0],
        sorted((shared_data / "dsb2018_brightfield/images").glob("*.png"))[0],
    ):
        pixels, meta = read(path, tile=100)

        np.testing.assert_array_equal(pixels, np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1))
        assert meta.in_one_piece


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_modes_of_raster_images(tmp_path: Path, mode: str, suffix: str) -> None:
    if suffix == "bmp" and mode in ("LA", "I;16"):
        pytest.skip("BMP has no such mode")
    path = tmp_path / f"a.{suffix}"
    if mode == "I;16":
        image = Image.fromarray(noise(20, 30, dtype=np.uint16) * 200)
    else:
        image = Image.fromarray(noise(20, 30, 3)).convert(mode)
    image.save(path)
    pixels, meta = read(path, tile=7)

    if mode in ("1", "L", "I;16"):
        np.testing.assert_array_equal(pixels[0], np.asarray(image).astype(pixels.dtype) * (255 if mode == "1" else 1))
    elif mode == "LA":
        np.testing.assert_array_equal(pixels[0], np.asarray(image)[..., 0])
    else:
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1))
    assert meta.dtype == ("uint16" if mode == "I;16" else "uint8")
    assert any("transparency" in note for note in meta.notes) == (mode in ("LA", "RGBA") and suffix == "png")


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
def test_16_bit_png_keeps_its_depth(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = noise(*shape, dtype=np.uint16) * 257
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(values))
    pixels, meta = read(tmp_path / "a.png")

    expected = values[np.newaxis] if values.ndim == 2 else values[..., :3].transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels, expected)
    assert meta.dtype == "uint16"


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64", ">u2"]
)
@pytest.mark.parametrize("how", ["plain", "tiled", "strips", "one strip"])
def test_depths_and_layouts_of_tiff(tmp_path: Path, dtype: str, how: str) -> None:
    values = noise(90, 70, dtype=np.float64).astype(dtype)
    options: dict[str, Any] = {
        "plain": {},
        "tiled": {"tile": (16, 32), "compression": "zlib"},
        "strips": {"rowsperstrip": 4, "compression": "zlib"},
        "one strip": {"rowsperstrip": 90, "compression": "zlib"},
    }[how]
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    pixels, meta = read(tmp_path / "a.tif", tile=33)

    np.testing.assert_array_equal(pixels[0], values.astype(pixels.dtype))
    assert meta.dtype == {"float16": "float32", "float64": "float32", ">u2": "uint16"}.get(dtype, dtype)
    assert any("stored as float32" in note for note in meta.notes) == (dtype in ("float16", "float64"))
    assert (meta.in_one_piece, meta.in_strips) == (how == "one strip", how in ("strips", "one strip"))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("n_samples", [3, 4])
def test_rgb_tiff_without_its_alpha(tmp_path: Path, planar: str, n_samples: int) -> None:
    values = noise(40, 50, n_samples)
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    extra = {"extrasamples": ["unassalpha"]} if n_samples == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, compression="zlib", **extra)
    pixels, meta = read(tmp_path / "a.tif", tile=16)

    np.testing.assert_array_equal(pixels, values[..., :3].transpose(2, 0, 1))
    assert any("transparency" in note for note in meta.notes) == (n_samples == 4)


def test_16_bit_rgb_tiff_keeps_its_depth_in_spite_of_openslide(tmp_path: Path) -> None:
    values = noise(300, 280, 3, dtype=np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", tile=(64, 64))
    pixels, meta = read(tmp_path / "a.tif", tile=100)

    assert openslide.OpenSlide.detect_format(tmp_path / "a.tif") == "generic-tiff"
    np.testing.assert_array_equal(pixels, values.transpose(2, 0, 1))
    assert meta.dtype == "uint16"


@pytest.mark.parametrize("grey", [True, False])
def test_palette_tiff(tmp_path: Path, grey: bool) -> None:
    table = np.repeat(np.arange(256)[np.newaxis], 3, axis=0) if grey else noise(3, 256, dtype=np.uint16)
    values = noise(40, 50)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="palette", colormap=(table * 257).astype(np.uint16))
    pixels, meta = read(tmp_path / "a.tif", tile=16)

    np.testing.assert_array_equal(pixels, values[np.newaxis] if grey else table[:, values])
    assert meta.channel_names == (("Intensity",) if grey else RGB)


@pytest.mark.parametrize("axes", ["CYX", "ZCYX", "TZCYX", "TCYX"])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_axes_of_ome_and_imagej(tmp_path: Path, axes: str, kind: str) -> None:
    lengths = {"T": 2, "Z": 3, "C": 2, "Y": 40, "X": 50}
    values = noise(*(lengths[axis] for axis in axes), dtype=np.uint16)
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    stated = {"axes": axes, "Channel": {"Name": ["GFP", "DNA"]}} if kind == "ome" else {"axes": axes}
    tifffile.imwrite(path, values, **{kind: True}, metadata=stated)
    for selection in (1, "max"):
        chosen = {axis.lower(): selection for axis in axes if axis in "TZ"}
        expected = values
        for _ in set(axes) & set("TZ"):
            expected = expected.max(axis=0) if selection == "max" else expected[1]
        pixels, meta = read(path, tile=16, **chosen)

        np.testing.assert_array_equal(pixels, expected)
        assert meta.channel_names == (("GFP", "DNA") if kind == "ome" else ("Channel 1", "Channel 2"))


def test_pages_without_a_name_are_planes_and_said_to_be(tmp_path: Path) -> None:
    values = noise(5, 40, 50)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in values:
            tiff.write(page, contiguous=False, metadata=None)
    with pytest.raises(ConfigError, match="5 z planes"):
        read(tmp_path / "a.tif")
    pixels, meta = read(tmp_path / "a.tif", z=3)

    np.testing.assert_array_equal(pixels[0], values[3])
    assert any("5 pages are taken for z planes" in note for note in meta.notes)


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((20_000, 40_000), "CENTIMETER", (0.25, 0.5)),
        ((50_800, 50_800), "INCH", (0.5, 0.5)),
        ((72, 72), "INCH", None),
        ((300, 300), "NONE", None),
    ],
)
def test_pixel_sizes_are_believed_only_where_a_microscope_can_have_them(
    tmp_path: Path, resolution: tuple[int, int], unit: str, size: tuple[float, float] | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(4, 4), resolution=resolution, resolutionunit=unit)
    meta = read(tmp_path / "a.tif")[1]

    # tifffile takes x first, and we y.
    assert meta.pixel_size_um == (None if size is None else pytest.approx(size))
    assert any("not believed" in note for note in meta.notes) == (unit == "INCH" and size is None)


@pytest.mark.parametrize(
    ("shape", "channels"), [((20, 30), 1), ((2, 20, 30), 2), ((20, 30, 3), 3), ((20, 30, 4), 3), ((3, 20, 30), 3)]
)
def test_npy(tmp_path: Path, shape: tuple[int, ...], channels: int) -> None:
    values = noise(*shape, dtype=np.uint16)
    np.save(tmp_path / "a.npy", values)
    pixels, _ = read(tmp_path / "a.npy", tile=9)
    expected = (
        values[..., :3].transpose(2, 0, 1) if shape[0] == 20 and len(shape) == 3 else values.reshape(channels, 20, 30)
    )

    np.testing.assert_array_equal(pixels, expected)


def test_masks_become_black_and_white(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(9, 9) > 100)

    assert set(np.unique(read(tmp_path / "a.npy")[0])) == {0, 255}


@pytest.mark.parametrize("dtype", ["int64", "uint64", "complex64"])
def test_values_that_no_image_holds_are_refused(dtype: str) -> None:
    with pytest.raises(SourceError, match=f"a.npy: expected integers .* got {dtype}"):
        stored_dtype(dtype, "a.npy")


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (0, 4), (100, 20, 30)])
def test_arrays_that_are_no_image_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(SourceError, match=r"expected an array of shape \(H, W\)"):
        read(tmp_path / "a.npy")


def test_stacks_of_files_are_joined_and_projected(tmp_path: Path) -> None:
    values = noise(2, 3, 20, 30)
    specs = []
    for c in range(2):
        for z in range(3):
            Image.fromarray(values[c, z]).save(tmp_path / f"{c}{z}.png")
        specs.append(tuple(SourceSpec(str(tmp_path / f"{c}{z}.png")) for z in range(3)))
    with open_source(StackSpec("A01", tuple(specs), ("GFP", "DNA"))) as source:
        np.testing.assert_array_equal(source.read(Region(2, 20, 5, 9)), values.max(axis=1)[:, 2:20, 5:9])
        assert source.meta.channel_names == ("GFP", "DNA")


def test_transparent_parts_of_slides_are_white() -> None:
    from simsearch.io.sources.slide import _color, _composited

    image = Image.fromarray(np.array([[[10, 20, 30, 255], [0, 0, 0, 0], [100, 0, 0, 51]]], np.uint8))

    assert _composited(image, _color("FFFFFF")).transpose(1, 2, 0).tolist() == [
        [[10, 20, 30], [255, 255, 255], [224, 204, 204]]
    ]


# Bad files


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy", "a.svs", "a.ndpi", "a.mrxs", "a.xyz", "a.czi"])
@pytest.mark.parametrize("content", [b"", b"this is a text, not an image\n" * 20, bytes(4000)])
def test_what_is_no_image_is_refused_with_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name}: expected .*(an empty file|starts with)"):
        read(tmp_path / name)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing there"):
        read(tmp_path / "a.png")
    with pytest.raises(SourceError, match="no Zarr group"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "npy"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_cut_off_files_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path, values = tmp_path / f"a.{suffix}", noise(200, 200, 3)
    np.save(path, values) if suffix == "npy" else Image.fromarray(values).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: max(20, int(len(content) * share))])
    with pytest.raises(SourceError, match=f"a.{suffix}: expected"):
        read(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (32, 32)},
        {"compression": "zlib", "rowsperstrip": 8},
        {"compression": "lzw", "rowsperstrip": 200},
        {"compression": "jpeg", "tile": (64, 64)},
    ],
)
def test_cut_off_tiffs_are_refused_before_any_pixel_is_read(
    tmp_path: Path, options: dict[str, Any], share: float
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(200, 200, 3), photometric="rgb", **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match=r"a\.tif: expected"), open_source(SourceSpec(str(path))):
        pass


def test_a_damaged_tile_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(200, 200, dtype=np.uint16), compression="zlib", tile=(32, 32))
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.dataoffsets[-1]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(40))
    with open_source(SourceSpec(str(path))) as source:
        source.read(Region(0, 32, 0, 32))
        with pytest.raises(SourceError, match=r"a\.tif: expected pixels of Region\(y0=160"):
            source.read(Region(160, 200, 160, 200))


def test_a_jpeg_that_is_called_png_is_read_with_a_note(tmp_path: Path) -> None:
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / "a.png", "JPEG")

    assert read(tmp_path / "a.png")[0].shape == (3, 20, 30)
    assert "is read as JPG" in suffix_note(str(tmp_path / "a.png"))[0]
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / "b.png")
    assert suffix_note(str(tmp_path / "b.png")) == ()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (noise(20, 31), r"one size and depth, got \(20, 30\) px uint8 in .*0.png and \(20, 31\)"),
        (noise(20, 30, 3), "expected one channel a file, got 3 in A01"),
    ],
)
def test_channels_that_do_not_fit_each_other_are_refused(tmp_path: Path, other: NDArray[Any], message: str) -> None:
    for i, values in enumerate((noise(20, 30), other)):
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    channels = tuple((SourceSpec(str(tmp_path / f"{i}.png")),) for i in range(2))
    with pytest.raises(SourceError, match=message), open_source(StackSpec("A01", channels, ("a", "b"))):
        pass
