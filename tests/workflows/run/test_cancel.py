"""Whoever stops a command or a workflow loses nothing that is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest
from click.testing import CliRunner

from simsearch.cli.console import show_progress
from simsearch.cli.options import ReportedGroup
from simsearch.errors import Cancelled
from simsearch.runtime.cancel import CancelToken, cancellable
from simsearch.runtime.events import Event, StepStarted, TaskDone
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.run.detect import DetectOptions, detect
from tests.workflows.run.test_detect_resume import TILE, content_of, tiles_in, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client

    from tests.conftest import SaveImage

N_TILES = 49


@pytest.fixture(scope="module")
def expected(client: Client, trunk_file: Path, save_image: SaveImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model and a slide, and beside them what the model finds in it."""
    folder = tmp_path_factory.mktemp("cancel")
    model = write_model(folder / "model.safetensors", trunk_file, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 440, 440), np.uint8)
    image = save_image(folder / "slide.ome.zarr", pixels)
    report = detect(client, find_image_set([image.path]), model, folder / "expected", DetectOptions(tile=TILE))
    assert report.n_tiles == N_TILES
    return folder / "expected"


def check_goes_on(client: Client, expected: Path, out: Path) -> None:
    """Check that what was stopped goes on, computes no tile again and ends as if nobody had stopped it."""
    before, folder, computed = tiles_in(out), expected.parent, []

    def observe(event: Event) -> None:
        if isinstance(event, TaskDone):
            computed.append(event.task)

    images = find_image_set([folder / "slide.ome.zarr"])
    detect(client, images, folder / "model.safetensors", out, DetectOptions(tile=TILE), observe=observe)
    assert not set(before) & set(computed)
    assert len(before) + len(computed) == N_TILES
    assert content_of(out) == content_of(expected)


@pytest.mark.cluster
@pytest.mark.parametrize(("number", "cluster"), [(signal.SIGINT, "local:1"), (signal.SIGTERM, "threads:1")])
def test_a_signal_ends_a_command_with_one_line_and_it_goes_on(
    client: Client, expected: Path, tmp_path: Path, number: signal.Signals, cluster: str
) -> None:
    folder, out = expected.parent, tmp_path / "out"
    arguments = ["detect", folder / "model.safetensors", folder / "slide.ome.zarr", "--out", out, "--tile", TILE]
    command = [sys.executable, "-m", "simsearch", *map(str, arguments), "--cluster", cluster]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            while not ((out / "tiles.jsonl").exists() and len(tiles_in(out)) > 2):
                assert process.poll() is None
                time.sleep(0.01)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as terminals do
            else:
                process.send_signal(number)
            _, said = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("detect ")]
    assert lines == ["Error: stopped: what is done is kept, and the same command goes on from there"]
    assert not (out / "detections.parquet").exists()
    assert 2 < len(tiles_in(out)) < N_TILES
    check_goes_on(client, expected, out)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_meets_a_finalizer_is_not_forgotten(number: signal.Signals) -> None:
    """Python prints what is raised in one and goes on: futures of Dask, which are dropped all the time, have one."""

    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    @click.group(cls=ReportedGroup)
    def main() -> None:
        pass

    lived: list[str] = []

    @main.command()
    def work() -> None:
        with show_progress() as observe:
            observe(StepStarted("tiles", 2))
            dropped = Dropped()
            del dropped
            lived.append("after the signal")
            observe(TaskDone("tiles", "a"))
            lived.append("after the next event")

    before = signal.getsignal(number)
    assert CliRunner().invoke(main, ["work"]).exit_code == 130
    assert lived == ["after the signal"]
    assert signal.getsignal(number) is before


def test_a_token_stops_a_workflow_and_it_goes_on(client: Client, expected: Path, tmp_path: Path) -> None:
    token, folder, out = CancelToken(), expected.parent, tmp_path / "out"
    n_done = 0

    def count(event: Event) -> None:
        nonlocal n_done
        n_done += isinstance(event, TaskDone)
        if n_done == 5:
            token.cancel()

    images = find_image_set([folder / "slide.ome.zarr"])
    with pytest.raises(Cancelled, match="stopped as asked"):
        detect(
            client, images, folder / "model.safetensors", out, DetectOptions(tile=TILE),
            observe=cancellable(count, token),
        )  # fmt: skip
    assert n_done == 5
    assert len(tiles_in(out)) == 5
    check_goes_on(client, expected, out)
