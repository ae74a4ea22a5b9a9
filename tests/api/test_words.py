"""The words of the API are those of the command line, and so is what comes out."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import simsearch
from simsearch.api import keywords
from simsearch.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import SaveImage

ON_THE_COMMAND_LINE_ONLY = {
    "serve": "it runs until Ctrl-C with an event loop of its own, which a notebook has already",
}
ONLY_THERE = {
    "study.create": {"more_images"},  # makes several images after one --images
    "doctor": {"as_json"},  # a report has `table()` in Python
    "convert": {"dry_run"},  # gives something else: `preview_conversion` in Python
}
PYTHON_ONLY = {"observe"}  # the command line draws progress


def commands(group: click.Group = main, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        inner = isinstance(command, click.Group)
        found |= (
            commands(command, f"{name}.") if isinstance(command, click.Group) and inner else {prefix + name: command}
        )
    return found


FUNCTIONS = {name: command for name, command in commands().items() if name not in ON_THE_COMMAND_LINE_ONLY}


def function_of(name: str) -> Callable[..., object]:
    found: object = simsearch
    for part in name.replace("import", "import_").split("."):
        found = getattr(found, part)
    assert callable(found)
    return found


def said_by_click(command: click.Command, folder: Path) -> dict[str, object]:
    """Parse the least that a command takes, and return the values that it would be given."""
    return command.make_context("test", least_words(command, folder)).params


def least_words(command: click.Command, folder: Path, /, **given: str) -> list[str]:
    """Put together the least that a command takes, and values that are given by the names of their parameters."""
    (folder / "file").touch()
    words: list[str] = []
    for each in command.params:
        if each.required or each.name in given:
            is_file = isinstance(each.type, click.Path) and not each.type.dir_okay
            words += [
                *([each.opts[0]] if isinstance(each, click.Option) else []),
                given.get(str(each.name), str(folder / "file" if is_file else folder)),
            ]
    return words


def test_each_command_is_a_function_or_has_a_reason() -> None:
    assert set(ON_THE_COMMAND_LINE_ONLY) <= set(commands())
    functions = {name for name in simsearch.__all__ if inspect.isfunction(getattr(simsearch, name))}
    functions |= {f"study.{name.rstrip('_')}" for name in simsearch.study.__all__}
    assert set(FUNCTIONS) <= functions
    assert functions - set(FUNCTIONS) == {
        "find_images",
        "open_cluster",
        "open_image",
        "open_plate",
        "open_results",
        "preview_conversion",
        "show_progress",
        "study.simulate",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_option_is_a_keyword_of_the_same_name_and_default(name: str, tmp_path: Path) -> None:
    command, parameters = FUNCTIONS[name], inspect.signature(function_of(name)).parameters
    given = said_by_click(command, tmp_path)
    assert set(parameters) - PYTHON_ONLY == set(given) - ONLY_THERE.get(name, set())
    required = {each.name for each in command.params if each.required}
    assert {each for each, p in parameters.items() if p.default is p.empty} == required
    optional = set(parameters) - PYTHON_ONLY - required - {"user"}  # who that is, nobody knows before
    defaults = {each: parameters[each].default for each in optional}
    assert defaults | {"folder": None} == {each: given[each] for each in optional} | {"folder": None}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_type_checkers_know_all_keywords(name: str) -> None:
    shown, own = function_of(name), inspect.unwrap(function_of(name))
    explicit = inspect.signature(own).parameters
    if "options" not in explicit:
        assert shown is own
        return
    typed = getattr(keywords, explicit["options"].annotation.removeprefix("Unpack[").removesuffix("]"))
    expected = (set(explicit) - {"options"}) | set(inspect.get_annotations(typed))
    assert set(inspect.signature(shown).parameters) == expected


def test_a_wrong_keyword_is_refused_with_the_name_that_is_near() -> None:
    with pytest.raises(
        TypeError, match=r"^search\(\) got an unexpected keyword argument 'metod'. Did you mean 'method'\?"
    ):
        simsearch.search("a.ome.zarr", "boxes.csv", "out", metod="template")  # type: ignore[call-arg]  # the mistake


def test_options_are_explained_in_the_docstring() -> None:
    for name in FUNCTIONS:
        text = inspect.getdoc(function_of(name)) or ""
        missing = [each for each in inspect.signature(function_of(name)).parameters if f"\n{each} : " not in text]
        assert missing == [], name


@pytest.fixture
def image(save_image: SaveImage, tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 120, 140), np.uint16)
    (tmp_path / "boxes.csv").write_text("image,class,y,x,height,width\ncells,bright,60,70,48,48\n")
    return save_image(tmp_path / "cells.ome.zarr", pixels, channel_names=("GFP", "DNA")).path


def test_a_search_finds_what_the_command_finds(
    image: str, trunk_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["search", image, "--prototypes", "boxes.csv", "--out", "a", "--channels", "DNA,GFP", "--floor", "-1"]
    run = CliRunner(catch_exceptions=False).invoke(main, [*words, "--trunk", str(trunk_file), "--cluster", "threads:1"])
    assert run.exit_code == 0
    found = simsearch.search(
        image, "boxes.csv", "b", channels=["DNA", "GFP"], floor=-1, trunk=str(trunk_file), cluster="threads:1"
    )
    assert (tmp_path / "a/peaks.parquet").read_bytes() == (tmp_path / "b/peaks.parquet").read_bytes()
    frame = found.peaks()
    assert len(frame) == found.n_peaks["bright"] > 1
    pd.testing.assert_frame_equal(frame, pd.read_parquet(tmp_path / "a/peaks.parquet"))
    best = frame.iloc[0]
    near = found.similarity("cells", "bright").sel(y=best.y, x=best.x, method="nearest")
    assert float(near) == pytest.approx(best.similarity, abs=0.05)
    with pytest.raises(simsearch.SimSearchError, match="similarity map of dark in cells, got bright"):
        found.similarity("cells", "dark")


def test_a_client_that_is_open_is_taken_and_stays_open(image: str, tmp_path: Path) -> None:
    with simsearch.open_cluster("threads:1") as client:
        table = simsearch.measure([image], tmp_path / "measure.json", cluster=client).table()
        assert client.submit(len, "open").result() == 4
    assert list(table.columns) == ["channel", "low", "high"]
    assert table["channel"].tolist() == ["GFP", "DNA"]
    assert (tmp_path / "measure.json").exists()


def test_what_is_to_be_known_of_images_is_a_warning_and_a_line(save_image: SaveImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (1, 60, 70), np.uint16)
    image = save_image(tmp_path / "far.ome.zarr", pixels, pixel_size_um=(5e6, 5e6))
    assert image.pixel_size_um is None
    with pytest.warns(UserWarning, match="far.*pixel") as told:
        simsearch.measure(image.path, cluster="threads:1")
    (note,) = told
    run = CliRunner(catch_exceptions=False).invoke(main, ["measure", image.path, "--cluster", "threads:1"])
    assert f"Note: {note.message}" in run.stdout.splitlines()
    with pytest.warns(UserWarning, match=str(note.message)[:20]):
        simsearch.study.create(tmp_path / "study", image.path)
