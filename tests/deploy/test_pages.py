"""Every command of the pages on clusters is run by a test, or says that it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.runtime.clusters.spec import resolve_cluster
from tests.deploy.recipes import recipe, recipe_pages
from tests.docs.blocks import ROOT, blocks_of, find_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.docs.blocks import Block

MACHINES, SLURM, HERE = (
    "tests/runtime/clusters/test_machines.py",
    "tests/runtime/clusters/test_slurm.py",
    "tests/deploy/test_pages.py",
)
RUN_BY = {
    ("deploy/machines/README.md", "mkdir -m 700 tls"): MACHINES,
    ("deploy/machines/README.md", "dask scheduler"): MACHINES,
    ("deploy/machines/README.md", "while"): MACHINES,
    ("deploy/machines/README.md", "simsearch detect"): MACHINES,
    ("deploy/slurm/README.md", "simsearch detect"): SLURM,
    ("deploy/slurm/README.md", "sbatch"): SLURM,
    ("deploy/slurm/README.md", "kind: slurm"): HERE,
    ("deploy/kubernetes/README.md", "mkdir -m 700 tls"): "tests/deploy/conftest.py",
}
"""Which test runs the block of a page that begins so."""


def not_run(blocks: Iterable[Block]) -> list[str]:
    """List blocks that nothing runs, and that do not say so."""
    known = [key for block in blocks if not block.reason for key in [(block.page, block.text)]]
    return [text for page, text in known if not any(page == of and text.startswith(start) for of, start in RUN_BY)]


@pytest.mark.parametrize("page", recipe_pages())
def test_every_block_is_run_or_says_why_it_is_not(page: str) -> None:
    assert not_run(blocks_of(page)) == []


def test_a_planted_block_is_found() -> None:
    planted = "# Page\n\n```bash\nmake all\n```\n\n<!-- not run: needs a cluster -->\n```bash\nsbatch job\n```\n"
    assert not_run(find_blocks("deploy/slurm/README.md", planted)) == ["make all\n"]


@pytest.mark.parametrize(("page", "beginning"), RUN_BY)
def test_the_test_that_is_said_to_run_a_block_names_page_and_beginning(page: str, beginning: str) -> None:
    assert any(block.text.startswith(beginning) and not block.reason for block in blocks_of(page))
    text = (ROOT / RUN_BY[page, beginning]).read_text(encoding="utf-8")
    assert page in text
    assert beginning in text


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "hpc.yaml"
    path.write_text(recipe("deploy/slurm/README.md", "kind: slurm", {}), encoding="utf-8")
    spec = resolve_cluster(path)
    assert (spec.kind, spec.workers, spec.cores, spec.memory, spec.walltime) == ("slurm", 40, 2, 6 * 2**30, "02:00:00")
    assert (spec.wait, spec.interface, spec.directives) == (1800, "ib0", ("--qos=normal", "--constraint=skylake"))
