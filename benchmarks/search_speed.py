"""Search end to end on a Dask cluster: template against patchwise, and one worker against two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import skimage.data

from simsearch.io.ome_zarr.colors import RGB_COLORS, RGB_NAMES
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.runtime import open_cluster
from simsearch.workflows.find.search import SearchOptions, SearchReport, search
from simsearch.workflows.image_set import find_image_set

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_PATCH = 48


def template_against_patchwise(scratch: Path, trunk: str, side: int = 1024) -> dict[str, float]:
    """Return the seconds per megapixel of the search step of both methods, on one worker, warmed up."""
    image, boxes = write_tissue(scratch, side)
    found = {}
    with open_cluster("local:1") as client:
        for method in ("template", "patchwise"):
            seconds = []
            for _ in range(2):  # the first loads torch and the trunk
                options = SearchOptions(method=method, trunk=trunk, save_maps=False, overwrite=True)
                report = search(client, find_image_set([image]), boxes, scratch / "out", options)
                seconds.append(report.seconds["search"])
                if method == "patchwise":
                    break  # minutes; what loading adds is nothing beside it
            found[method] = min(seconds) / (side**2 / 1e6)
    return found


def one_worker_against_two(scratch: Path, trunk: str, side: int = 4096) -> dict[int, float]:
    """Return the seconds of the search step on one and two workers, warmed up."""
    image, boxes = write_tissue(scratch, side)
    found = {}
    for n_workers in (1, 2):
        with open_cluster(f"local:{n_workers}") as client:
            client.run(use_one_thread)
            reports: list[SearchReport] = []
            for _ in range(2):
                options = SearchOptions(trunk=trunk, overwrite=True)
                reports.append(search(client, find_image_set([image]), boxes, scratch / "out", options))
            found[n_workers] = min(report.seconds["search"] for report in reports)
    return found


def use_one_thread() -> None:
    """Let torch have one thread on this worker."""
    import torch

    torch.set_num_threads(1)  # so that one worker uses one core, and the second is not idle only by name


def write_tissue(scratch: Path, side: int) -> tuple[Path, Path]:
    """Tile scikit-image's tissue image to a square, mirrored so that it has no seams."""
    path, boxes = scratch / f"tissue{side}.ome.zarr", scratch / f"tissue{side}.csv"
    boxes.write_text(
        f"image,class,y,x,height,width\ntissue{side},nucleus,361,343,{_PATCH},{_PATCH}\n"
        f"tissue{side},nucleus,410,360,{_PATCH},{_PATCH}\n"
    )
    if not path.exists():
        pixels = _mirrored(skimage.data.immunohistochemistry(), side)
        template = ImageTemplate(3, (side, side), "uint8", RGB_NAMES, RGB_COLORS, n_levels=1)
        create_image(path, template)
        for region in template.regions(0):
            write_region(path, 0, region, pixels[:, *region.slices])
        finish_image(path, template)
    return path, boxes


def _mirrored(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    missing = side - len(image)
    return np.pad(image, ((0, missing), (0, missing), (0, 0)), mode="symmetric").transpose(2, 0, 1)
