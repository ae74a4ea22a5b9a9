"""A picture that cannot be drawn."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from simsearch.errors import SourceError
from simsearch.io.pictures.drawing import try_to_draw, vector_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "error", [ValueError("Image size of\n9e9 pixels"), OSError("cannot open resource"), MemoryError(), RuntimeError()]
)
def test_a_picture_that_cannot_be_drawn_is_told_of_and_gone(tmp_path: Path, error: Exception) -> None:
    picture = tmp_path / "a.png"
    for each in (picture, vector_of(picture)):
        each.write_bytes(b"of the run before")

    def draw() -> None:
        picture.write_bytes(b"half of")
        raise error

    (note,) = try_to_draw(picture, draw)
    assert note.startswith(f"a.png was not drawn: {type(error).__name__}")
    assert note.endswith("; all else was written")
    assert "\n" not in note
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SourceError("expected, got")])
def test_a_full_disk_and_what_is_told_already_stay_errors(tmp_path: Path, error: Exception) -> None:
    def draw() -> None:
        raise error

    with pytest.raises(type(error)):
        try_to_draw(tmp_path / "a.png", draw)


def test_what_can_be_drawn_is_no_news(tmp_path: Path) -> None:
    assert try_to_draw(tmp_path / "a.png", lambda: None) == ()
