"""What the command line refuses before a command runs, a function refuses before anything is read."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import simsearch
from simsearch.cli import main
from simsearch.cli.options import LocalPath
from simsearch.core.checks.places import local_path
from simsearch.workflows.find.trunks import read_chosen_trunk
from tests.api.test_words import FUNCTIONS, commands, function_of, least_words

WRONG = [
    (name, str(each.name), value)
    for name, command in FUNCTIONS.items()
    for each in command.params
    for value in (
        ["wrong"]
        if isinstance(each.type, click.Choice)
        else [each.type.min - 1, *([] if each.type.max is None else [each.type.max + 1])]
        if isinstance(each.type, click.IntRange | click.FloatRange)
        else []
    )
]


def test_there_is_something_to_refuse() -> None:
    assert ("search", "method", "wrong") in WRONG
    assert ("detect", "floor", 2) in WRONG


@pytest.mark.parametrize(("name", "keyword", "value"), WRONG)
def test_a_wrong_value_is_refused_before_anything_is_read(name: str, keyword: str, value: object) -> None:
    function = function_of(name)
    required = [each for each, p in inspect.signature(function).parameters.items() if p.default is p.empty]
    with pytest.raises(simsearch.SimSearchError, match=rf"^({keyword}: )?expected .*, got '?{value}'?: choose"):
        function(*("nothing there" for _ in required), **{keyword: value})


REFUSED = r"expected a path on this machine, got s3://bucket/x: (name|keep)"
REFUSED_AS_A_STORE = r"expected a path or a URL with s3://.*, got ftp://server/x: name"
PLACES = [
    (name, str(each.name), isinstance(each.type, LocalPath))
    for name, command in commands().items()
    for each in command.params
    if isinstance(each.type, click.Path)
]
OF_THE_CLUSTER = "report"  # of all commands that have one, and in Python a setting of the cluster
PYTHON_ONLY = [
    ("preview_conversion", "destination", False),
    ("open_results", "folder", False),
    ("study.simulate", "truth", False),
]


def refused(is_local: bool) -> tuple[str, str]:
    """Name a URL that a command cannot read or write, and what it says of it."""
    return ("s3://bucket/x", REFUSED) if is_local else ("ftp://server/x", REFUSED_AS_A_STORE)


def test_it_is_known_what_can_lie_in_an_object_store() -> None:
    local = {name for name, parameter, is_local in PLACES if is_local and parameter != OF_THE_CLUSTER}
    assert local == {"demo", "serve", "train", *(name for name in FUNCTIONS if name.startswith("study."))}
    assert {("search", "out", False), ("convert", "plate_map", False), ("study.import", "file", False)} <= set(PLACES)


@pytest.mark.parametrize(("name", "parameter", "is_local"), PLACES)
def test_a_command_refuses_a_url_that_it_cannot_take(name: str, parameter: str, is_local: bool, tmp_path: Path) -> None:
    url, message = refused(is_local)
    words = least_words(commands()[name], tmp_path, **{parameter: url})
    result = CliRunner(catch_exceptions=False).invoke(main, [*name.split("."), *words])
    assert result.exit_code == 2
    assert re.search(message, " ".join(result.stderr.split())), result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "keyword", "is_local"),
    [*(each for each in PLACES if each[0] in FUNCTIONS and each[1] != OF_THE_CLUSTER), *PYTHON_ONLY],
)
def test_a_function_refuses_a_url_that_it_cannot_take(
    name: str, keyword: str, is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function, (url, message) = function_of(name), refused(is_local)
    required = [each for each, p in inspect.signature(function).parameters.items() if p.default is p.empty]
    with pytest.raises(simsearch.SimSearchError, match=message):
        function(**{**dict.fromkeys(required, "nothing there"), keyword: url})
    assert list(tmp_path.iterdir()) == []


def test_a_trunk_at_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(simsearch.SimSearchError, match=REFUSED_AS_A_STORE.replace("s3://", "s3://.*https://")):
        read_chosen_trunk("ftp://server/x")


def test_a_url_that_was_made_a_path_is_refused_too() -> None:
    with pytest.raises(simsearch.SimSearchError, match="got s3:/bucket/x"):
        local_path(Path("s3://bucket/x"))
