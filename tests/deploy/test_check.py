"""The script that asks a cluster, without one."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.deploy.manifests import FOLDER, OVERLAYS

if TYPE_CHECKING:
    from pathlib import Path

STAND_IN = """\
#!/bin/sh
echo "{name} $*" >> "{folder}/asked"
case "{failing}:$*" in
    get:get*) echo pod/left ;;
    :* | get:*) ;;
    *{failing}:*{failing}*) exit 1 ;;
esac
"""


@pytest.mark.parametrize("failing", ["", "gpu", "doctor", "get"])
def test_the_check_of_a_cluster_fails_where_something_does(tmp_path: Path, failing: str) -> None:
    """Stand-ins for kubectl and simsearch write down what they are asked; one fails, or something is left."""
    for name in ("kubectl", "simsearch"):
        program = tmp_path / name
        program.write_text(STAND_IN.format(name=name, folder=tmp_path, failing=failing))
        program.chmod(0o755)
    (tmp_path / "sleep").symlink_to("/bin/true")
    done = subprocess.run(
        [FOLDER / "check.sh"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if failing else 0)
    asked = (tmp_path / "asked").read_text()
    assert [f"--dry-run=server --kustomize overlays/{overlay}" in asked for overlay in OVERLAYS] == [True, True]
    assert "simsearch doctor --cluster kubernetes" in asked
    assert ("pod/left" in done.stderr) == (failing == "get")
