"""What one person does is on the disk, and everybody sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.app.session.live import LiveStudy
from simsearch.curation.actions import AddClass, RenameClass
from simsearch.curation.marks import AddPrototypes, RemovePrototype
from simsearch.curation.state import Patch
from simsearch.errors import CurationError, StoreError
from simsearch.workflows.curate.study import read_curation
from tests.app.browser import wait_until

if TYPE_CHECKING:
    from distributed import Client

    from simsearch.app.session.snapshot import Snapshot
    from simsearch.workflows.curate.study import Study


def names(snapshot: Snapshot) -> list[str]:
    return [each.name for each in snapshot.curation.classes]


def test_two_subscribers_see_an_action_that_is_on_the_disk(live: LiveStudy) -> None:
    seen: list[list[Snapshot]] = [[], []]
    first, _ = (live.subscribe(each.append) for each in seen)
    live.act("ada", AddClass("mitosis", "#e69f00"))
    assert [names(each[-1]) for each in seen] == [["mitosis"], ["mitosis"]]
    assert [each.name for each in read_curation(live.study)[0].state.classes] == ["mitosis"]
    first()
    live.act("bob", RenameClass("mitosis", "dividing"))
    assert names(seen[0][-1]) == ["mitosis"]
    assert names(seen[1][-1]) == ["dividing"] == names(live.snapshot)


def test_undo_and_redo_are_each_persons_own(live: LiveStudy) -> None:
    live.act("ada", AddClass("one", "#e69f00"))
    live.act("bob", AddClass("two", "#56b4e9"))
    live.undo("ada")
    assert names(live.snapshot) == ["two"]
    live.redo("ada")
    assert names(live.snapshot) == ["one", "two"]
    with pytest.raises(CurationError, match="eve to undo"):
        live.undo("eve")


def test_what_does_not_apply_changes_nothing(live: LiveStudy) -> None:
    version = live.snapshot.version
    with pytest.raises(CurationError, match="expected one of the classes"):
        live.act("ada", RenameClass("no such", "one"))
    assert live.snapshot.version == version


def test_a_page_that_cannot_draw_stops_nobody(live: LiveStudy, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Snapshot] = []

    def broken(snapshot: Snapshot) -> None:
        raise RuntimeError("no browser")

    live.subscribe(broken)
    live.subscribe(seen.append)
    live.act("ada", AddClass("one", "#e69f00"))
    assert names(seen[-1]) == ["one"]
    assert "no browser" in caplog.text


def test_a_study_that_is_open_elsewhere_says_where(live: LiveStudy, client: Client, fresh_study: Study) -> None:
    with pytest.raises(StoreError, match=r"got process \d+ on .* at work on it: close that first"):
        LiveStudy(client, fresh_study)


def test_a_torn_line_is_told(client: Client, fresh_study: Study) -> None:
    with LiveStudy(client, fresh_study) as live:
        live.act("ada", AddClass("one", "#e69f00"))
    with fresh_study.journal_path.open("ab") as file:
        file.write(b'{"seq": 2, "ti')
    with LiveStudy(client, fresh_study) as live:
        assert "line 2" in live.snapshot.notice
        assert names(live.snapshot) == ["one"]


def test_images_too_large_to_be_held_have_a_similarity_map_while_there_is_a_box(
    client: Client, fresh_study: Study
) -> None:
    image = fresh_study.images[0]
    with LiveStudy(client, fresh_study, memory_bytes=1000) as live:
        live.act("ada", AddClass("cell", "#e69f00"))
        assert live.similarity_map("cell", image.name) is None
        box = Patch.at(image.name, 60, 60)
        live.act("ada", AddPrototypes("cell", (box,), (48.0, 48.0)))
        wait_until(lambda: live.snapshot.suggestions.state == "ready", "suggestions")
        found = live.similarity_map("cell", image.name)
        assert found is not None
        assert np.nanmax(found.values) > 0.6  # the box lies where there is no cell
        assert "similarity map is coarse" in live.snapshot.suggestions.note
        live.act("ada", RemovePrototype("cell", box.id))
        wait_until(lambda: live.snapshot.suggestions.state == "empty", "nothing to look for")
        assert live.similarity_map("cell", image.name) is None
