from collections.abc import Callable
from pathlib import Path

import pytest

from simsearch.errors import StoreError
from simsearch.io.places import replacing
from simsearch.io.tables.records.replacing import replacing_text


def _stop_halfway(path: Path) -> None:
    with replacing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError


def _stop_text_halfway(path: Path) -> None:
    with replacing_text(path) as file:
        file.write("half")
        raise ZeroDivisionError


@pytest.mark.parametrize("write", [_stop_halfway, _stop_text_halfway])
def test_a_file_that_is_not_completed_leaves_what_was_there(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_text_comes_to_its_place_with_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    with replacing_text(path) as file:
        file.write("{}\n")
        assert not path.exists()
    assert path.read_bytes() == b"{}\n"


def test_where_no_file_can_be_the_error_names_it(tmp_path: Path) -> None:
    path = tmp_path / "taken" / "run.json"
    path.parent.write_text("")
    with pytest.raises(StoreError, match=r"taken/run\.json: expected"), replacing_text(path):
        pass
