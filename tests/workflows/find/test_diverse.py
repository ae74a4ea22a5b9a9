"""Displayed images show together what all have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.errors import ConfigError
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.runtime import open_cluster
from simsearch.workflows.find.diverse import DiverseOptions, choose_diverse
from simsearch.workflows.image_set import ImageSet, find_image_set

if TYPE_CHECKING:
    from pathlib import Path


def write_images(folder: Path) -> ImageSet:
    """Write five images of stripes, and the third of checks."""
    y, x = np.mgrid[:128, :128]
    paths = []
    for index in range(5):
        pattern = ((y // 8 + x // 8) % 2 if index == 2 else (x + index) // 6 % 2) * 200
        noise = np.random.default_rng(index).integers(0, 40, (128, 128))
        path, template = folder / f"{index}.ome.zarr", ImageTemplate(1, (128, 128), "uint8", ("c",), ("FFFFFF",))
        create_image(path, template)
        for region in template.regions(0):
            write_region(path, 0, region, (pattern + noise).astype(np.uint8)[None])
        finish_image(path, template)
        paths.append(path)
    return find_image_set(paths)


def test_two_images_show_both_kinds(tmp_path: Path) -> None:
    with open_cluster("threads:1") as client:
        chosen = choose_diverse(client, write_images(tmp_path), DiverseOptions(n=2))
        with pytest.raises(ConfigError, match="at least one image"):
            choose_diverse(client, write_images(tmp_path / "again"), DiverseOptions(n=0))

    assert len(chosen) == 2
    assert "2" in chosen
