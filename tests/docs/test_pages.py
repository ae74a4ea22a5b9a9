"""What pages say is so: their commands run, and what they list is what there is."""

from __future__ import annotations

import ast
import csv
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import simsearch
from simsearch.io.tables.answered import write_answered
from tests.docs.blocks import ROOT, Block, blocks_of, commands, find_blocks, pages, run_block

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.conftest import Desk

NOT_RUN = {"README.md": 1, "docs/tutorials/slide.md": 1, "docs/tutorials/plate.md": 1, "docs/how-to/other-tools.md": 2}
"""How many blocks of a page are marked with a reason not to run them."""

SECTIONS = {
    "peaks.csv": "peaks",
    "detections.csv": "detections, objects",
    "objects.csv": "detections, objects",
    "images.csv": "images.csv",
    "sample.csv": "sample.csv",
    "sample_estimates.csv": "sample_estimates.csv",
    "wells.csv": "wells.csv",
    "dose_response.csv": "dose_response.csv",
    "areas.csv": "areas.csv",
    "scores.csv": "scores.csv",
    "held_out.csv": "held_out.csv",
}
"""Where in the reference the columns of a table are."""


@pytest.mark.parametrize("page", [page for page in pages() if any(not each.reason for each in blocks_of(page))])
def test_the_blocks_of_a_page_run(page: str, desk: Desk) -> None:
    desk.run(page)


def test_what_is_not_run_is_counted() -> None:
    found = Counter(block.page for page in pages() for block in blocks_of(page) if block.reason)
    assert found == NOT_RUN


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("```bash\nsimsearch search --no-such-option\n```", "no-such-option"),
        ("```bash\nmake demo\n```", "not run: REASON"),
        ("```python\nimport simsearch\nsimsearch.no_such_name\n```", "no_such_name"),
        ("```yaml\na: b\n```", "expected bash, python or csv"),
        ("```csv\na,b\n1\n```", "ragged"),
    ],
    ids=["a stale option", "another program", "a stale name", "another language", "a torn table"],
)
def test_a_stale_block_fails(block: str, words: str) -> None:
    (found,) = find_blocks("planted.md", f"# Planted\n\n{block}\n")
    with pytest.raises((AssertionError, AttributeError), match=words):
        run_block(found, {})


def test_a_marked_block_is_found_with_its_reason() -> None:
    (found,) = find_blocks("planted.md", "<!-- not run: needs Slurm -->\n```bash\nsbatch job\n```\n")
    assert found == Block("planted.md", 2, "bash", "", "sbatch job\n", "needs Slurm")


def first_columns(section: str) -> list[str]:
    """Read what stands in code in the first column of the tables of a section."""
    text = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    (part,) = re.findall(rf"^### {re.escape(section)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| ([^|]*) \|", part, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


def test_the_columns_of_tables_are_those_of_the_reference(desk: Desk) -> None:
    folders = [desk.run("docs/tutorials/plate.md"), desk.run("docs/how-to/evaluate.md")]
    found = {
        name: path for folder in folders for name in SECTIONS for path in folder.rglob(name) if "demo" not in path.parts
    }
    assert set(found) == set(SECTIONS) | {"areas.csv"}
    plate_map = {"drug", "dose", "unit"}
    for name, path in found.items():
        if path.parent == folders[0]:  # a table of the page's own
            continue
        columns = [re.sub(r"^(count|fraction|mean score|confidence) .*", r"\1 CLASS", each) for each in header(path)]
        if name == "wells.csv":
            columns = [each for each in columns if each not in plate_map]
        assert list(dict.fromkeys(columns)) == first_columns(SECTIONS[name]), path


def test_the_columns_of_what_was_answered_are_those_of_the_reference(tmp_path: Path) -> None:
    write_answered([], tmp_path / "answered.csv")  # of a study with answers, which no page has
    assert header(tmp_path / "answered.csv") == first_columns("answered.csv")


def test_the_files_of_results_are_in_the_reference(desk: Desk) -> None:
    folder, scores = desk.run("docs/tutorials/plate.md"), desk.run("docs/how-to/evaluate.md") / "scores"
    text = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    (model,) = (folder / "screen/models").iterdir()
    results = [folder / "nuclei", folder / "found", folder / "measured", folder / "screen", model, scores]
    written = {f"{result.name}/{path.name}" for result in results for path in result.iterdir()}
    written |= {f"plate/{path.name}" for path in (folder / "found/plates/plate").iterdir()}
    assert {name for name in written if name.rpartition("/")[2] not in text} == set()


def test_all_that_python_offers_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    functions = set(simsearch.__all__) - {"SimSearchError", "study"}
    functions |= {f"study.{name}" for name in simsearch.study.__all__}
    assert {name for name in functions if f'heading: "simsearch.{name}"' not in page} == set()


def messages() -> str:
    """Gather all texts of the code, those that are put together as one."""

    def text(node: ast.AST) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(text(part) if isinstance(part, ast.Constant) else "\0" for part in node.values)
        return str(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""

    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "simsearch").rglob("*.py"))
    return "\n".join(text(node) for tree in trees for node in ast.walk(tree))


def test_the_errors_of_the_reference_are_those_of_the_code() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^|]+)` \|", page, re.MULTILINE)
    assert len(listed) > 40
    said = messages()
    pieces = {piece.strip() for message in listed for piece in message.split("…") if len(piece.strip()) > 5}
    assert {piece for piece in pieces if piece not in said} == set()


def test_commands_are_split_as_a_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    assert commands("simsearch x *.csv '*.tif'") == [["simsearch", "x", "a.csv", "*.tif"]]


def test_tests_that_the_page_on_promises_names_are_there() -> None:
    text = (ROOT / "docs/explanation/security.md").read_text()
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert named
    assert not [path for path in named if not (ROOT / path).is_file()]
    modules = set(re.findall(r"`python -m (tests[\w.]+)", text))
    assert not [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").is_file()]
