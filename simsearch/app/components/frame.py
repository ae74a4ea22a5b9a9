"""What frames every page: the steps, undo and redo, what is saved, what is being done, and what went wrong."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.steps import finished_steps, next_step
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import JobView, Snapshot
    from simsearch.curation.history import History, Redo, Undo

_KEPT_JOBS = 8  # in the list of what was done


class FrameWire(Wire):
    """What the frame draws."""

    steps = Part()
    history = Part()
    saving = Part()
    jobs = Part()
    cluster = Part()
    notice = Part()
    toast = Part()
    scripts = Part()


class Frame(Island):
    """The frame of a page.

    Parameters
    ----------
    context : PageContext
        Of the page.
    """

    def __init__(self, context: PageContext) -> None:
        live, user = context.live, context.user
        self._user = user
        self._numbers = count(1)

        super().__init__(
            FrameWire(),
            {
                "undo": lambda _: context.run(lambda: live.undo(user)),
                "redo": lambda _: context.run(lambda: live.redo(user)),
                "cancel": job_actions(context)["cancel"],
            },
        )
        self.send(scripts=context.urls.scripts)

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        self.send(
            steps={"finished": sorted(finished_steps(snapshot)), "next": next_step(snapshot)},
            history=undo_and_redo(snapshot.history, self._user),
            jobs=[job_part(job) for job in snapshot.jobs[-_KEPT_JOBS:]],
            cluster=asdict(snapshot.cluster),
            notice=snapshot.notice,
        )

    def report(self, n_waiting: int, error: str) -> None:
        """Draw how many deeds are still to be done, and what went wrong with the last one, if something did."""
        if error:
            self.send(toast={"number": next(self._numbers), "text": error})
        self.send(saving={"n_waiting": n_waiting, "error": error})


def undo_and_redo(history: History, user: str) -> dict[str, Any]:
    """Tell what a person would undo and redo, in words, and when something was last saved."""

    def words(find: Callable[[str], Undo | Redo]) -> str | None:
        try:
            return str(history.entries[find(user).seq - 1].action)
        except CurationError:
            return None

    last = history.entries[-1] if history.entries else None
    return {
        "undo": words(history.next_undo),
        "redo": words(history.next_redo),
        "saved": last.time if last else None,
        "by": last.user if last else None,
        "n": len(history.entries),
    }


def job_actions(context: PageContext) -> dict[str, Callable[[Message], None]]:
    """Return what a script may ask of a job, by name."""
    live, user = context.live, context.user
    return {
        "cancel": lambda message: context.run(partial(live.cancel, str(message["job"]))),
        "resume": lambda message: context.run(partial(live.resume, user, str(message["job"]))),
        "dismiss": lambda message: context.run(partial(live.dismiss, str(message["job"]))),
    }


def job_part(job: JobView) -> dict[str, Any]:
    """Write a job for a script to draw."""
    return {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "by": job.started_by,
        "state": job.state,
        "step": job.step,
        "done": job.n_done,
        "total": job.n_tasks,
        "eta": job.eta_s,
        "message": job.message,
    }
