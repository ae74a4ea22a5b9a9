from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from distributed import get_worker

from simsearch.errors import ClusterError
from simsearch.runtime import ClusterSpec, open_cluster
from simsearch.runtime.events import Awaited, Noted
from tests.deploy.recipes import recipe
from tests.runtime.clusters.daemons import ROOT, Slurm, running_slurm, wait_until
from tests.runtime.clusters.detection import Work, done_here, found_in, prepare_detection, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.runtime.events import Event
    from tests.conftest import SaveImage

pytestmark = [pytest.mark.slurm, pytest.mark.cluster]

PAGE = "deploy/slurm/README.md"
SCRIPT = ROOT / "deploy" / "slurm" / "search.sbatch"
SIMSEARCH = Path(sys.executable).with_name("simsearch")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with running_slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture(scope="module")
def work(save_image: SaveImage, trunk_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("work")
    pixels = np.random.default_rng(0).integers(0, 4000, (1, 400, 400), np.uint16)
    image = save_image(folder / "cells.ome.zarr", pixels)
    boxes = folder / "boxes.csv"
    boxes.write_text("image,class,y,x,height,width\ncells,bright,60,70,48,48\n")
    words = ("search", str(image.path), "--prototypes", str(boxes), "--trunk", str(trunk_file), "--tile", "8")
    return done_here(words, folder / "local")


def submit(slurm: Slurm, folder: Path, command: tuple[str, ...]) -> str:
    """Submit the batch script from a folder as the page says, with one worker on each of two nodes."""
    changes = {
        "--nodes=4": "--nodes=2",
        "--cpus-per-task=16": "--cpus-per-task=1",
        "deploy/slurm/search.sbatch": SCRIPT,
        "search /shared/slides/*.ome.zarr --prototypes boxes.csv --out /shared/results": shlex.join(command),
        "\\\n": "",
    }
    sbatch, *words = shlex.split(recipe(PAGE, "sbatch", changes))
    variables = f"ALL,SIMSEARCH_VENV={Path(sys.executable).parents[1]},SIMSEARCH_INTERFACE=lo"
    return slurm.call(sbatch, "--parsable", "--mem-per-cpu=4000", f"--export={variables}", f"--chdir={folder}", *words)


def test_a_batch_job_completes_with_the_results_of_one_machine_and_leaves_no_key(
    slurm: Slurm, work: Work, tmp_path: Path
) -> None:
    job = submit(slurm, tmp_path, work.into(tmp_path / "results"))
    wait_until(lambda: not slurm.jobs(), "the end of the job", patience_s=120)
    (log,) = tmp_path.glob("*.log")
    assert slurm.state(job) == "COMPLETED", log.read_text()
    assert found_in(tmp_path / "results") == work.expected
    assert {path.name for path in tmp_path.iterdir()} == {"results", log.name}


def test_a_batch_job_that_is_cancelled_leaves_no_key(slurm: Slurm, work: Work, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path, work.into(tmp_path / "results"))
    wait_until(lambda: [*tmp_path.glob(".simsearch-*/scheduler.json")], "a scheduler")
    slurm.call("scancel", job)
    wait_until(lambda: not slurm.jobs(), "the end of the job")
    assert slurm.state(job) == "CANCELLED"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".log"] == []


def test_a_batch_job_ends_with_the_exit_code_of_its_command(slurm: Slurm, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path, ())
    wait_until(lambda: not slurm.jobs(), "the end of the job")
    assert slurm.state(job) == "FAILED"
    (log,) = tmp_path.glob("*.log")
    assert "expected a simsearch command, got none" in log.read_text()


@pytest.fixture(scope="module")
def detection(save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("detection")
    return done_here(prepare_detection(folder, save_image, 448), folder / "local")


def test_a_detection_whose_job_is_cancelled_gets_another_and_leaves_nothing_behind(
    slurm: Slurm, detection: Work, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    _, model, image, *more = detection.words
    changes = {"MODEL": model, "/shared/plate.ome.zarr": image, "/shared/results": results, "slurm:8": "slurm:2"}
    words = shlex.split(recipe(PAGE, "simsearch detect", changes))
    settings = {"SIMSEARCH_CLUSTER_INTERFACE": "lo", "SIMSEARCH_CLUSTER_WALLTIME": "10"}
    with subprocess.Popen(
        [SIMSEARCH, *words[1:], *more],
        cwd=tmp_path,
        env=slurm.environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        wait_until(
            lambda: run.poll() is not None or len(set(workers_of(results))) == 2, "work on both nodes", patience_s=120
        )
        assert run.poll() is None, run.communicate()[0]
        keys = [*tmp_path.glob("simsearch-slurm-*/keys/*key.pem")]
        assert [(key.stat().st_mode & 0o77, key.parent.stat().st_mode & 0o77) for key in keys] == [(0, 0)]
        lost, held = slurm.jobs("RUNNING")
        slurm.call("scontrol", "suspend", held)  # work is left when another job comes
        slurm.call("scancel", lost)
        wait_until(lambda: set(slurm.jobs("RUNNING")) - {lost}, "another job")
        slurm.call("scontrol", "resume", held)
        output = run.communicate(timeout=200)[0]
    assert run.returncode == 0, output
    assert found_in(results) == detection.expected
    assert {path.name for path in tmp_path.iterdir()} == {"results"}
    wait_until(lambda: not slurm.jobs(), "an empty queue")
    states = slurm.states(tmp_path)
    assert states.pop(lost) == "CANCELLED"
    assert states.pop(held) == "COMPLETED", output
    # A worker that is still on its way when all is done is sent away.
    assert set(states.values()) <= {"COMPLETED", "CANCELLED"}, output
    assert len(states) == 1


@pytest.fixture
def here(slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in a folder of its own, with Slurm at hand."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm.environment[name])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_begins_with_the_jobs_that_slurm_takes(
    slurm: Slurm, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("limit")
    sbatch = folder / "sbatch"
    refusal = "Batch job submission failed: Job violates accounting/QOS policy"
    sbatch.write_text(
        f'#!/bin/sh\nmkdir "$0.first" 2>/dev/null && exec {shutil.which("sbatch")} "$@"\n'
        f'echo "sbatch: error: {refusal}" >&2\nexit 1\n'
    )
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{slurm.environment['PATH']}")
    told: list[Event] = []
    with open_cluster(ClusterSpec("slurm", workers=3, interface="lo"), observe=told.append) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        assert len(client.nthreads()) == 1
    assert Noted(f"Slurm took 1 of 3 jobs, work begins with them: {refusal}") in told
    assert list(slurm.states(here).values()) == ["COMPLETED"]
    assert not any(here.iterdir())


def test_a_worker_whose_time_is_up_completes_and_another_comes_and_a_run_that_fails_keeps_logs_but_no_key(
    slurm: Slurm, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simsearch.runtime.clusters.slurm.lifetime_s", lambda walltime: (12, 0))
    spec = ClusterSpec("slurm", workers=1, interface="lo", gres="gpu:1")

    def compute() -> None:
        with open_cluster(spec) as client:
            wait_until(lambda: "COMPLETED" in slurm.states(here).values(), "the end of a worker")
            wait_until(lambda: "RUNNING" in slurm.states(here).values(), "another job")
            assert client.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "0"
            assert client.submit(lambda: get_worker().state.nthreads).result() == 4
            raise KeyError

    with pytest.raises(KeyError):
        compute()
    assert len(slurm.states(here)) > 1
    assert {path.suffix for path in here.rglob("*") if path.is_file()} == {".err", ".out"}
    assert "Registered to" in "".join(path.read_text() for path in here.rglob("simsearch-slurm-*/logs/*.err"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"partition": "none", "workers": 1}, "expected Slurm to take 1 job, got .*: see partition"),
        ({"partition": "none"}, "expected Slurm to take 2 jobs, got .*[Ii]nvalid partition.*: see partition"),
        ({"memory": 2**50}, "expected Slurm to take 2 jobs, got .*not available.*: see partition"),
        ({"interface": "ib7"}, "expected a scheduler that jobs can reach, got .*ib7.*: see setting interface"),
        (
            {"directives": ("--begin=now+1hour",), "wait": 1.0},
            r"expected a worker within 1 s, got 2 jobs PENDING \(BeginTime\): set wait to more",
        ),
        ({"folder": Path("none")}, "none: expected a folder for keys and logs of jobs, got No such file"),
    ],
)
def test_what_slurm_refuses_is_told_in_a_line_and_nothing_is_left(
    slurm: Slurm, here: Path, changes: dict[str, Any], message: str
) -> None:
    spec = replace(ClusterSpec("slurm", workers=2, interface="lo"), **changes)
    with pytest.raises(ClusterError, match=message) as refused, open_cluster(spec):
        pass
    assert "\n" not in str(refused.value)
    wait_until(lambda: not slurm.jobs(), "an empty queue")
    assert not any(here.iterdir())


def test_who_waits_for_jobs_hears_of_it_and_may_stop_them(
    slurm: Slurm, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simsearch.runtime.clusters.starting._TOLD_S", 0.5)
    told = []

    def observe(event: Event) -> None:
        told.append(event)
        if isinstance(event, Awaited):
            raise KeyboardInterrupt

    spec = ClusterSpec("slurm", workers=2, interface="lo", directives=("--begin=now+1hour",))
    with pytest.raises(KeyboardInterrupt), open_cluster(spec, observe=observe):
        pass
    assert (told[-1].n_there, told[-1].n_wanted) == (0, 2)
    wait_until(lambda: not slurm.jobs(), "an empty queue")
    assert not any(here.iterdir())
