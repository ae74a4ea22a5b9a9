"""Names lead into a folder, or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simsearch.core.checks.names import path_in
from simsearch.errors import ConfigError


@pytest.mark.parametrize(
    "name", ["a", "plate/A/01/0", "Wortmannin 0.2 µM", "5 $\\foo$", "a..b", "..a", "-x", ".hidden", "日本"]
)
def test_what_people_call_things_is_a_path(name: str, tmp_path: Path) -> None:
    path = path_in(tmp_path, name, ".csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert path.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../a",
        "a/../../b",
        "a/..",
        "\\\\host\\a",
        "..\\a",
        "C:/a",
        "C:a",
        "a\x00",
        "a\nb",
        "\u202egnp.exe",
    ],
)
def test_what_leads_elsewhere_or_hides_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^results: expected a name that can be one of a file in a folder, got "):
        path_in(Path("results"), name, ".csv")


@pytest.mark.parametrize("name", ["x" * 5000, "a/" + "\u00e9" * 128 + "/b", "x" * 252])
def test_a_name_that_is_longer_than_that_of_a_file_is_refused_in_a_short_line(name: str) -> None:
    with pytest.raises(ConfigError, match=r"of 255 bytes at most, got .*: rename it") as caught:
        path_in(Path("results"), name, ".csv")
    assert len(str(caught.value)) < 250
    assert path_in(Path("results"), "x" * 251, ".csv").name == "x" * 251 + ".csv"


@given(st.text(st.sampled_from("./\\a:~\x00\n"), max_size=9))
def test_no_name_leads_out_of_its_folder(name: str) -> None:
    folder = Path("/somewhere/results")
    try:
        path = path_in(folder, name)
    except ConfigError:
        return
    assert folder in Path(str(path).replace("\\", "/")).parents
    assert ".." not in path.parts
