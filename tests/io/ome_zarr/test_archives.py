"""OME-Zarr in one file is read as a folder is."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.tiles import Region
from simsearch.errors import SourceError
from simsearch.io.ome_zarr.archives import holds_zarr
from simsearch.io.ome_zarr.image import describe_image, open_image, read_region
from simsearch.io.ome_zarr.labels import can_hold_labels
from simsearch.io.ome_zarr.plates.hierarchy import find_images, write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.ome_zarr.stores import written_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simsearch.io.ome_zarr.writing import ImageTemplate

    WriteImage = Callable[..., ImageTemplate]

_PIXELS = np.random.default_rng(1).integers(0, 4000, (2, 150, 90), dtype=np.uint16)


def zipped(folder: Path, path: Path, root: str = "", compression: int = zipfile.ZIP_STORED) -> Path:
    """Zip what is in a folder, below a folder of the archive."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("__MACOSX/._zarr.json", b"")
        for file in sorted(folder.rglob("*")):
            archive.write(file, root + str(file.relative_to(folder)))
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("name", "root", "compression"),
    [
        ("cells.ozx", "", zipfile.ZIP_STORED),
        ("cells.ome.zarr.zip", "", zipfile.ZIP_DEFLATED),
        ("cells.zarr.zip", "cells.ome.zarr/", zipfile.ZIP_STORED),
        ("cells.zip", "a/b/", zipfile.ZIP_STORED),
        ("cells.ome.zarr", "", zipfile.ZIP_STORED),
    ],
)
def test_an_archive_is_read_as_the_folder_that_was_zipped(
    tmp_path: Path, write_image: WriteImage, version: str, name: str, root: str, compression: int
) -> None:
    write_image(tmp_path / "folder.ome.zarr", _PIXELS, ome_version=version, pixel_size_um=(0.5, 0.5))
    path = zipped(tmp_path / "folder.ome.zarr", tmp_path / name, root, compression)
    (image,) = find_images([path])

    assert (image.name, image.shape, image.pixel_size_um) == ("cells", (150, 90), (0.5, 0.5))
    np.testing.assert_array_equal(read_region(image, 0, Region(20, 140, 0, 90)), _PIXELS[:, 20:140])
    np.testing.assert_array_equal(open_image(path).values, _PIXELS)
    assert not can_hold_labels(image)
    assert written_at(image.path) == path.stat().st_mtime_ns


def test_a_zipped_plate_has_its_fields(tmp_path: Path, write_image: WriteImage) -> None:
    for field in "01":
        write_image(tmp_path / "P1/B/03" / field, _PIXELS)
    write_plate(str(tmp_path / "P1"), {Well(1, 2): ["0", "1"]}, name="P1", version="0.5", provenance={})
    path = zipped(tmp_path / "P1", tmp_path / "P1.ozx")
    images = find_images([path])

    assert [image.name for image in images] == ["P1/B/03/0", "P1/B/03/1"]
    assert written_at(images[1].path) == path.stat().st_mtime_ns
    np.testing.assert_array_equal(read_region(images[1], 0, Region(0, 150, 0, 90)), _PIXELS)
    (alone,) = find_images([f"{path}/B/03/1"])
    assert alone.path == images[1].path


def test_an_archive_that_was_written_anew_is_read_anew(tmp_path: Path, write_image: WriteImage) -> None:
    for value in (1, 2):
        write_image(tmp_path / f"{value}.zarr", np.full((1, 20, 20 + value), value, np.uint8))
        image = describe_image(zipped(tmp_path / f"{value}.zarr", tmp_path / "a.ozx"))
        assert (read_region(image, 0, Region(0, 20, 0, 20)) == value).all()


def test_what_is_no_zipped_image_is_named(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "a.zarr", _PIXELS)
    path = zipped(tmp_path / "a.zarr", tmp_path / "a.ozx")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.zarr/zarr.json", b"{}")
    assert describe_image(path).shape == (150, 90)  # a group in a group is what Zarr is made of

    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in "ab":
            archive.writestr(f"{name}/zarr.json", b"{}")
    with pytest.raises(SourceError, match=r"two\.zip: expected one OME-Zarr in the archive, got none or several"):
        describe_image(tmp_path / "two.zip")
    (tmp_path / "cut.ozx").write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"cut\.ozx: expected a zipped OME-Zarr, got BadZipFile"):
        describe_image(tmp_path / "cut.ozx")
    with pytest.raises(SourceError, match=r"on a server"):
        describe_image("https://localhost/a.ozx")
    assert not holds_zarr(str(tmp_path / "cut.ozx"))
    assert not holds_zarr(str(tmp_path / "none"))


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simsearch.io.ome_zarr.archives._LARGEST_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "a.ozx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", bytes(2**20 + 1))
    with pytest.raises(SourceError, match=r"expected files of at most 1 MiB .* at 'zarr\.json'"):
        describe_image(tmp_path / "a.ozx")
