"""Commands that read and write an object store give what they give on this machine, byte for byte."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

import simsearch
from simsearch.cli import main
from simsearch.io.places import ObjectPath
from simsearch.io.tables.records import store_lock
from simsearch.runtime.events import TaskDone

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.runtime.events import Event

PATTERN = r"(?P<well>[A-Z]\d\d)_c(?P<channel>\d)"
RECORDS = ("run.json", "events.jsonl", "tiles.jsonl", ".lock", ".run.json.before")
"""Files that tell of times and paths."""


def run(*words: object) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, [*map(str, words), "--cluster", "threads:1"])


def done(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def contents(folder: Path | ObjectPath) -> dict[str, bytes]:
    """Read all files below, by their names; but records."""
    if isinstance(folder, ObjectPath):
        files = folder.files
        names = files.find(str(folder))
        found = {f"s3://{name}".removeprefix(f"{folder}/"): files.cat_file(name) for name in names}
    else:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: content for name, content in sorted(found.items()) if name.split("/")[0] not in RECORDS}


def check_same(local: Path, stored: ObjectPath, n_files: int) -> None:
    expected, found = contents(local), contents(stored)
    assert list(found) == list(expected)
    assert len(found) >= n_files
    assert [name for name in expected if expected[name] != found[name]] == []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def plate(sources: Path, bucket: ObjectPath, home: Path) -> tuple[Path, ObjectPath]:
    """Convert a plate, here and in the bucket."""
    (home / "map.csv").write_text("well,drug\nA01,x\nB02,y\n")
    (bucket / "map.csv").write_bytes((home / "map.csv").read_bytes())
    words = ("convert", sources, "--plate-pattern", PATTERN, "--channel-names", "c0,c1", "--chunk", 32, "--shard", 64)
    here, there = home / "P.ome.zarr", bucket / "P.ome.zarr"
    done(*words, here, "--plate-map", home / "map.csv")
    done(*words, there, "--plate-map", bucket / "map.csv")
    return here, there


@pytest.fixture(scope="module")
def boxes(bucket: ObjectPath, home: Path) -> ObjectPath:
    text = "image,class,y,x,height,width\nP/A/01/0,p,40,50,40,40\nP/B/02/0,q,50,40,40,40\n"
    (home / "boxes.csv").write_text(text)
    (bucket / "boxes.csv").write_bytes(text.encode())
    return bucket / "boxes.csv"


def test_a_plate_is_converted(plate: tuple[Path, ObjectPath]) -> None:
    expected, found = (contents(each) for each in plate)
    assert list(found) == list(expected)
    assert len(found) > 10
    plain = {name for name in expected if not name.endswith("zarr.json")}
    assert {name for name in plain if expected[name] != found[name]} == set()
    assert simsearch.open_plate(plate[1])["B/02/0"]["image"].shape == (2, 96, 112)
    assert list(plate[1].parent.glob(".P*")) == []  # neither a lock nor a journal


def test_a_conversion_is_not_written_over_and_replaced_when_asked(
    plate: tuple[Path, ObjectPath], sources: Path, bucket: ObjectPath
) -> None:
    words = ("convert", sources / "A01_c0.tif", bucket / "one.ome.zarr")
    done(*words)
    assert "expected nothing there, got an earlier result" in run(*words).stderr
    before = contents(bucket / "one.ome.zarr")
    assert done(*words, "--overwrite", "--chunk", 32, "--shard", 32)
    after = contents(bucket / "one.ome.zarr")
    assert len(after) > len(before)
    assert simsearch.open_image(bucket / "one.ome.zarr").shape == (1, 96, 112)


def test_a_conversion_that_was_stopped_goes_on(
    sources: Path, bucket: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simsearch.workflows.convert import pipeline

    target = bucket / "stopped.ome.zarr"
    words = ("convert", sources, target, "--plate-pattern", PATTERN)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(*words).exit_code == 130
    assert (target / ".simsearch-journal.jsonl").exists()
    report = simsearch.convert(sources, str(target), plate_pattern=PATTERN, cluster="threads:1")
    assert (report.n_tasks, report.n_skipped_tasks) == (2, 2)
    assert not (target / ".simsearch-journal.jsonl").exists()


def test_a_search_is_the_same(
    plate: tuple[Path, ObjectPath], boxes: ObjectPath, bucket: ObjectPath, home: Path
) -> None:
    options = ("--floor", -1, "--tile", 8)
    done("measure", plate[0], "--out", home / "m.json")
    done("measure", plate[1], "--out", bucket / "m.json")
    assert (bucket / "m.json").read_bytes() == (home / "m.json").read_bytes()
    done("search", plate[0], "--prototypes", home / "boxes.csv", "--out", home / "found", *options)
    done("search", plate[1], "--prototypes", boxes, "--out", bucket / "found", *options, "--measure", bucket / "m.json")
    local = home / "found"
    (local / "measure.json").unlink()
    check_same(local, bucket / "found", 8)
    found = simsearch.open_results(str(bucket / "found"))
    assert found.similarity("P/A/01/0", "p").dims == ("y", "x")  # type: ignore[union-attr]  # of a search
    assert len(found.peaks()) == sum(found.n_peaks.values())  # type: ignore[union-attr]  # of a search
    events = b"".join((bucket / "found").read_below("events.jsonl/*").values()).splitlines()
    assert json.loads(events[-1])["event"] == "StepEnded"


def test_a_detection_is_the_same_with_other_thresholds_too(
    plate: tuple[Path, ObjectPath], model: Path, bucket: ObjectPath, home: Path
) -> None:
    (bucket / "model.safetensors").write_bytes(model.read_bytes())
    done("detect", model, plate[0], "--tile", 8, "--out", home / "detected")
    done("detect", bucket / "model.safetensors", plate[1], "--tile", 8, "--out", bucket / "detected")
    check_same(home / "detected", bucket / "detected", 6)
    for folder in (home, bucket):
        done_again = CliRunner(catch_exceptions=False).invoke(
            main, ["rethreshold", str(folder / "detected"), "--confidence", "p=0.6"]
        )
        assert done_again.exit_code == 0, done_again.output
    check_same(home / "detected", bucket / "detected", 6)
    detected = simsearch.open_results(str(bucket / "detected"))
    assert detected.wells()["well"].tolist() == ["A01", "B02"]  # type: ignore[union-attr]  # of a detection
    assert detected.well_grid().sizes["row"] > 0  # type: ignore[union-attr]  # of a detection


def test_truth_and_scores_may_lie_there(bucket: ObjectPath, boxes: ObjectPath, home: Path) -> None:
    simsearch.evaluate(home / "found/peaks.parquet", home / "boxes.csv", home / "scores")
    simsearch.evaluate(str(bucket / "found/peaks.parquet"), str(boxes), str(bucket / "scores"))
    check_same(home / "scores", bucket / "scores", 3)


def test_labels_are_written_into_the_results(
    plate: tuple[Path, ObjectPath], model: Path, bucket: ObjectPath, home: Path
) -> None:
    words = ("segment", model)
    done(*words, plate[0], "--out", home / "areas", "--in-results")
    done(*words, plate[1], "--out", bucket / "areas", "--in-results")
    expected, found = contents(home / "areas"), contents(bucket / "areas")
    assert list(found) == list(expected)
    differ = {name.rpartition("/")[2] for name in expected if expected[name] != found[name]}
    assert differ <= {"zarr.json"}  # which names the run, and that the images
    report = simsearch.open_results(str(bucket / "areas"))
    assert report.labels("P/A/01/0").sizes == {"y": 96, "x": 112}  # type: ignore[union-attr]  # of a segmentation


KILLED = """
import os, signal, sys
import torch
from simsearch.cli import main
from simsearch.io.tables.records import appended, tile_log
torch.set_num_threads(1)
appended._PART_S = 0.0
n, add = [], tile_log.TileLog.add
def add_and_die(self, tile, rows):
    if len(n) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    n.append(add(self, tile, rows))
tile_log.TileLog.add = add_and_die
main(sys.argv[1:])
"""


def test_a_detection_that_was_killed_goes_on(
    plate: tuple[Path, ObjectPath], model: Path, bucket: ObjectPath, home: Path
) -> None:
    words = [*map(str, ("detect", model, plate[1], "--tile", 8, "--out", bucket / "killed"))]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words, "--cluster", "threads:1"], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (bucket / "killed" / ".lock").exists()
    report = simsearch.detect(words[1], words[2], words[-1], tile=8, cluster="threads:1")
    assert (report.n_done_before, report.n_tiles) == (3, 8)
    assert (bucket / "killed/detections.parquet").read_bytes() == (home / "detected/detections.parquet").read_bytes()


@pytest.mark.cluster
def test_a_search_that_was_killed_goes_on_by_processes_to_the_same_maps(
    plate: tuple[Path, ObjectPath], boxes: ObjectPath, bucket: ObjectPath, home: Path
) -> None:
    done("measure", plate[0], "--out", home / "ranges.json")
    options = ("--floor", -1, "--tile", 8, "--measure", home / "ranges.json")
    done("search", plate[0], "--prototypes", home / "boxes.csv", "--out", home / "whole", *options)
    words = [*map(str, ("search", plate[1], "--prototypes", boxes, "--out", bucket / "mapped", *options))]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words, "--cluster", "threads:1"], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = [name for name in contents(bucket / "mapped") if name.startswith("similarity/") and "/c/" in name]
    again: list[TaskDone] = []

    def watch(event: Event) -> None:
        if isinstance(event, TaskDone) and event.step == "search":
            again.append(event)

    chosen = {"floor": -1.0, "tile": 8, "measurement": home / "ranges.json"}
    simsearch.search(plate[1], boxes, bucket / "mapped", **chosen, cluster="local:2", observe=watch)  # type: ignore[arg-type]  # keywords
    assert len(again) == 8 - 3
    check_same(home / "whole", bucket / "mapped", 8)
    after = [name for name in contents(bucket / "mapped") if name.startswith("similarity/") and "/c/" in name]
    assert 0 < len(before) < len(after)


def test_one_command_writes_at_a_time(bucket: ObjectPath, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = bucket / "busy" / ".lock"
    release = store_lock.acquire(lock, "busy")
    with pytest.raises(simsearch.SimSearchError, match=r"got another command at work, process \d+ on .* since"):
        store_lock.acquire(lock, "busy")
    release()
    assert not lock.exists()


def test_a_lock_of_another_machine_is_inherited_when_nobody_counts_on(
    bucket: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_lock, "BEAT_S", 0.05)
    lock = bucket / "elsewhere" / ".lock"
    release = store_lock.acquire(lock, "elsewhere")
    monkeypatch.setattr(store_lock, "_machine", lambda: "another")
    with pytest.raises(simsearch.SimSearchError, match="another command at work"):
        store_lock.acquire(lock, "elsewhere")
    lock.write_bytes(b'{"id": "dead", "machine": "third", "pid": 1}')
    inherited = store_lock.acquire(lock, "elsewhere")
    with pytest.raises(simsearch.SimSearchError, match="expected to be the only one to write, got process"):
        release()
    inherited()
