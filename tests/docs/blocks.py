"""Code blocks of pages, and how they are run: commands through the real command line, Python as it stands."""

from __future__ import annotations

import glob
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from simsearch.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'(\w+)(?: title="([\w.-]+)")?')
_SHORT = {"pretrain": {"steps": 2, "batch": 2, "crop": 32}, "train": {"n_noisy": 8}}
"""Options of commands that would take minutes or hours, where a page does not name them."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code."""

    page: str
    line: int
    language: str
    title: str
    """Name of the file that the reader saves it as; empty if none."""
    text: str
    reason: str
    """Why it is not run; empty if it is."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.page}, line {self.line}"


def pages() -> list[str]:
    """List all pages."""
    return ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]


def blocks_of(page: str) -> list[Block]:
    """Find the blocks of a page."""
    return list(find_blocks(page, (ROOT / page).read_text(encoding="utf-8")))


def find_blocks(page: str, text: str) -> Iterator[Block]:
    """Find the blocks in the text of a page.

    Raises
    ------
    AssertionError
        If a fence is not of a block: it would not be run.
    """
    n_fences = len(re.findall(r"^\s*```", text, re.MULTILINE))
    found = list(_BLOCK.finditer(text))
    assert n_fences == 2 * len(found), f"{page}: {n_fences} fences around {len(found)} blocks"
    for match in found:
        named = _TITLE.fullmatch(match["info"].strip())
        language, title = named.groups(default="") if named else (match["info"], "")
        line = text.count("\n", 0, match.start("info")) + 1
        yield Block(page, line, language, title, match["text"], match["reason"] or "")


def commands(script: str) -> list[list[str]]:
    r"""Split a script into commands, as a shell does, with the files that patterns match.

    Examples
    --------
    >>> commands("simsearch a 'b c' \\\n  d  # a remark\n\n# another\nsimsearch e")
    [['simsearch', 'a', 'b c', 'd'], ['simsearch', 'e']]
    """
    lines = script.replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [[each for word in words for each in _matches(word)] for words in split if words]


def _matches(word: str) -> list[str]:
    return (sorted(glob.glob(word)) or [word]) if "*" in word else [word]  # noqa: PTH207  as a shell does


def run_block(block: Block, names: dict[str, Any]) -> None:
    """Do in the current folder what a reader does.

    Parameters
    ----------
    block : Block
        What to run.
    names : dict
        Of Python, shared by the blocks of a page.

    Raises
    ------
    AssertionError
        If a command fails, or nobody knows how to run it.
    """
    if block.language == "bash":
        for words in commands(block.text):
            assert words[0] == "simsearch", f"{block.place}: mark what cannot run: <!-- not run: REASON -->: {words}"
            done = CliRunner().invoke(main, words[1:], default_map=_SHORT)
            said = done.output[-2000:] if done.exception is None else f"{done.output[-2000:]}\n{done.exception!r}"
            assert done.exit_code == 0, f"{block.place}: {shlex.join(words)}\n{said}"
    elif block.language == "python":
        exec(compile(block.text, block.place, "exec"), names)
    else:
        assert block.language == "csv", f"{block.place}: expected bash, python or csv, got {block.language!r}"
        assert len({line.count(",") for line in block.text.splitlines()}) == 1, f"{block.place}: ragged"
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
