"""OME-TIFF as instruments leave it: in sets, interrupted, with metadata that are wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from simsearch.errors import SourceError
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.sources.formats import list_series
from simsearch.workflows.convert.pipeline import convert
from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

VALUES = noise(2, 20, 30, dtype=np.uint16)
OME = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def image_xml(values: NDArray[Any], names: list[str], files: list[str], **attributes: str) -> str:
    size = "".join(f' {name}="{value}"' for name, value in attributes.items())
    channels = "".join(
        f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1" Name="{name}"/>' for i, name in enumerate(names)
    )
    planes = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="{file}">urn:uuid:{i}</UUID></TiffData>'
        for i, file in enumerate(files)
    )
    height, width = values.shape[-2:]
    return (
        f'<OME {OME} UUID="urn:uuid:all"><Image ID="Image:0" Name="set"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        f'Type="uint16" SizeX="{width}" SizeY="{height}" SizeC="{len(names)}" SizeZ="1" SizeT="1"{size}>{channels}'
        f"{planes}</Pixels></Image></OME>"
    )


def write_set(folder: Path, *, companion: bool, n_written: int = 2) -> None:
    """Write a file a channel; each describes the set, or names the companion that does."""
    folder.mkdir(exist_ok=True)
    files = [f"set_C{i}.ome.tif" for i in range(2)]
    xml = image_xml(VALUES, ["DAPI", "GFP"], files, PhysicalSizeX="0.4", PhysicalSizeY="0.2")
    only = f'<OME {OME} UUID="urn:uuid:x"><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:all"/></OME>'
    for i, file in enumerate(files[:n_written]):
        own = only if companion else xml.replace("urn:uuid:all", f"urn:uuid:{i}")
        tifffile.imwrite(folder / file, VALUES[i], description=own, metadata=None)
    if companion:
        (folder / "set.companion.ome").write_text(xml, encoding="utf-8")


@pytest.mark.parametrize("companion", [True, False])
@pytest.mark.parametrize("name", ["set_C0.ome.tif", "set_C1.ome.tif", "set.companion.ome"])
def test_any_file_of_a_set_is_the_whole_image(tmp_path: Path, name: str, companion: bool) -> None:
    write_set(tmp_path, companion=companion)
    if name.endswith("companion.ome") and not companion:
        pytest.skip("this set has none")
    pixels, meta = read(tmp_path / name, tile=16)

    np.testing.assert_array_equal(pixels, VALUES)
    assert meta.channel_names == ("DAPI", "GFP")
    assert meta.pixel_size_um == (0.2, 0.4)
    assert [each.name for each in list_series(str(tmp_path / name))] == ["set"]


@pytest.mark.parametrize("companion", [True, False])
def test_a_folder_with_a_set_becomes_one_image(tmp_path: Path, client: Client, companion: bool) -> None:
    write_set(tmp_path / "in", companion=companion)
    report = convert(client, [tmp_path / "in"], tmp_path / "out")

    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert names == (["set.ome.zarr"] if companion else ["set_C0.ome.zarr"])
    assert describe_image(str(tmp_path / "out" / names[0])).channel_names == ("DAPI", "GFP")
    assert any(f"{3 if companion else 2} files are one image" in note for note in report.notes)


def test_a_set_without_one_of_its_files_has_the_channels_that_exist(tmp_path: Path) -> None:
    write_set(tmp_path, companion=True, n_written=1)
    pixels, meta = read(tmp_path / "set.companion.ome")

    np.testing.assert_array_equal(pixels, VALUES[:1])
    assert meta.channel_names == ("DAPI",)
    assert "1 of 2 planes are missing from the file or its set" in meta.notes
    assert "channels without a plane are left out, counted from 1: 2" in meta.notes


def test_a_file_whose_companion_is_missing_is_read_with_a_note(tmp_path: Path) -> None:
    write_set(tmp_path, companion=True)
    (tmp_path / "set.companion.ome").unlink()
    pixels, meta = read(tmp_path / "set_C1.ome.tif")

    np.testing.assert_array_equal(pixels, VALUES[1:])
    assert any("set.companion.ome is missing" in note for note in meta.notes)


def test_a_companion_without_files_and_a_set_outside_of_its_folder_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, companion=True, n_written=0)
    with pytest.raises(SourceError, match=r"set\.companion\.ome: expected the files .* none of set_C0\.ome\.tif"):
        read(tmp_path / "set.companion.ome")
    (tmp_path / "set.companion.ome").write_text(image_xml(VALUES, ["A"], ["../x.ome.tif"]))
    with pytest.raises(SourceError, match=r"expected files of a set beside it, got '\.\./x\.ome\.tif'"):
        read(tmp_path / "set.companion.ome")


@pytest.mark.parametrize("axes", ["TYX", "ZYX", "TCYX"])
def test_planes_of_an_interrupted_acquisition_that_exist(tmp_path: Path, axes: str) -> None:
    shape = {"T": 5, "Z": 5, "C": 2}
    values = noise(*(shape[axis] for axis in axes[:-2]), 20, 30, dtype=np.uint16)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, values, ome=True, metadata={"axes": axes})
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata or ""
    planes = values.reshape(-1, 20, 30)[:3]
    with tifffile.TiffWriter(path) as writer:
        for i, plane in enumerate(planes):
            writer.write(plane, contiguous=False, metadata=None, description=xml if i == 0 else None)
    axis = axes[0].lower()
    pixels, meta = read(path, **{axis: 0})
    n_planes = len(values.reshape(-1, 20, 30))

    np.testing.assert_array_equal(pixels, planes[: 2 if "C" in axes else 1])
    assert f"{n_planes - 3} of {n_planes} planes are missing from the file or its set" in meta.notes
    np.testing.assert_array_equal(
        read(path, **{axis: "max"})[0][0], planes[::2].max(axis=0) if "C" in axes else planes.max(axis=0)
    )
    with pytest.raises(SourceError, match="got a file without them"):
        read(path, **{axis: 4})


def write_ome(path: Path, **changes: str) -> NDArray[Any]:
    """Write an image with metadata, and change what is in quotes there."""
    units = {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    stated = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, **units, "Channel": {"Name": ["DAPI"], "Color": [7]}}
    tifffile.imwrite(path, VALUES[0], ome=True, metadata={"axes": "YX", **stated})
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata or ""
    for name, value in changes.items():
        xml, n = re.subn(f'\\b{name}="[^"]*"', lambda _, value=value, name=name: f'{name}="{value}"', xml)
        assert n
    tifffile.imwrite(path, VALUES[0], description=xml.encode(), metadata=None)
    return VALUES[0]


@pytest.mark.parametrize(
    ("number", "unit", "size"),
    [
        ("3250", "Å", 0.325),
        ("325000", "pm", 0.325),
        ("325", "nm", 0.325),
        ("0.325", "µm", 0.325),
        ("0.000325", "mm", 0.325),
        ("0.0000325", "cm", 0.325),
        ("1", "pixel", None),
        ("0.325", "furlong", None),
        ("0,325", "µm", None),
        ("", "µm", None),
        ("INF", "µm", None),
        ("NaN", "µm", None),
        ("0", "µm", None),
        ("-0.3", "µm", None),
        ("32500", "µm", None),
        ("1e400", "µm", None),
    ],
)
def test_pixel_sizes_in_any_unit_or_none_with_a_note(
    tmp_path: Path, number: str, unit: str, size: float | None
) -> None:
    changes = {f"PhysicalSize{axis}": number for axis in "XY"} | {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    values = write_ome(tmp_path / "a.ome.tif", **changes)
    pixels, meta = read(tmp_path / "a.ome.tif")

    np.testing.assert_array_equal(pixels[0], values)
    assert meta.pixel_size_um == (None if size is None else pytest.approx((size, size)))
    assert any("pixel size" in note for note in meta.notes) == (size is None and unit != "pixel")


@pytest.mark.parametrize("color", ["#FF0000", "", "red", "1e9"])
def test_a_colour_that_is_none_costs_a_note(tmp_path: Path, color: str) -> None:
    values = write_ome(tmp_path / "a.ome.tif", Color=color)
    pixels, meta = read(tmp_path / "a.ome.tif")

    np.testing.assert_array_equal(pixels[0], values)
    assert (meta.channel_names, meta.channel_colors, meta.pixel_size_um) == (("DAPI",), None, (0.5, 0.5))
    assert any("colour" in note for note in meta.notes)


@pytest.mark.parametrize("change", [{"SizeC": "x"}, {"SamplesPerPixel": ""}, {"DimensionOrder": "abc"}, {"ID": "<"}])
def test_a_description_that_cannot_be_used_costs_a_note_and_not_the_pixels(
    tmp_path: Path, change: dict[str, str]
) -> None:
    values = write_ome(tmp_path / "a.ome.tif", **change)
    pixels, meta = read(tmp_path / "a.ome.tif")

    np.testing.assert_array_equal(pixels[0], values)
    assert any("its OME-XML cannot be used" in note for note in meta.notes)
