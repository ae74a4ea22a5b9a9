"""Commands of the pages on clusters, for tests to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.docs.blocks import ROOT, blocks_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def recipe_pages() -> list[str]:
    """List the pages: one for each place."""
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "deploy").rglob("README.md"))]


def recipe(page: str, beginning: str, changes: Mapping[str, object]) -> str:
    """Read a block of a page as somebody types it who has other folders and fewer machines.

    Parameters
    ----------
    page, beginning : str
        Where it is, and how it begins.
    changes : dict
        What stands for what else.
    """
    (block,) = (block for block in blocks_of(page) if block.text.startswith(beginning) and not block.reason)
    text = block.text
    for said, ours in changes.items():
        assert said in text, f"{block.place}: expected {said!r}, which a test replaces, got {text!r}"
        text = text.replace(said, str(ours))
    return text
