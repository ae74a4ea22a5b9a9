"""An S3 server on this machine, and a plate to work on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
import s3fs
import tifffile
import torch
from moto.server import ThreadedMotoServer

from simsearch.io.places import ObjectPath
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.model_file import ModelHeader, model_to_bytes
from simsearch.nn.trunk_file import read_trunk, trunk_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Start an S3 server, and return its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    found = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    found.start()
    host, port = found.get_host_and_port()
    yield f"http://{host}:{port}"
    found.stop()


@pytest.fixture(scope="module")
def environment(server: str) -> Iterator[pytest.MonkeyPatch]:
    """Name the server and credentials as users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server)
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        s3fs.S3FileSystem.clear_instance_cache()
        yield patch
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def bucket(environment: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ObjectPath:
    """Make an empty bucket."""
    name = request.module.__name__.rpartition(".")[2].replace("_", "-")
    s3fs.S3FileSystem().mkdir(name)
    return ObjectPath(f"s3://{name}")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save files of a plate: two wells, two channels."""
    folder, rng = tmp_path_factory.mktemp("sources"), np.random.default_rng(0)
    for well in ("A01", "B02"):
        for channel in range(2):
            pixels = rng.gamma(2.0, 300, (96, 112)).astype(np.uint16)
            tifffile.imwrite(folder / f"{well}_c{channel}.tif", pixels)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model that has learned nothing, but is sure of it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = trunk_from_bytes(read_trunk("bundled"), 2)
        classifier = PatchClassifier(network, classifier_extractor("dense", (40, 40)), 3).eval()
        classifier.head.weight.data *= 20
    header = ModelHeader(
        "dense", ("background", "p", "q"), ((40, 40),) * 2, 1, ("c0", "c1"), ((0.0, 2000.0),) * 2, "uint16", None,
        (0.34, 0.34), "", {},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    path.write_bytes(model_to_bytes(classifier, header))
    return path
