"""What people say about patches survives a table, and rows that make no sense are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.core.boxes import Box
from simsearch.errors import AnnotationError, StoreError
from simsearch.io.tables.curation import Annotation, read_annotations, write_annotations

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "image,class,role,y,x,height,width\n"
ANNOTATIONS = [
    Annotation(Box("slide", "RBC", 10.125, 20.0, 48.0, 40.5), "prototype"),
    Annotation(Box("P/A/01/0", 'odd, "class"', 0.1, 1e5, 48.0, 40.5), "positive"),
    Annotation(Box("slide", "RBC", 1.0, 2.0, 48.0, 40.5), "negative"),
    Annotation(Box("slide", "background", 3.0, 4.0, 48.0, 40.5), "background"),
]


def test_annotations_survive_a_table(tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.csv"

    assert write_annotations(iter(ANNOTATIONS), path) == 4
    assert read_annotations(path) == ([(f"row {i}", each) for i, each in enumerate(ANNOTATIONS, start=2)], ())
    assert path.read_text().splitlines()[1] == "slide,RBC,prototype,10.125,20,48,40.5"
    assert list(path.parent.iterdir()) == [path]


def test_a_table_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("old")

    def annotations() -> object:
        yield ANNOTATIONS[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        write_annotations(annotations(), path)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,RBC,prototype,ten,20,48,48", "column y: expected a number, got 'ten'"),
        ("a,RBC,prototype,,20,48,48", "column y: expected a number, got ''"),
        ("a,RBC,prototype,nan,20,48,48", "column y: expected a number, got 'nan'"),
        ("a,RBC,prototype,10,inf,48,48", "column x: expected a number, got 'inf'"),
        ("a,RBC,prototype,10,20,0,48", "got 10, 20, 0, 48"),
        ("a,RBC,prototype,10,20,48,-1", "got 10, 20, 48, -1"),
        (
            "a,RBC,protoype,10,20,48,48",
            "a role out of prototype, confirmed, positive, negative, background, got 'protoype'",
        ),
        ("a,RBC,,10,20,48,48", "got ''"),
        ("a,RBC,background,10,20,48,48", "got class 'RBC' and role 'background'"),
        ("a,,negative,10,20,48,48", "got class '' and role 'negative'"),
        ("a,background,positive,10,20,48,48", "got class 'background' and role 'positive'"),
        ("a,RBC,prototype", "column y: expected a number"),
    ],
)
def test_rows_that_make_no_sense_are_named_and_others_read(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "study.csv"
    path.write_text(f"{HEADER}a,RBC,prototype,10,20,48,48\n{row}\na,,background,10,20,48,48\n")
    good, (place, problem), last = read_annotations(path)[0]

    assert isinstance(good[1], Annotation)
    assert isinstance(last[1], Annotation)
    assert (last[0], last[1].box.class_name) == ("row 4", "background")
    assert place == "row 3"
    assert isinstance(problem, AnnotationError)
    assert message in str(problem)


def test_a_wrong_header_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("image,class,y,x,height,width\na,RBC,1,2,3,4\n")
    with pytest.raises(AnnotationError, match=r"got image, class, y, x, height, width: add role$"):
        read_annotations(path)
