"""The command that opens a study: it tells where, ends when asked, and says in words why it cannot."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from simsearch.curation.actions import AddClass
from simsearch.workflows.curate.study import Study, open_curation

if TYPE_CHECKING:
    from pathlib import Path


def command(study: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "simsearch", "serve", str(study), "--no-browser", "--cluster", "threads", *options]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_where_it_is_and_ends_cleanly(fresh_study: Study, number: signal.Signals) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(fresh_study.folder, "--port", "0", "--user", "ada"), **pipes) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Open http://127.0.0.1:"), process.stderr.read() if process.stderr else ""
        with urllib.request.urlopen(line.removeprefix("Open ").strip(), timeout=60) as answer:
            assert answer.url.endswith("/images")
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Traceback" not in errors
    with open_curation(fresh_study) as journal:  # nobody holds it any more
        journal.append("bob", AddClass("one", "#000000"))


def test_a_study_that_is_open_elsewhere_is_said_to_be(fresh_study: Study) -> None:
    with open_curation(fresh_study):
        ended = subprocess.run(command(fresh_study.folder), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "at work on it: close that first" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_what_is_no_study_is_said_to_be_none(tmp_path: Path) -> None:
    ended = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "expected a study, got no study.json" in " ".join(ended.stderr.split())
