from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dask.system import cpu_count
from distributed.system import MEMORY_LIMIT

from simsearch.runtime.memory import core_count, memory_limit

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/system.slice/job_7\n", {"system.slice/memory.max": "524288000", "system.slice/job_7/memory.max": "max"}),
        ("0::/\n", {"memory.max": "524288000"}),
        (
            "9:memory:/slurm/uid_0/job_7\n3:cpu,cpuacct:/\n0::/\n",
            {
                "memory/slurm/uid_0/memory.limit_in_bytes": "524288000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
        ),
    ],
)
def test_the_limit_of_a_batch_job_is_that_of_the_groups_it_lies_in(
    tmp_path: Path, own: str, files: dict[str, str]
) -> None:
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert memory_limit(tmp_path, tmp_path / "own") == 500 * MIB


def test_without_a_limit_it_is_that_of_the_machine(tmp_path: Path) -> None:
    assert memory_limit(tmp_path, tmp_path / "none") == MEMORY_LIMIT
    assert core_count(tmp_path, tmp_path / "none") == cpu_count()


@pytest.mark.parametrize(
    ("own", "name", "content"),
    [("0::/a/b\n", "a/cpu.max", "100000 100000"), ("0::/a\n", "a/cpu.max", "20000 100000")],
)
def test_cores_are_those_of_the_quota_rounded_up(tmp_path: Path, own: str, name: str, content: str) -> None:
    (tmp_path / "own").write_text(own)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(content)
    assert core_count(tmp_path, tmp_path / "own") == 1


def test_cores_of_an_older_kernel_are_understood(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("4:cpu,cpuacct:/job\n")
    folder = tmp_path / "cpu,cpuacct/job"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("50000")
    (folder / "cpu.cfs_period_us").write_text("100000")
    assert core_count(tmp_path, tmp_path / "own") == 1
