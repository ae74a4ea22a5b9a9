"""What tests of recipes share."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.deploy.recipes import recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do what the page about Kubernetes says about the key of the cluster."""
    folder = tmp_path_factory.mktemp("key")
    command = recipe("deploy/kubernetes/README.md", "mkdir -m 700 tls", {})
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder, check=True, capture_output=True)
    return folder / "tls"
