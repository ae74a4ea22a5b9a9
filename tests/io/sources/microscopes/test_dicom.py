"""DICOM whole slides, written with pydicom, are read as they were written, and as OpenSlide reads them."""

from __future__ import annotations

import struct
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import openslide
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from simsearch.core.tiles import Region
from simsearch.errors import ConfigError, SourceError
from simsearch.io.sources.formats import list_series, open_source
from simsearch.io.sources.microscopes import container as microscope
from simsearch.io.sources.protocol import SourceSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.io.sources.conftest import ReadTiles

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE = 32


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def items(*keys: dict[str, object]) -> list[Dataset]:
    datasets = []
    for each in keys:
        dataset = Dataset()
        for key, value in each.items():
            setattr(dataset, key, value)
        datasets.append(dataset)
    return datasets


def tiles_of(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """Cut (planes, y, x, samples) into frames, each of full size."""
    n, height, width, _ = pixels.shape
    pad_y, pad_x = -height % TILE, -width % TILE
    padded = np.pad(pixels, [(0, 0), (0, pad_y), (0, pad_x), (0, 0)])
    corners = [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    return [padded[i, y : y + TILE, x : x + TILE] for i in range(n) for y, x in corners]


def write(  # noqa: PLR0913  what the standard asks for
    path: Path,
    pixels: NDArray[Any],
    *,
    series: str = "1.2.3.4",
    paths: tuple[str, ...] = ("H&E",),
    first_path: int = 0,
    n_planes: int = 1,
    kind: str = "VOLUME",
    origin: tuple[float, float] = (10.0, 20.0),
    spacing: tuple[float, float] = (0.0005, 0.00025),
    jpeg: bool = False,
    name: str = "slide",
) -> Path:
    """Write an array of shape (path * plane, y, x, samples)."""
    _, height, width, samples = pixels.shape
    bits = 8 * pixels.itemsize
    frames = tiles_of(pixels)
    dataset = Dataset()
    facts: dict[str, object] = {
        "SOPClassUID": WHOLE_SLIDE, "SOPInstanceUID": generate_uid(), "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": series, "FrameOfReferenceUID": "1.2.5", "SeriesDescription": name, "Modality": "SM",
        "ImageType": ["ORIGINAL", "PRIMARY", kind, "NONE"], "ContainerIdentifier": "c",
        "Rows": TILE, "Columns": TILE, "TotalPixelMatrixRows": height, "TotalPixelMatrixColumns": width,
        "TotalPixelMatrixFocalPlanes": n_planes, "NumberOfOpticalPaths": len(paths), "NumberOfFrames": len(frames),
        "SamplesPerPixel": samples, "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": 0, "DimensionOrganizationType": "TILED_FULL", "FocusMethod": "AUTO",
        "ExtendedDepthOfField": "NO", "VolumetricProperties": "VOLUME",
        "ImagedVolumeWidth": width * spacing[1], "ImagedVolumeHeight": height * spacing[0],
        "ImagedVolumeDepth": 1.0, "BurnedInAnnotation": "NO", "LossyImageCompression": "01" if jpeg else "00",
        "SpecimenLabelInImage": "NO", "ImageOrientationSlide": [0, -1, 0, -1, 0, 0],
        "PhotometricInterpretation": "MONOCHROME2" if samples == 1 else "YBR_FULL_422" if jpeg else "RGB",
    }  # fmt: skip
    for key, value in facts.items():
        setattr(dataset, key, value)
    if samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.TotalPixelMatrixOriginSequence = items(
        {"XOffsetInSlideCoordinateSystem": origin[0], "YOffsetInSlideCoordinateSystem": origin[1]}
    )
    dataset.OpticalPathSequence = items(
        *({"OpticalPathIdentifier": str(i), "OpticalPathDescription": each} for i, each in enumerate(paths, first_path))
    )
    measures = {"PixelSpacing": list(spacing), "SliceThickness": 0.001, "SpacingBetweenSlices": 0.001}
    dataset.SharedFunctionalGroupsSequence = items(
        {
            "PixelMeasuresSequence": items(measures),
            "OpticalPathIdentificationSequence": items({"OpticalPathIdentifier": str(first_path)}),
        }
    )
    if jpeg:
        dataset.PixelData = encapsulate([as_jpeg(frame) for frame in frames])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.PixelData = b"".join(frame.tobytes() for frame in frames)
        dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = WHOLE_SLIDE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def as_jpeg(frame: NDArray[Any]) -> bytes:
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_slide(folder: Path, pixels: NDArray[Any], **changes: Any) -> Path:  # noqa: ANN401
    """Write two levels and a label."""
    coarse = pixels[:, ::2, ::2]
    write(folder / "b.dcm", coarse, **{"spacing": (0.001, 0.0005), **changes})
    write(folder / "c.dcm", coarse, **{**changes, "kind": "LABEL"})
    return write(folder / "a.dcm", pixels, **changes)


def test_a_slide_in_colour(tmp_path: Path, read_tiles: ReadTiles) -> None:
    written = noise(1, 70, 90, 3)
    path = write_slide(tmp_path / "slide", written)

    for each in (path.parent, path, path.parent / "b.dcm"):  # the folder, or any file of it
        pixels, meta = read_tiles(each)
        np.testing.assert_array_equal(pixels, written[0].transpose(2, 0, 1))
        assert meta.channel_names == ("Red", "Green", "Blue")
        assert meta.pixel_size_um == pytest.approx((0.5, 0.25))
        assert not meta.notes


def test_jpeg_tiles_are_as_openslide_decodes_them(tmp_path: Path, read_tiles: ReadTiles) -> None:
    y, x = np.mgrid[:64, :96]
    smooth = np.stack([y, x, y + x], axis=-1).astype(np.uint8)[np.newaxis]
    path = write(tmp_path / "slide/a.dcm", smooth, jpeg=True)
    pixels, _ = read_tiles(path)

    assert np.abs(pixels.astype(int) - smooth[0].transpose(2, 0, 1)).max() < 12
    with openslide.OpenSlide(path) as slide:
        expected = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
    assert np.abs(pixels.astype(int) - expected.transpose(2, 0, 1)).max() <= 3


def test_channels_and_focal_planes(tmp_path: Path, read_tiles: ReadTiles) -> None:
    stack = noise(2, 3, 50, 60, 1, dtype="uint16") * np.uint16(200)  # path, plane
    path = write(tmp_path / "slide/a.dcm", stack.reshape(6, 50, 60, 1), paths=("DAPI", "Cy5"), n_planes=3)

    pixels, meta = read_tiles(path, z=2)
    np.testing.assert_array_equal(pixels, stack[:, 2, ..., 0])
    assert meta.channel_names == ("DAPI", "Cy5")
    assert meta.dtype == "uint16"
    np.testing.assert_array_equal(read_tiles(path, z="max")[0], stack[..., 0].max(axis=1))
    with pytest.raises(ConfigError, match="--z INDEX"):
        read_tiles(path)


def test_channels_in_files_of_their_own(tmp_path: Path, read_tiles: ReadTiles) -> None:
    stack = noise(2, 50, 60, 1, dtype="uint16")
    write(tmp_path / "slide/a.dcm", stack[:1], paths=("DAPI",))
    other = write(tmp_path / "slide/b.dcm", stack[1:], paths=("Cy5",), first_path=1)
    pixels, meta = read_tiles(other)
    np.testing.assert_array_equal(pixels, stack[..., 0])
    assert meta.channel_names == ("DAPI", "Cy5")

    other.write_bytes(other.read_bytes().replace(b"MONOCHROME2 ", b"MONOCHROME1 "))
    with pytest.raises(SourceError, match="1 of 2 files of its finest level cannot be read"):
        read_tiles(tmp_path / "slide")


def test_a_folder_of_slides_and_a_slide_of_two_sections(tmp_path: Path, read_tiles: ReadTiles) -> None:
    one, two, three = noise(1, 40, 50, 3), noise(1, 60, 70, 3, seed=1), noise(1, 20, 30, 3, seed=2)
    folder = tmp_path / "slides"
    write(folder / "a.dcm", one, series="1.2.7", name="case 7")
    write(folder / "b.dcm", two, series="1.2.8", name="case 8")
    write(folder / "c.dcm", three, series="1.2.8", name="case 8", origin=(15.0, 20.0))

    assert [str(each) for each in list_series(str(folder))] == [
        "case 8 1 (60 x 70)", "case 7 (40 x 50)", "case 8 2 (20 x 30)"
    ]  # fmt: skip
    pixels, meta = read_tiles(folder)
    np.testing.assert_array_equal(pixels, two[0].transpose(2, 0, 1))
    assert "2 more images in the file were left out" in meta.notes[0]
    np.testing.assert_array_equal(read_tiles(folder, series="case 7")[0], one[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(read_tiles(folder / "c.dcm", series="1")[0], three[0].transpose(2, 0, 1))
    assert len(list_series(str(folder / "a.dcm"))) == 1


def test_a_damaged_finest_level_is_no_reason_to_read_a_coarser_one(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write_slide(tmp_path / "slide", noise(1, 70, 90, 3))
    path.write_bytes(path.read_bytes().replace(b"MONOCHROME2", b"PALETTE C  ").replace(b"RGB ", b"HSV "))
    with pytest.raises(SourceError, match="expected an image, got WsiDicomNotFoundError"):
        read_tiles(path.parent)


def test_a_region_decodes_its_tiles_only(tmp_path: Path) -> None:
    written = noise(1, 128, 128, 3)
    path = write(tmp_path / "slide/a.dcm", written, jpeg=True)
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data.startswith(b"\xff\xd8\xff\xe0", i)]
    assert len(starts) == 16
    for i, start in enumerate(starts):
        if i not in (5, 6, 9, 10):
            data[start : start + 200] = bytes(200)
    path.write_bytes(data)

    with open_source(SourceSpec(str(path))) as source:
        source.read(Region(32, 96, 32, 96))
        with pytest.raises(SourceError, match="expected pixels of"):
            source.read(Region(0, 32, 0, 32))


def test_a_tile_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles
) -> None:
    path = write(tmp_path / "slide/a.dcm", noise(1, 70, 90, 3))
    monkeypatch.setattr(microscope, "MOST_BYTES_IN_ONE_PIECE", 2000)
    with pytest.raises(SourceError, match="expected at most 2000 bytes in one piece"):
        read_tiles(path)


def test_what_is_no_slide_or_cut_off_or_damaged_is_told_in_one_line(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "slide/a.dcm", noise(1, 70, 90, 3), kind="LABEL")
    with pytest.raises(SourceError, match="expected a DICOM whole slide, got other DICOM"):
        read_tiles(path)
    path = write(path, noise(1, 70, 90, 3))
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for length in (140, 400, 900, len(data) // 2, len(data) - 20):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError, match=r"expected .+") as error:
            read_tiles(path.parent)
        assert "\n" not in str(error.value)
    for _ in range(60):
        broken = bytearray(data)
        for at in rng.integers(132, len(data) - 9 * 32 * 32 * 3, 6):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_tiles(path)
        except (SourceError, ConfigError) as damage:
            assert "\n" not in str(damage)  # noqa: PT017  some damage is to names only


def test_a_deflated_file_is_not_unpacked(tmp_path: Path, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "slide/a.dcm", noise(1, 40, 50, 3))
    # The name of the syntax is longer than that it takes the place of: so is the list of which it is part.
    data = path.read_bytes().replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.1.99")
    path.write_bytes(data.replace(data[140:144], struct.pack("<I", struct.unpack("<I", data[140:144])[0] + 2), 1))
    with pytest.raises(SourceError, match="a deflated file, which may unpack to any size"):
        read_tiles(path)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_tiles: ReadTiles) -> None:
    path = write(tmp_path / "slide/a.dcm", noise(1, 70, 90, 3))
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    with pytest.raises(SourceError, match=r"a\.dcm: expected wsidicom.*pip install 'simsearch\[formats\]'"):
        read_tiles(path)
