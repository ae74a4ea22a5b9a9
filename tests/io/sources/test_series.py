"""Files with several images: the scan is taken, never what the scanner made beside it, and the rest is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import pytest
import tifffile

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.image import describe_image, read_region
from simsearch.io.sources.formats import list_series, open_source
from simsearch.io.sources.protocol import SourceSpec
from simsearch.io.sources.series import SeriesInfo, choose_series, file_name_of, named_apart
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray


MACRO, SCAN = noise(40, 50, 3, seed=1), noise(3, 70, 90, dtype=np.uint16)


def write_ome(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(MACRO, photometric="rgb", metadata={"axes": "YXS", "Name": "macro"})
        stated = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "Channel": {"Name": ["DAPI", "GFP", "RFP"]}}
        tiff.write(SCAN, photometric="minisblack", metadata={"axes": "CYX", "Name": "../scan 1", **stated})


def write_pages(path: Path, *pages: tuple[NDArray[Any], int]) -> None:
    with tifffile.TiffWriter(path) as tiff:
        for values, kind in pages:
            tiff.write(values, subfiletype=kind, contiguous=False, metadata=None)


def test_a_macro_that_comes_first_in_ome_tiff_is_not_the_scan(tmp_path: Path) -> None:
    write_ome(tmp_path / "a.ome.tif")
    pixels, meta = read(tmp_path / "a.ome.tif")

    np.testing.assert_array_equal(pixels, SCAN)
    assert meta.channel_names == ("DAPI", "GFP", "RFP")
    assert meta.pixel_size_um == (0.25, 0.5)
    assert meta.notes == ("1 more image in the file was left out: macro (40 x 50): --series NAME",)
    for series in ("macro", "0"):
        pixels, meta = read(tmp_path / "a.ome.tif", series=series)
        np.testing.assert_array_equal(pixels, MACRO.transpose(2, 0, 1))
        assert (meta.pixel_size_um, meta.notes) == (None, ())
    with pytest.raises(ConfigError, match=r"one of its 2 images \(macro \(40 x 50\), ../scan 1 .* got --series scan"):
        read(tmp_path / "a.ome.tif", series="scan")


def test_a_reduced_page_that_comes_first_is_not_the_scan(tmp_path: Path) -> None:
    large, small = noise(70, 90, 3), noise(100, 120, 3, seed=1)
    write_pages(tmp_path / "a.tif", (small, 1), (large, 0))
    pixels, meta = read(tmp_path / "a.tif")

    np.testing.assert_array_equal(pixels, large.transpose(2, 0, 1))
    assert meta.notes == ("1 more image in the file was left out: 0 (100 x 120): --series NAME",)


@pytest.mark.parametrize("factor", [1.7, 2])
def test_of_sections_of_unequal_size_the_largest_is_taken_and_none_for_a_level(tmp_path: Path, factor: float) -> None:
    sections = [noise(int(64 / factor), int(80 / factor)), noise(64, 80), noise(64 // 2, 80 // 2, dtype=np.uint16)]
    write_pages(tmp_path / "a.tif", *((each, 0) for each in sections))
    pixels, meta = read(tmp_path / "a.tif")

    np.testing.assert_array_equal(pixels[0], sections[1])
    assert "2 more images in the file were left out" in meta.notes[0]
    found = list_series(str(tmp_path / "a.tif"))
    assert [each.shape for each in found] == [each.shape for each in sections]
    for each, values in zip(found, sections, strict=True):
        np.testing.assert_array_equal(read(tmp_path / "a.tif", series=each.name)[0][0], values)


@pytest.mark.parametrize("subifds", [True, False])
def test_levels_of_a_pyramid_are_no_images(tmp_path: Path, subifds: bool) -> None:
    values = noise(64, 80, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(values, tile=(16, 16), photometric="rgb", subifds=2 if subifds else 0, metadata=None)
        for step in (2, 4):
            tiff.write(values[::step, ::step], tile=(16, 16), photometric="rgb", subfiletype=1, metadata=None)

    assert [each.shape for each in list_series(str(tmp_path / "a.tif"))] == [(64, 80)]
    assert read(tmp_path / "a.tif")[1].notes == ()


def test_pictures_beside_a_real_slide_are_told_and_can_be_had(shared_data: Path) -> None:
    path = shared_data / "wsi_and_tiff/CMU-1-Small-Region.svs"
    with openslide.OpenSlide(path) as slide:
        expected = np.asarray(slide.associated_images["macro"].convert("RGB"))
    pixels, meta = read(path, series="macro")

    np.testing.assert_array_equal(pixels, expected.transpose(2, 0, 1))
    assert meta.pixel_size_um is None
    assert [each.name for each in list_series(str(path))] == ["slide", "label", "macro", "thumbnail"]
    with open_source(SourceSpec(str(path))) as source:
        assert "3 more images in the file were left out: label (463 x 387), macro" in source.meta.notes[0]


def test_series_0_is_all_that_a_file_with_one_image_has(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(20, 30))

    assert list_series(str(tmp_path / "a.npy")) == (SeriesInfo("0", (20, 30)),)
    assert read(tmp_path / "a.npy", series="0")[0].shape == (1, 20, 30)
    with pytest.raises(ConfigError, match=r"a\.npy: expected --series 0 .* got 1"):
        read(tmp_path / "a.npy", series="1")


def test_all_images_of_a_file_become_a_folder_and_their_names_climb_nowhere(tmp_path: Path, client: Client) -> None:
    write_ome(tmp_path / "a.ome.tif")
    with pytest.raises(ConfigError, match=r"expected one image for .* got 2: leave the suffix out"):
        convert(client, [tmp_path / "a.ome.tif"], tmp_path / "one.ome.zarr", ConvertOptions(series="all"))
    report = convert(client, [tmp_path / "a.ome.tif"], tmp_path / "out", ConvertOptions(series="all"))

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_macro.ome.zarr", "a_scan_1.ome.zarr"]
    assert report.notes == ()
    for name, expected in (("a_macro", MACRO.transpose(2, 0, 1)), ("a_scan_1", SCAN)):
        image = describe_image(str(tmp_path / f"out/{name}.ome.zarr"))
        np.testing.assert_array_equal(read_region(image, 0, Region(0, *image.shape[:1], 0, image.shape[1])), expected)


def test_equal_and_empty_names_are_told_apart() -> None:
    images = named_apart([SeriesInfo(name, (9, 9)) for name in ("A", "A", "", "A 1", "Label Image", "unlabelled")])

    assert len({each.name for each in images}) == 6
    assert [each.is_extra for each in images] == [False] * 4 + [True, False]


def test_a_name_goes_before_an_index_and_many_are_counted() -> None:
    images = named_apart([SeriesInfo(str(9 - i), (9, 9 + i)) for i in range(10)])

    assert choose_series(images, "9", "a.tif")[0] == 0
    assert choose_series(images, None, "a.tif")[0] == 9
    assert "and 4 more: --series NAME" in choose_series(images, None, "a.tif")[1][0]
    with pytest.raises(ConfigError, match="got --series ²"):
        choose_series(images, "²", "a.tif")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "", "x" * 400, "C:\\x", "a\0b"])
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    assert 0 < len(file_name_of(name)) <= 80
    assert not set(file_name_of(name)) & set("/\\\0:.")
