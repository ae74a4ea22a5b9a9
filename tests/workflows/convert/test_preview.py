"""What a conversion would make is told before a byte is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from simsearch.cli import main
from simsearch.errors import ConfigError, SourceError, StoreError
from simsearch.io.ome_zarr.plates.hierarchy import find_images, read_plate_map
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.convert.preview import preview_conversion

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

OPERETTA = ConvertOptions(plate_pattern="operetta")


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Two wells of two channels with an index, a plate map, and what macOS leaves."""
    folder = tmp_path / "in"
    folder.mkdir()
    for column in (1, 2):
        for channel in (1, 2):
            name = f"r01c0{column}f01p01-ch{channel}sk1fk1fl1.tiff"
            Image.fromarray(np.full((30, 40), column * channel, np.uint8)).save(folder / name)
    (folder / "._r01c01f01p01-ch1sk1fk1fl1.tiff").write_bytes(b"\0\5\x16\7")
    (folder / "Thumbs.db").write_bytes(b"\0")
    (folder / "notes.txt").touch()
    (tmp_path / "there.zarr").touch()
    channels = "".join(
        f'<Entry ChannelID="{i}"><ChannelName>{name}</ChannelName><ImageResolutionX Unit="m">2.9E-07</ImageResolutionX>'
        "</Entry>" for i, name in ((1, "DAPI"), (2, "GFP"))
    )  # fmt: skip
    (folder / "Index.xml").write_text(f"<Maps>{channels}</Maps>")
    (tmp_path / "map.csv").write_text("Well;Drug;Dose\nA1;DMSO;\nA2;X;0,2 uM\nB7;X;5 nM\n")
    return folder


def all_files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_preview_is_what_the_conversion_makes_and_writes_nothing(client: Client, tmp_path: Path, plate: Path) -> None:
    options = ConvertOptions(plate_pattern="operetta", plate_map=tmp_path / "map.csv")
    before = all_files(tmp_path)
    preview = preview_conversion(client, [plate], tmp_path / "p.ome.zarr", options)
    (product,) = preview.products

    assert all_files(tmp_path) == before
    assert (product.is_plate, product.wells) == (True, ("A01", "A02"))
    assert [image.path for image in product.images] == ["A/01/0", "A/02/0"]
    assert product.images[0].sources == tuple(f"r01c01f01p01-ch{i}sk1fk1fl1.tiff" for i in (1, 2))
    assert product.images[0].n_bytes == 2 * 30 * 40

    report = convert(client, [plate], tmp_path / "p.ome.zarr", options)
    assert report.notes == preview.notes
    assert any(note.startswith("1 files do not match operetta, such as notes.txt") for note in report.notes)
    for made, told in zip(find_images([tmp_path / "p.ome.zarr"]), product.images, strict=True):
        assert (made.shape, made.dtype, made.channel_names) == (told.shape, told.dtype, told.channel_names)
        assert made.channel_names == ("DAPI", "GFP")
        assert made.pixel_size_um == told.pixel_size_um == pytest.approx((0.29, 0.29))
    assert read_plate_map(tmp_path / "p.ome.zarr")[1] == {
        "well": "A02", "drug": "X", "dose": 0.2, "unit": "uM", "role": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "destination", "options", "error"),
    [
        ("in", "p", OPERETTA, ConfigError),
        ("in", "p.zarr", ConvertOptions(plate_pattern="cellomics"), SourceError),
        ("in", "there.zarr", OPERETTA, StoreError),
        ("in/notes.txt", "x.zarr", ConvertOptions(), SourceError),
        ("none", "x.zarr", ConvertOptions(), SourceError),
    ],
)
def test_a_preview_fails_as_the_conversion_does(
    client: Client,
    tmp_path: Path,
    plate: Path,
    source: str,
    destination: str,
    options: ConvertOptions,
    error: type[Exception],
) -> None:
    said = []
    for run in (preview_conversion, convert):
        with pytest.raises(error) as caught:
            run(client, [tmp_path / source], tmp_path / destination, options)
        said.append(str(caught.value))
    assert said[0] == said[1]


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["convert", *map(str, words), "--cluster", "threads"])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_wells_channels_and_sizes(tmp_path: Path, plate: Path) -> None:
    before = all_files(tmp_path)
    code, out, _ = run(plate, tmp_path / "p.ome.zarr", "--plate-pattern", "operetta", "--dry-run")
    words = " ".join(out.split())

    assert (code, all_files(tmp_path)) == (0, before)
    for said in (
        "p.ome.zarr", "wells 2, A01 to A02, 1 field each", "channels DAPI, GFP", "pixels uint8", "30 x 40 px",
        "pixel size 0.29 um", "A/01/0", "r01c01f01p01-ch1sk1fk1fl1.tiff", "1 files do not match", "Nothing was written",
    ):  # fmt: skip
        assert said in words


def test_the_command_ends_as_the_conversion_does(tmp_path: Path, plate: Path) -> None:
    (plate / "r01c02f01p01-ch2sk1fk1fl1.tiff").write_bytes(b"")
    words = [plate, tmp_path / "p.ome.zarr", "--plate-pattern", "operetta", "--dry-run"]
    code, _, err = run(*words)
    assert code == 2
    assert "ch2sk1fk1fl1.tiff: expected" in " ".join(err.split())
    code, out, err = run(*words, "--skip-errors")
    assert code == 2
    assert "wells          1, A01 to A01" in out
    assert "1 left out:" in err
    assert not (tmp_path / "p.ome.zarr").exists()


def test_folders_of_images_leave_out_what_systems_leave(tmp_path: Path, plate: Path) -> None:
    code, out, _ = run(plate, tmp_path / "out", "--dry-run")
    assert code == 0
    assert "4 images" in out
    assert not (tmp_path / "out").exists()


def test_several_plates_become_a_folder_of_plates(client: Client, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("P1_A01_w1.tif", "P1_B02_w1.tif", "P 2_A01_w1.tif")):
        Image.fromarray(np.full((9, 9), i, np.uint8)).save(tmp_path / "in" / name)
    options = ConvertOptions(plate_pattern="imagexpress")
    with pytest.raises(SourceError, match=r"expected one plate for .*x\.zarr, got P 2, P1: leave the suffix out"):
        convert(client, [tmp_path / "in"], tmp_path / "x.zarr", options)
    report = convert(client, [tmp_path / "in"], tmp_path / "out", options)

    assert report.n_images == 3
    plates = [tmp_path / "out/P1.ome.zarr", tmp_path / "out/P_2.ome.zarr"]
    assert [image.name for image in find_images(plates)] == ["P1/A/01/0", "P1/B/02/0", "P_2/A/01/0"]
    assert "no pixel size is known: `--pixel-size` sets one" in report.notes


def test_urls_of_images_are_refused_in_one_line(tmp_path: Path) -> None:
    code, _, err = run("https://host.invalid/a.tif", tmp_path / "a.ome.zarr")
    assert code == 2
    assert "expected the URL of an OME-Zarr, got that of an image file: download it" in " ".join(err.split())
