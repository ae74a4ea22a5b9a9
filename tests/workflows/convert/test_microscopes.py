"""Microscopes' own files are converted as all others are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.tiles import Region
from simsearch.io.ome_zarr.image import describe_image, read_region
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions, plan_conversion

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

czi = pytest.importorskip("pylibCZIrw.czi", reason="no wheel of pylibCZIrw for this machine")


def test_all_scenes_of_a_slide(tmp_path: Path, client: Client) -> None:
    scenes = np.random.default_rng(0).integers(0, 250, (2, 300, 400, 1), dtype=np.uint8)
    with czi.create_czi(str(tmp_path / "slide.czi")) as file:
        for i, pixels in enumerate(scenes):
            file.write(pixels, scene=i, location=(1000 * i, 0))
        file.write_metadata(channel_names={0: "DAPI"}, scale_x=5e-7, scale_y=5e-7)
    convert(client, [tmp_path / "slide.czi"], tmp_path / "out", ConvertOptions(series="all"))

    for i, pixels in enumerate(scenes):
        image = describe_image(str(tmp_path / f"out/slide_scene_{i + 1}.ome.zarr"))
        np.testing.assert_array_equal(read_region(image, 0, Region(0, 300, 0, 400))[0], pixels[..., 0])
        assert (image.channel_names, image.pixel_size_um) == (("DAPI",), (0.5, 0.5))


def test_a_folder_of_dicom_is_one_source_beside_the_pictures_in_it(tmp_path: Path) -> None:
    for name in ("slides/1.dcm", "slides/2.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    alone = plan_conversion([tmp_path / "slides"], tmp_path / "a.ome.zarr", ConvertOptions())
    (tmp_path / "slides/picture.png").write_bytes(b"")
    beside = plan_conversion([tmp_path / "slides"], tmp_path / "out", ConvertOptions())

    assert [str(image.spec) for product in alone.products for image in product.images] == [str(tmp_path / "slides")]
    assert [image.name for product in beside.products for image in product.images] == ["picture", "slides"]
