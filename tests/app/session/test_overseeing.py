"""Plates are searched while somebody watches, and not for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.curation.actions import AddClass
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from tests.app.browser import wait_until

if TYPE_CHECKING:
    import pytest

    from simsearch.app.session.live import LiveStudy
    from simsearch.core.synthetic import CellField


def draw(live: LiveStudy, y: float, x: float) -> None:
    before = live.snapshot.suggestions.version
    live.act("ada", AddPrototypes("cell", (Patch.at("a", y, x),), (40.0, 40.0)))
    wait_until(
        lambda: live.snapshot.suggestions.state == "ready" and live.snapshot.suggestions.version > before, "suggestions"
    )


def is_ready(live: LiveStudy, images: str) -> bool:
    overview = live.snapshot.overview
    return overview.state == "ready" and overview.images == tuple(images)


def test_plates_are_searched_while_somebody_watches(live: LiveStudy, cell_fields: dict[str, CellField]) -> None:
    live.act("ada", AddClass("cell", "#e69f00"))
    cells = [(cell.y, cell.x) for cell in cell_fields["a"].cells if all(24 < side < 150 for side in (cell.y, cell.x))][
        :2
    ]
    draw(live, *cells[0])
    assert live.snapshot.overview.state == "idle"
    end = live.watch_plates()
    wait_until(lambda: is_ready(live, "abc"), "an overview of the displayed images")
    assert live.snapshot.overview.n_unseen == 1
    assert live.snapshot.overview.unseen_bytes > 0
    end()
    end()  # of no effect
    version = live.snapshot.overview.version
    draw(live, *cells[1])
    assert live.snapshot.overview.version == version
    end = live.watch_plates()
    job = live.look_at_all("ada")
    wait_until(lambda: is_ready(live, "abcd") and live.snapshot.overview.n_unseen == 0, "an overview of all images")
    assert next(each for each in live.snapshot.jobs if each.id == job).title == "Look at 4 images"
    end()


def test_what_fails_is_told_and_the_next_state_is_searched_again(
    live: LiveStudy, cell_fields: dict[str, CellField], monkeypatch: pytest.MonkeyPatch
) -> None:
    live.act("ada", AddClass("cell", "#e69f00"))
    cells = [(cell.y, cell.x) for cell in cell_fields["a"].cells if all(24 < side < 150 for side in (cell.y, cell.x))][
        :2
    ]
    with monkeypatch.context() as broken:
        broken.setattr("simsearch.workflows.curate.live.plate_search.PlateSearch.find", None)
        draw(live, *cells[0])
        end = live.watch_plates()
        wait_until(lambda: live.snapshot.overview.state == "failed", "what failed")
        assert "TypeError" in live.snapshot.overview.message
    draw(live, *cells[1])
    wait_until(lambda: is_ready(live, "abc"), "an overview")
    end()
