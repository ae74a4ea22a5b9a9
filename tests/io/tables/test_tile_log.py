"""The log of tiles keeps what was found through kills and full disks, for one run at a time."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.errors import StoreError
from simsearch.io.tables.records.tile_log import TileLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LOCKER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def some_rows(seed: int, n: int = 5) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(0, 3, n), rng.random((n, 3)) * 10.0 ** rng.integers(-300, 300, (n, 3))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a log whose folder is not there yet."""
    return tmp_path / "out" / "tiles.jsonl"


@contextmanager
def disk_with(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: a write stops in the middle, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_was_found_comes_back_bit_for_bit(path: Path) -> None:
    rows = some_rows(1)
    rows[0, 1:] = -0.0, 5e-324, 1 / 3
    with TileLog(path, "f") as log:
        log.add("a y 0:64 x 0:64", rows)
        log.add("µ/B/03/0 y 0:64 x 64:128", some_rows(2))
        in_memory = dict(log.done)
    with TileLog(path, "f") as log:
        assert list(log.done) == ["a y 0:64 x 0:64", "µ/B/03/0 y 0:64 x 64:128"]
        for name, found in log.done.items():
            assert found.dtype == np.float64
            assert found.tobytes() == in_memory[name].tobytes()
        assert log.done["a y 0:64 x 0:64"].tobytes() == rows.tobytes()


def test_a_tile_without_anything_is_done_too(path: Path) -> None:
    with TileLog(path, "f") as log:
        log.add("empty", np.empty((0, 4)))
    with TileLog(path, "f") as log:
        assert list(log.done) == ["empty"]
        assert log.done["empty"].size == 0


@pytest.mark.parametrize("n_lost", [1, 2, 20, 200])
def test_what_a_kill_cut_off_is_forgotten_and_nothing_else(path: Path, n_lost: int) -> None:
    with TileLog(path, "f") as log:
        log.add("a", some_rows(1))
        log.add("b", some_rows(2))
    content = path.read_bytes()
    assert len(content.splitlines()[-1]) > 200
    path.write_bytes(content[:-n_lost])
    with TileLog(path, "f") as log:
        assert list(log.done) == (["a", "b"] if n_lost == 1 else ["a"])  # without the end of its line b is whole
        log.add("c", some_rows(3))
    with TileLog(path, "f") as log:
        assert log.done["c"].tobytes() == some_rows(3).tobytes()
        assert log.done["a"].tobytes() == some_rows(1).tobytes()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_first_line_that_was_cut_off_is_written_anew(path: Path, overwrite: bool) -> None:
    TileLog(path, "fingerprint").close()
    path.write_bytes(path.read_bytes()[:9])
    with TileLog(path, "fingerprint", overwrite=overwrite) as log:
        assert log.done == {}
        log.add("a", some_rows(1))
    with TileLog(path, "fingerprint") as log:
        assert list(log.done) == ["a"]


def test_a_log_of_another_run_is_refused_and_kept(path: Path) -> None:
    with TileLog(path, "f") as log:
        log.add("a", some_rows(1))
    content = path.read_bytes()
    with pytest.raises(
        StoreError,
        match=r"expected results of the same run \(model or boxes, images, options, arithmetic\), got others",
    ) as caught:
        TileLog(path, "other")
    assert str(path.parent) in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert path.read_bytes() == content


def test_a_log_is_emptied_if_asked(path: Path) -> None:
    with TileLog(path, "f") as log:
        log.add("a", some_rows(1))
    for fingerprint in ("other", "other"):  # its own results are replaced too
        with TileLog(path, fingerprint, overwrite=True) as log:
            assert log.done == {}
            log.add("b", some_rows(2))
    with TileLog(path, "other") as log:
        assert list(log.done) == ["b"]
    assert b'"a"' not in path.read_bytes()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_writer_is_refused(path: Path, overwrite: bool) -> None:
    with TileLog(path, "f") as log:
        log.add("a", some_rows(1))
        content = path.read_bytes()
        with pytest.raises(StoreError, match="only one to write, got another command at work"):
            TileLog(path, "f", overwrite=overwrite)
        assert path.read_bytes() == content
        log.add("b", some_rows(2))
    with TileLog(path, "f") as log:
        assert list(log.done) == ["a", "b"]


def test_another_process_keeps_its_log_until_it_ends(path: Path) -> None:
    with TileLog(path, "f") as log:
        log.add("a", some_rows(1))
    content = path.read_bytes()
    command = [sys.executable, "-S", "-E", "-c", LOCKER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(StoreError, match="got another command at work: wait for it, or stop it"):
            TileLog(path, "other", overwrite=True)
        assert path.read_bytes() == content
        process.kill()
    with TileLog(path, "f") as log:
        assert list(log.done) == ["a"]


def test_a_full_disk_is_told_and_costs_only_the_tile_that_did_not_fit(path: Path) -> None:
    def fill(log: TileLog) -> None:
        for name in "bcdefgh":
            log.add(name, some_rows(2))

    log = TileLog(path, "f")
    log.add("a", some_rows(1))
    with disk_with(path.stat().st_size + 50), pytest.raises(StoreError, match=r"tiles\.jsonl: .*free some space"), log:
        fill(log)
    assert path.read_bytes().rpartition(b"\n")[2].startswith(b'{"tile": "b"')  # torn
    with TileLog(path, "f") as log:
        assert list(log.done) == ["a"]
        fill(log)
    with TileLog(path, "f") as log:
        assert list(log.done) == list("abcdefgh")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreError, match=r"tiles\.jsonl: expected to write, got .*: check the path and the permissions"
    ):
        TileLog(tmp_path / "file" / "tiles.jsonl", "f")


def test_images_can_come_later_and_must_stay_what_they_were(path: Path) -> None:
    with TileLog(path, "f") as log:
        log.begin("a", "1")
        log.add("a y 0:64 x 0:64", some_rows(1))
    with TileLog(path, "f") as log:
        log.begin("a", "1")
        log.begin("b", "2")
    with TileLog(path, "f") as log:
        with pytest.raises(StoreError, match="expected b as it was when this run began"):
            log.begin("b", "3")
        assert list(log.done) == ["a y 0:64 x 0:64"]
    assert path.read_text().count('"image"') == 2


def test_a_log_of_a_newer_simsearch_is_refused_and_kept_unless_it_is_overwritten(path: Path) -> None:
    path.parent.mkdir()
    newer = '{"format": 2, "fingerprint": "f"}\n'
    path.write_text(newer)
    with pytest.raises(StoreError, match=r"tiles.jsonl: expected format 1 or older, got 2: update simsearch"):
        TileLog(path, "f")
    assert path.read_text() == newer
    with TileLog(path, "f", overwrite=True) as log:
        assert not log.is_continued


def test_a_log_from_before_formats_had_numbers_goes_on(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"fingerprint": "f"}\n{"tile": "a", "rows": [[1.0]]}\n')
    with TileLog(path, "f") as log:
        assert list(log.done) == ["a"]
