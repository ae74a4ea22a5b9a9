"""The Dockerfile, as far as it can be judged without building an image: `deploy/docker/check.sh` builds it."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.deploy.manifests import ROOT, applied, containers, running, templates

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "deploy/docker"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """List instructions with what stands behind them."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line]


def test_what_is_copied_is_there_and_not_ignored(steps: list[tuple[str, str]]) -> None:
    ignore = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[0] == "*"
    kept = {line[1:] for line in ignore if line.startswith("!")}
    copied = {word for name, rest in steps if name == "COPY" for word in rest.split()[:-1]}
    assert copied == kept
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert any(fnmatch.fnmatch("simsearch/__pycache__", line.replace("**/", "*/")) for line in ignore[1:])


def test_everything_that_is_installed_is_pinned(steps: list[tuple[str, str]]) -> None:
    installs = [
        part for name, rest in steps if name == "RUN" for part in re.split(r"&&|;", rest) if "pip install" in part
    ]
    assert len(installs) == 4
    assert all("--constraint constraints.txt" in each and "--no-cache-dir" in each for each in installs)


def test_python_is_one_that_the_project_takes(steps: list[tuple[str, str]]) -> None:
    (base,) = (rest.removeprefix("BASE=python:") for name, rest in steps if rest.startswith("BASE="))
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert tuple(map(int, base.split("-")[0].split("."))) >= tuple(map(int, oldest.removeprefix(">=").split(".")))


def test_it_is_nobody_in_particular_who_runs_it(steps: list[tuple[str, str]]) -> None:
    users = [rest for name, rest in steps if name == "USER"]
    assert users == ["1000:1000"]  # by number, else Kubernetes cannot tell that it is not root
    assert not {"ADD", "ENTRYPOINT", "VOLUME"} & {name for name, _ in steps}
    environment = dict(word.split("=", 1) for name, rest in steps if name == "ENV" for word in rest.split())
    assert environment["HOME"] == "/tmp"
    assert dict(steps)["WORKDIR"] == "/tmp"
    for template in templates(running(applied("cpu"))).values():
        assert template["spec"]["securityContext"]["runAsUser"] == 1000
        said = {each["name"]: each.get("value") for c in containers(template) for each in c["env"]}
        assert {name: said[name] for name in environment if name in said}.items() <= environment.items()


def test_the_list_of_requirements_is_made_of_the_project(steps: list[tuple[str, str]], tmp_path: Path) -> None:
    (script,) = (
        match[1] for name, rest in steps if name == "RUN" and (match := re.search(r'python -c "([^"]*)"', rest))
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run(["python", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    installed = re.search(r"'\.\[([\w,]+)\]'", " ".join(rest for _, rest in steps))
    assert installed is not None
    wanted = [*project["dependencies"], *(each for name in installed[1].split(",") for each in extras[name])]
    assert done.stdout.splitlines() == wanted


@pytest.mark.parametrize("index", ["", "https://index.example/cpu"])
def test_torch_comes_from_the_index_that_was_asked_for_and_nothing_else_does(
    steps: list[tuple[str, str]], tmp_path: Path, index: str
) -> None:
    (script,) = (rest for name, rest in steps if name == "RUN" and "TORCH_INDEX" in rest)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "pip").write_text(f'#!/bin/sh\necho "$PIP_INDEX_URL|$*" >> {tmp_path}/calls\n')
    (tmp_path / "pip").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TORCH_INDEX": index}
    script = script.replace("/tmp/requirements.txt", str(tmp_path / "requirements.txt"))
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=environment, check=True)
    calls = [line.split("|") for line in (tmp_path / "calls").read_text().splitlines()]
    asked = [index] * bool(index)
    assert [where for where, _ in calls] == ["", *asked, ""]
    assert all(words.endswith("--no-deps torch torchvision") for where, words in calls if where)
    assert calls[-1][1].endswith("requirements.txt")


def test_the_check_says_so_where_there_is_nothing_to_build_with(tmp_path: Path) -> None:
    bash, dirname = shutil.which("bash"), shutil.which("dirname")
    assert bash is not None
    assert dirname is not None
    (tmp_path / "dirname").symlink_to(dirname)
    check = [bash, str(FOLDER / "check.sh")]
    done = subprocess.run(check, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr.split(":")[0]) == (0, "skipped")
