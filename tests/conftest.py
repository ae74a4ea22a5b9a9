"""What tests of all layers share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import safetensors.torch
import torch
import torchvision
from hypothesis import settings

from simsearch.io.ome_zarr.image import ImageMeta, describe_image
from simsearch.io.ome_zarr.pyramid import halved
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.runtime import open_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client
    from numpy.typing import NDArray

settings.register_profile("house", deadline=None)  # a busy machine is no bug
settings.load_profile("house")

torch.set_num_threads(1)  # beside another busy process, two threads that wait for each other are 20 times slower


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data, which is not part of the repository."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("SIMSEARCH_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SIMSEARCH_DATA to the folder that has it")
    return folder


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Start a cluster of threads in this process."""
    with open_cluster("threads") as client:
        yield client


@pytest.fixture(scope="session")
def processes() -> Iterator[Client]:
    """Start a cluster of two processes."""
    with open_cluster("local:2") as client:
        yield client


@pytest.fixture(scope="session")
def resnet() -> torchvision.models.ResNet:
    """Torchvision's ResNet-18 with random weights, whose features are of a sane size. Not to be changed."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = torchvision.models.resnet18(weights=None)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the running statistics become those of the images below
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
        with torch.no_grad():
            network.train()(torch.nn.functional.interpolate(torch.randn(4, 3, 24, 24), scale_factor=4, mode="bicubic"))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def trunk_file(resnet: torchvision.models.ResNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a trunk with random weights."""
    path = tmp_path_factory.mktemp("trunk") / "random.safetensors"
    safetensors.torch.save_file(resnet.state_dict(), path)
    return path


class SaveImage(Protocol):
    """Writes pixels of (C, H, W) as OME-Zarr; keywords change fields of its template."""

    def __call__(self, path: Path, pixels: NDArray[Any], **changes: object) -> ImageMeta:
        """Write and describe the image."""


@pytest.fixture(scope="session")
def save_image() -> SaveImage:
    def save(path: Path, pixels: NDArray[Any], **changes: object) -> ImageMeta:
        fields: dict[str, Any] = {
            "n_channels": len(pixels),
            "shape": pixels.shape[1:],
            "dtype": str(pixels.dtype),
            "channel_names": tuple(f"c{i}" for i in range(len(pixels))),
            "channel_colors": ("FFFFFF",) * len(pixels),
            "chunk": 64,
            "shard": 256,
        }
        template = ImageTemplate(**{**fields, **changes})
        create_image(path, template)
        for level in range(len(template.level_shapes)):
            pixels = halved(pixels) if level else pixels
            for region in template.regions(level):
                write_region(path, level, region, pixels[(slice(None), *region.slices)])
        finish_image(path, template)
        return describe_image(path)

    return save
