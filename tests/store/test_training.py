"""Models and trunks are trained straight into an object store, byte for byte as on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.nn.trunk_file import read_trunk
from simsearch.runtime import compute
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.learn import train as train_module
from tests.store.test_commands import PATTERN, contents, done, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simsearch.io.places import ObjectPath

SHORT = TrainingConfig(
    noisy=Schedule(1, 4, decay_every=5, decay=0.1, rate=3e-4),
    clean=Schedule(1, 4, decay_every=5, decay=0.1, rate=3e-4, n_patches=4),
    classifier=Schedule(1, 4, decay_every=5, decay=0.1, rate=1e-2, n_patches=4),
)
SMALL = ("--steps", 2, "--batch", 2, "--crop", 32, "--checkpoint", 1, "--scales", 0.5, 1)
OF_TIMES = {"progress.jsonl", "run.json", "README.md"}
"""Files of a training that tell of times and of what inputs are called."""


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Train for a second, with one thread: two that wait for each other are slow on a busy machine."""
    n_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "BRIEF", SHORT)
        patch.setattr(compute, "CPU_COUNT", 1)
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def home(sources: Path, bucket: ObjectPath, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a plate here, and files that training begins with here and in the bucket."""
    folder = tmp_path_factory.mktemp("home")
    done("convert", sources, folder / "P.ome.zarr", "--plate-pattern", PATTERN, "--channel-names", "c0,c1")
    done("measure", folder / "P.ome.zarr", "--out", folder / "m.json")
    (folder / "trunk.safetensors").write_bytes(read_trunk("bundled"))
    rows = ["image,class,role,y,x,height,width", "P/A/01/0,p,prototype,40,50,40,40", "P/A/01/0,,background,60,80,40,40"]
    (folder / "drawn.csv").write_text("\n".join(rows) + "\n")
    (folder / "judge.csv").write_text("image,class,y,x,height,width\nP/A/01/0,p,40,50,40,40\n")
    for name in ("m.json", "trunk.safetensors", "drawn.csv", "judge.csv"):
        (bucket / name).write_bytes((folder / name).read_bytes())
    return folder


KILLED = """
import os, signal, sys
import torch
from simsearch.cli import main
from simsearch.runtime import compute, training_log
torch.set_num_threads(1)
compute.CPU_COUNT = 1
keep = training_log.TrainingLog.keep
def keep_and_die(self, checkpoint):
    keep(self, checkpoint)
    if len(self._epochs) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
training_log.TrainingLog.keep = keep_and_die
main(sys.argv[1:])
"""


def files_below(folder: Path | ObjectPath) -> dict[str, bytes]:
    """Read the files of a training that do not depend on when and with which inputs it was."""
    return {name: content for name, content in contents(folder).items() if name not in OF_TIMES}


def test_a_trunk_whose_training_was_killed_goes_on_with_all_that_it_needs_from_there(
    home: Path, bucket: ObjectPath
) -> None:
    def words(place: Path | ObjectPath) -> list[object]:
        trunk = ("--teacher", place / "trunk.safetensors", "--begin", place / "trunk.safetensors", "--method", "both")
        tables = ("--validate", place / "judge.csv", "--validate-every", 2, "--measure", place / "m.json")
        return ["pretrain", home / "P.ome.zarr", *SMALL, *trunk, *tables, "--out", place / "own.safetensors"]

    done(*words(home))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, words(bucket)), "--cluster", "threads:1"],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    training = bucket / "own-training"
    before = (training / "progress.jsonl").read_text().splitlines()
    assert (len(before), (training / "checkpoint.pt").exists()) == (1, True)
    done(*words(bucket))
    after = (training / "progress.jsonl").read_text().splitlines()
    assert (len(after), after[:1]) == (2, before)  # to the millisecond: they were not done again
    expected = {"training.json", "validations.json", "losses.png", "losses.svg", "patches.png"}
    assert set(files_below(training)) == expected
    assert files_below(training) == files_below(home / "own-training")
    for name in ("own.safetensors", "own.safetensors.sha256"):
        assert (bucket / name).read_bytes() == (home / name).read_bytes()
    assert f"| began with | {bucket}/trunk.safetensors@" in (training / "README.md").read_text()
    line = run(*words(bucket), "--seed", 1).stderr
    assert f"{training}: expected a training of the same images with the same options, got another one" in line


def study_here(folder: Path, images: Path, bucket: ObjectPath) -> Path:
    """Make a study here of what lies in the bucket."""
    inputs = ("--trunk", bucket / "trunk.safetensors", "--measure", bucket / "m.json")
    said("study", "create", folder, "--images", images, "--display", "P/A/01/0", *inputs)
    said("study", "import", folder, bucket / "drawn.csv")
    return folder


def said(*words: object) -> str:
    """Run a command that takes no cluster, and return what it prints."""
    result = CliRunner(catch_exceptions=False).invoke(main, [*map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_model_of_a_study_here_is_trained_there(home: Path, bucket: ObjectPath) -> None:
    study = study_here(home / "study", home / "P.ome.zarr", bucket)
    done("study", "suggest", study, "--threshold", "p=0.9", "--out", bucket / "suggested.csv")
    assert (bucket / "suggested.csv").read_text().startswith("image,class,role,y,x,height,width\n")
    said("study", "export", study, bucket / "said")
    assert b'"Polygon"' in (bucket / "said/P/A/01/0.geojson").read_bytes()
    assert "nothing new; there before: 2" in said("study", "import", study, bucket / "said")
    words = ("--background", 2, "--noisy", 4)
    done("train", study, *words)
    (local,) = (study / "models").iterdir()
    assert str(bucket / "model/model.safetensors") in done("train", study, *words, "--out", bucket / "model").output
    pictures, noisy = {"losses.png", "losses.svg", "patches.png"}, {"noisy/peaks.csv", "noisy/peaks.parquet"}
    expected = {"model.safetensors", "held_out.csv"} | pictures | noisy
    assert set(files_below(local)) == expected
    assert files_below(bucket / "model") == files_below(local) | {
        "training.json": (bucket / "model/training.json").read_bytes()
    }
    assert (bucket / "model/README.md").read_bytes() == (local / "README.md").read_bytes()
    line = run("train", study, "--seed", 1, "--out", bucket / "model").stderr
    assert f"{bucket}/model: expected a training of the same curation with the same options, got another one" in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--out", "s3://no-such/own.safetensors"), "got The specified bucket does not exist: make the bucket"),
        (("--out", "OUT", "--begin", "s3://no-such/t.safetensors"), "got no such file: check --trunk"),
        (
            ("--out", "OUT", "--begin", "BUCKET/judge.csv"),
            "judge.csv: expected safetensors, or a PyTorch file",
        ),
        (("--out", "OUT", "--validate", "BUCKET/none.csv"), "none.csv: expected a CSV file"),
    ],
)
def test_what_goes_wrong_is_one_line(
    home: Path, bucket: ObjectPath, tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    places = {"OUT": str(tmp_path / "own.safetensors"), "BUCKET": str(bucket)}
    named = [places.get(word) or word.replace("BUCKET", places["BUCKET"]) for word in words]
    result = run("pretrain", home / "P.ome.zarr", *SMALL, *named)
    assert result.exit_code == 2
    (told,) = [each for each in result.stderr.splitlines() if each.startswith("Error: ")]
    assert line in told
    assert list(tmp_path.iterdir()) == []
