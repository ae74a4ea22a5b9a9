"""Arrays of any sensible order, of which the user may say what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from simsearch.errors import ConfigError, SourceError
from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path

VALUES = noise(6, 40, 50, dtype=np.uint16)


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "<u2", "int16", ">f4", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "yxc"])
def test_orders_in_memory_and_of_axes(tmp_path: Path, axes: str, order: Literal["C", "F"], dtype: str) -> None:
    values = {"yx": VALUES[0], "cyx": VALUES, "yxc": VALUES.transpose(1, 2, 0)}[axes].astype(dtype)
    np.save(tmp_path / "a.npy", np.asarray(values, order=order))
    pixels, meta = read(tmp_path / "a.npy", tile=16)

    np.testing.assert_array_equal(pixels, VALUES[:1] if axes == "yx" else VALUES)
    assert any("--stack channels|z|t says otherwise" in note for note in meta.notes) == (axes != "yx")


@pytest.mark.parametrize("stack", ["z", "t"])
@pytest.mark.parametrize("n_planes", [6, 100])
def test_stacks_of_planes(tmp_path: Path, n_planes: int, stack: str) -> None:
    values = noise(n_planes, 40, 50)
    np.save(tmp_path / "a.npy", values)

    np.testing.assert_array_equal(read(tmp_path / "a.npy", 16, stack=stack, **{stack: 3})[0][0], values[3])
    np.testing.assert_array_equal(read(tmp_path / "a.npy", 16, stack=stack, **{stack: "max"})[0][0], values.max(axis=0))
    with pytest.raises(ConfigError, match=f"expected a choice of {n_planes}"):
        read(tmp_path / "a.npy", stack=stack)


def test_stacks_of_channels_and_colours(tmp_path: Path) -> None:
    values = noise(5, 2, 40, 50)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "colors.npy", noise(5, 40, 50, 3))

    np.testing.assert_array_equal(read(tmp_path / "a.npy", 16, stack="z", z=2)[0], values[2])
    pixels, meta = read(tmp_path / "colors.npy", stack="t", t="max")
    np.testing.assert_array_equal(pixels, noise(5, 40, 50, 3).max(axis=0).transpose(2, 0, 1))
    assert meta.channel_names == ("Red", "Green", "Blue")
    with pytest.raises(SourceError, match="say what its first axis is with --stack"):
        read(tmp_path / "a.npy")


def test_a_long_first_axis_is_channels_where_the_user_says_so(tmp_path: Path) -> None:
    values = noise(70, 80, 90)
    np.save(tmp_path / "a.npy", values)

    np.testing.assert_array_equal(read(tmp_path / "a.npy", stack="channels")[0], values)


def test_only_tiff_and_npy_have_stacks_to_be_named(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"a\.png: expected a TIFF or \.npy file for --stack z"):
        read(tmp_path / "a.png", stack="z")
