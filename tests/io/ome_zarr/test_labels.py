"""Labels of a run are there with the name of the run, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import zarr

from simsearch.io.ome_zarr import labels
from simsearch.io.ome_zarr.labels import create_labels, run_of_labels
from simsearch.io.ome_zarr.stores import remove_torn
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = ImageTemplate(1, (40, 50), "uint8", ("class",), ("FFFFFF",), chunk=32, shard=32, n_levels=1)


class KilledError(BaseException):
    """Stands for the end of a process."""


def test_labels_whose_making_was_killed_are_not_there_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(path: Path, template: ImageTemplate) -> None:
        create_image(path, template)
        raise KilledError

    path = tmp_path / "labels" / "simsearch"
    with monkeypatch.context() as patch:
        patch.setattr(labels, "create_image", kill)
        with pytest.raises(KilledError):
            create_labels(path, TEMPLATE, "run")
    assert not path.exists()
    create_labels(path, TEMPLATE, "run")
    assert run_of_labels(path) == "run"
    assert [each.name for each in path.parent.iterdir()] == ["simsearch"]
    assert list(zarr.open_group(path, mode="r")) == ["0"]


def test_what_zarr_was_writing_when_it_was_killed_is_removed_and_nothing_else(tmp_path: Path) -> None:
    names = ("zarr.json", "mine.partial", f"zarr.{'0a' * 16}.partial", f"c/0.{'1b' * 16}.partial")
    (tmp_path / "c").mkdir()
    for name in names:
        (tmp_path / name).touch()
    remove_torn(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c", "mine.partial", "zarr.json"]
