"""Folders of results have one writer, and read as finished when they are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from simsearch.errors import StoreError
from simsearch.io.tables.records.results_folder import RUN_NAME, forget_withdrawn, only_writer, read_run, withdraw_run

if TYPE_CHECKING:
    from pathlib import Path


HOLD = """
import sys
from pathlib import Path
from simsearch.io.tables.records.results_folder import only_writer

with only_writer(Path(sys.argv[1])):
    print("holds", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("is_killed", [False, True])
def test_another_process_is_refused_until_the_first_has_ended_or_was_killed(tmp_path: Path, is_killed: bool) -> None:
    folder = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "holds\n"
        with pytest.raises(StoreError, match="out: expected to be the only one to write"), only_writer(folder):
            pass
        if is_killed:
            other.kill()
        other.communicate("\n")
    with only_writer(folder):
        pass


def test_what_was_withdrawn_is_known_until_it_is_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_run(tmp_path)
    withdraw_run(tmp_path)  # nothing there: nothing to do
    (tmp_path / RUN_NAME).write_text(json.dumps({"n": 1}))
    withdraw_run(tmp_path)
    assert not (tmp_path / RUN_NAME).exists()
    withdraw_run(tmp_path)  # by the next, after this one was killed
    assert read_run(tmp_path) == {"n": 1}
    (tmp_path / RUN_NAME).write_text(json.dumps({"n": 2}))
    forget_withdrawn(tmp_path)
    assert read_run(tmp_path) == {"n": 2}
    assert [path.name for path in tmp_path.iterdir()] == [RUN_NAME]


@pytest.mark.parametrize("text", ["", "[]", "3", "{"])
def test_what_says_nothing_of_results_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN_NAME).write_text(text)
    with pytest.raises(ValueError, match=r".+"):
        read_run(tmp_path)


def test_what_a_newer_simsearch_says_of_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / RUN_NAME).write_text(json.dumps({"format": 2}))
    with pytest.raises(StoreError, match=r"run.json: expected format 1 or older, got 2: update simsearch"):
        read_run(tmp_path)
