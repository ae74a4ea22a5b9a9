"""All checks together, on clusters that there are."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.runtime import Client, ClusterSpec
from simsearch.runtime.clusters import address as address_module
from simsearch.runtime.tasks import probes
from simsearch.workflows.doctor.examination import DoctorReport, examine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SaveImage

ALL = "workers versions encryption dashboard interface clocks devices memory threads allocator scratch"


def problems(report: DoctorReport) -> list[tuple[str, str]]:
    return [(each.check, each.found) for each in report.problems]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def image(save_image: SaveImage, tmp_path: Path) -> str:
    return save_image(tmp_path / "cells.ome.zarr", np.full((1, 300, 200), 7, np.uint16)).path


def test_all_is_looked_at_and_nothing_is_left_behind(client: Client, image: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,class\n")
    out = tmp_path / "new" / "results"
    report = examine([image, tmp_path / "boxes.csv", tmp_path], out, cluster=client)
    assert [each.check for each in report.findings] == [*ALL.split(), "input", "input", "input", "output", "port"]
    assert problems(report) == []
    assert names(tmp_path) == ["boxes.csv", "cells.ome.zarr"]
    assert list(report.table().columns) == ["check", "level", "found", "remedy", "places"]


@pytest.mark.cluster
def test_processes_of_their_own_are_fine(processes: Client, image: str, tmp_path: Path) -> None:
    report = examine([image], tmp_path, cluster=processes)
    assert problems(report) == []
    (workers,) = (each for each in report.findings if each.check == "workers")
    assert workers.found == "2 workers on 1 machine answer"
    assert names(tmp_path) == ["cells.ome.zarr"]


def test_what_cannot_be_read_or_written_ends_no_other_check(client: Client, image: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "cells.ome.zarr" / "0" / "zarr.json").write_text("{")
    report = examine([tmp_path / "none.csv", image, tmp_path / "no.zarr"], tmp_path / "file" / "out", cluster=client)
    assert [check for check, _ in problems(report)] == ["input", "input", "input", "output"]
    assert all(each.remedy for each in report.problems)
    missing, damaged, _, unwritable = (found for _, found in problems(report))
    assert missing.startswith(f"{tmp_path}/none.csv: expected ")
    assert image in damaged
    assert f"{tmp_path}/file" in unwritable


def test_an_output_that_workers_do_not_see_is_named(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simsearch.workflows.doctor.outputs.read_probe", blind)
    (problem,) = examine(out=tmp_path, cluster=client).problems
    assert problem.found == f"{tmp_path}: is not seen there, or is another folder there"
    (place,) = problem.places
    assert place.endswith(f" on {socket.gethostname()}")
    assert names(tmp_path) == []


def blind(place: str) -> None:
    assert probes.read_probe(place) == place


def test_a_cluster_that_does_not_answer_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_module, "_TIMEOUT_S", 0.2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        report = examine(out=tmp_path, cluster=ClusterSpec("address", address=place))
    assert [each.check for each in report.findings] == ["cluster", "output", "port"]
    (problem,) = report.problems
    assert problem.found.startswith(f"expected a Dask scheduler at {place}, got ")
    assert problem.remedy.startswith("start one with `dask scheduler`")


def invoke(*words: str, columns: int = 80) -> tuple[int, str]:
    run = CliRunner(catch_exceptions=False).invoke(main, ["doctor", *words], env={"COLUMNS": str(columns)})
    return run.exit_code, run.stdout


def test_the_command_prints_findings_with_remedies_and_its_exit_code_tells(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.csv")
    code, printed = invoke(missing, "--cluster", "threads:1")
    assert code == 2
    assert "1 problem, " in printed
    assert "check that it is there and may be read" in " ".join(printed.split())
    code, printed = invoke(missing, "--cluster", "threads:1", "--json")
    findings = json.loads(printed)["findings"]
    assert code == 2
    assert [each["check"] for each in findings if each["level"] == "problem"] == ["input"]
    assert set(findings[0]) == {"check", "level", "found", "remedy", "places"}
    assert invoke("--cluster", "threads:1")[0] == 0
