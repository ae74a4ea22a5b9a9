"""Which images a run looks at, and which are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.errors import ConfigError, SourceError
from simsearch.workflows.image_set import ImageSet, find_image_set

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage


def pixels(n_channels: int = 1, dtype: str = "uint8") -> np.ndarray:
    return np.zeros((n_channels, 32, 32), dtype)


def test_an_image_that_is_not_there_ends_the_run_or_is_left_out(save_image: SaveImage, tmp_path: Path) -> None:
    there = save_image(tmp_path / "there.ome.zarr", pixels())
    paths = [tmp_path / "gone.ome.zarr", there.path]

    with pytest.raises(SourceError, match="gone"):
        find_image_set(paths)
    found = find_image_set(paths, skip_errors=True)

    assert [image.name for image in found] == ["there"]
    ((name, message),) = found.failures
    assert name.endswith("gone.ome.zarr")
    assert "expected an OME-Zarr" in message


def test_with_none_left_the_run_ends(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"got none; the last: .*gone"):
        find_image_set([tmp_path / "gone.ome.zarr"], skip_errors=True)


@pytest.mark.parametrize(("n_channels", "dtype"), [(2, "uint8"), (1, "uint16")])
def test_an_image_of_another_kind_ends_the_run_or_is_left_out(
    save_image: SaveImage, tmp_path: Path, n_channels: int, dtype: str
) -> None:
    first = save_image(tmp_path / "first.ome.zarr", pixels())
    other = save_image(tmp_path / "other.ome.zarr", pixels(n_channels, dtype))

    with pytest.raises(SourceError, match=r"other\.ome\.zarr: expected 1 channels of uint8 as in .*first"):
        ImageSet([first, other])
    found = ImageSet([first, other], skip_errors=True)

    assert [image.name for image in found] == ["first"]
    assert [name for name, _ in found.failures] == ["other"]


def test_two_images_of_one_name_are_refused(save_image: SaveImage, tmp_path: Path) -> None:
    images = [save_image(tmp_path / folder / "same.ome.zarr", pixels()) for folder in ("a", "b")]

    with pytest.raises(ConfigError, match="got same twice"):
        ImageSet(images, skip_errors=True)
