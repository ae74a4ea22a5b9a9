"""Pixel sizes that instruments write into tags of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import tifffile

from tests.io.sources.reading import noise, read

if TYPE_CHECKING:
    from pathlib import Path


def metaseries(state: str, side: str, unit: str) -> str:
    props = {"state": ("bool", state), "x": ("float", side), "y": ("float", side), "units": ("string", unit)}
    listed = "".join(
        f'<prop id="spatial-calibration-{name}" type="{kind}" value="{value}"/>'
        for name, (kind, value) in props.items()
    )
    return f"<MetaData><PlaneInfo>{listed}</PlaneInfo></MetaData>"


@pytest.mark.parametrize(
    ("state", "side", "unit", "size", "told"),
    [
        ("on", "0.65", "um", 0.65, False),
        ("on", "650", "nm", 0.65, False),
        ("on", "1", "pixel", None, False),
        ("off", "0.65", "um", None, False),
        ("on", "0", "um", None, True),
        ("on", "x", "um", None, True),
    ],
)
def test_metaxpress_calibration(
    tmp_path: Path, state: str, side: str, unit: str, size: float | None, told: bool
) -> None:
    # The resolution tags of such files are for a screen.
    tifffile.imwrite(
        tmp_path / "a.tif",
        noise(20, 30),
        description=metaseries(state, side, unit),
        metadata=None,
        resolution=(72, 72),
        resolutionunit="NONE",
    )
    meta = read(tmp_path / "a.tif")[1]

    assert meta.pixel_size_um == (None if size is None else pytest.approx((size, size)))
    assert any("pixel size" in note for note in meta.notes) == told


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((2, 4), "micron", (0.25, 0.5)),
        ((2, 4), "\\u00B5m", (0.25, 0.5)),
        ((20_000, 40_000), "cm", (0.25, 0.5)),
        ((2, 4), "pixel", None),
        ((2, 4), "furlong", None),
    ],
)
def test_imagej_units(tmp_path: Path, resolution: tuple[int, int], unit: str, size: tuple[float, float] | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 30), imagej=True, resolution=resolution, metadata={"unit": unit})

    assert read(tmp_path / "a.tif")[1].pixel_size_um == (None if size is None else pytest.approx(size))
