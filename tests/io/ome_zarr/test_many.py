"""Many images are described as each alone is, and what says the same is parsed once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from simsearch.errors import SimSearchError, SourceError
from simsearch.io.ome_zarr import many
from simsearch.io.ome_zarr.image import describe_image
from simsearch.io.ome_zarr.many import describe_each, describe_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.io.ome_zarr.image import ImageMeta

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])
METADATA = {"0.4": ".zattrs", "0.5": "zarr.json"}
N_FIELDS = 5
ODD = 3


@pytest.fixture
def write_fields(tmp_path: Path, write_image: Callable[..., object]) -> Callable[[str], list[str]]:
    """Write fields that differ in their sources, and their names, as those of a plate do."""

    def write(version: str) -> list[str]:
        fields = [tmp_path / f"B/{field // 2}/{field % 2}" for field in range(N_FIELDS)]
        write_image(fields[0], np.zeros((2, 60, 700), np.uint8), ome_version=version)
        file = METADATA[version]
        stored = json.loads((fields[0] / file).read_text())
        attributes = stored["attributes"] if version == "0.5" else stored
        image = (attributes["ome"] if version == "0.5" else attributes)["multiscales"][0]
        for n, field in enumerate(fields):
            if n:
                shutil.copytree(fields[0], field)
            attributes["simsearch"], image["name"] = {"sources": [f"{n}.tif"]}, field.name
            (field / file).write_text(json.dumps(stored))
        return list(map(str, fields))

    return write


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List what is opened and parsed."""
    opened: list[str] = []

    def counted(path: str, **options: Any) -> ImageMeta:  # noqa: ANN401  of describe_image
        opened.append(path)
        return describe_image(path, **options)

    monkeypatch.setattr(many, "READERS", 1)
    monkeypatch.setattr(many, "describe_image", counted)
    return opened


@VERSIONS
def test_fields_that_say_the_same_are_parsed_once_and_read_once(
    write_fields: Callable[[str], list[str]], parsed: list[str], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fields = write_fields(version)
    read: list[Path] = []
    for name in ("read_bytes", "read_text"):
        whole = getattr(Path, name)
        monkeypatch.setattr(Path, name, lambda path, whole=whole: (read.append(path), whole(path))[1])
    found = describe_images(fields)
    of_others = sorted(str(path) for path in read if not str(path).startswith(f"{fields[0]}/"))
    monkeypatch.undo()

    assert found == [describe_image(field) for field in fields]
    assert parsed == fields[:1]
    assert len(of_others) == {"0.4": 2 + 2 * 2, "0.5": 1 + 2}[version] * (N_FIELDS - 1), "of a group and two levels"
    assert len(set(of_others)) == len(of_others)


def other_shape(path: Path, write: Callable[..., object], version: str) -> None:
    write(path, np.zeros((2, 61, 700), np.uint8), ome_version=version)


def other_type(path: Path, write: Callable[..., object], version: str) -> None:
    write(path, np.zeros((2, 60, 700), np.uint16), ome_version=version)


def other_channels(path: Path, write: Callable[..., object], version: str) -> None:
    write(path, np.zeros((3, 60, 700), np.uint8), ome_version=version)


def other_names(path: Path, write: Callable[..., object], version: str) -> None:
    write(path, np.zeros((2, 60, 700), np.uint8), channel_names=("a", "b"), ome_version=version)


def other_size(path: Path, write: Callable[..., object], version: str) -> None:
    write(path, np.zeros((2, 60, 700), np.uint8), pixel_size_um=(0.5, 0.5), ome_version=version)


def other_level(path: Path, write: Callable[..., object], version: str) -> None:
    array = zarr.open_group(path, mode="r+")["1"]
    zarr.create_array(
        path / "1", shape=array.shape, dtype="uint16", overwrite=True, zarr_format=array.metadata.zarr_format
    )


def lost_level(path: Path, write: Callable[..., object], version: str) -> None:
    (path / "1" / ("zarr.json" if version == "0.5" else ".zarray")).unlink()


def no_json(path: Path, write: Callable[..., object], version: str) -> None:
    (path / METADATA[version]).write_text("{")


def no_image(path: Path, write: Callable[..., object], version: str) -> None:
    file = path / METADATA[version]
    content = json.loads(file.read_text())
    (content["attributes"]["ome"] if version == "0.5" else content)["multiscales"][0]["datasets"] = [7]
    file.write_text(json.dumps(content))


@VERSIONS
@pytest.mark.parametrize(
    "spoil",
    [
        other_shape,
        other_type,
        other_channels,
        other_names,
        other_size,
        other_level,
        lost_level,
        no_json,
        no_image,
    ],
)
def test_a_field_unlike_the_others_is_found(
    write_fields: Callable[[str], list[str]],
    write_image: Callable[..., object],
    parsed: list[str],
    spoil: Callable[[Path, Callable[..., object], str], None],
    version: str,
) -> None:
    fields = write_fields(version)
    alike = describe_image(fields[ODD])
    spoil(Path(fields[ODD]), write_image, version)
    found = describe_each(fields)
    try:
        expected: ImageMeta | str = describe_image(fields[ODD])
    except SimSearchError as error:
        expected = str(error)

    assert parsed == [fields[0], fields[ODD]]
    assert expected != alike
    assert (str(found[ODD]) if isinstance(found[ODD], SimSearchError) else found[ODD]) == expected
    assert found[:ODD] + found[ODD + 1 :] == [describe_image(field) for field in fields if field != fields[ODD]]
    if isinstance(expected, str):
        with pytest.raises(SourceError, match=r"B/1/1"):
            describe_images(fields)


def test_consolidated_metadata_are_left_to_zarr(write_fields: Callable[[str], list[str]], parsed: list[str]) -> None:
    fields = write_fields("0.4")
    for field in fields[1:3]:
        zarr.consolidate_metadata(field, zarr_format=2)
    assert describe_images(fields) == [describe_image(field) for field in fields]
    assert parsed == fields[:3]
