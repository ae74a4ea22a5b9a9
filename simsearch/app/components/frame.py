"""What frames every page: the steps, undo and redo, what is saved, what is being done, and what went wrong."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.steps import finished_steps, next_step
from simsearch.curation.actions import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import JobView, Snapshot
    from simsearch.curation.history import History, Redo, Undo

_KEPT_JOBS = 8  # in the list of jobs that are over
_LISTED = 100  # deeds in the list of what was done


class FrameWire(Wire):
    """What the frame draws."""

    steps = Part()
    history = Part()
    past = Part()
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
                "undo": lambda message: context.run(partial(live.undo, user, _seq(message))),
                "redo": lambda message: context.run(partial(live.redo, user, _seq(message))),
                "cancel": job_actions(context)["cancel"],
            },
        )
        self.send(scripts=context.urls.scripts)

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state."""
        self.send(
            steps={"finished": sorted(finished_steps(snapshot)), "next": next_step(snapshot)},
            history=undo_and_redo(snapshot.history, self._user),
            past=past(snapshot.history, self._user),
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

    def words(seqs: tuple[int, ...]) -> str | None:
        return in_words(history.entries[seqs[0] - 1].action) if seqs else None

    done, undone = history.own(user)
    last = history.entries[-1] if history.entries else None
    return {
        "undo": words(done),
        "redo": words(undone),
        "saved": last.time if last else None,
        "by": last.user if last else None,
        "n": len(history.entries),
    }


def in_words(action: Action | Undo | Redo) -> str:
    """Say an action as pages do, on which prototypes are boxes.

    Examples
    --------
    >>> from simsearch.curation.marks import RemovePrototype
    >>> in_words(RemovePrototype("cell", "1"))
    'remove a box of cell'
    """
    return str(action).replace("prototypes", "boxes").replace("prototype", "box")


def past(history: History, user: str) -> list[dict[str, Any]]:
    """List what was done, the newest first: what holds of all people, and what this one can redo.

    Returns
    -------
    list of dict
        Of each its ``seq``, ``time``, who did it (``by``), ``words`` for it, and whether it ``is`` ``done`` or
        ``undone`` by this person, or of ``others``.
    """
    done, undone = map(frozenset, history.own(user))
    kinds = dict.fromkeys(done, "done") | dict.fromkeys(undone, "undone")
    held = (
        entry
        for entry in reversed(history.entries)
        if isinstance(entry.action, Action) and (entry.seq in undone or entry.seq not in history.undone)
    )
    return [
        {
            "seq": each.seq,
            "time": each.time,
            "by": each.user,
            "words": in_words(each.action),
            "is": kinds.get(each.seq, "others"),
        }
        for each in islice(held, _LISTED)
    ]


def _seq(message: Message) -> int | None:
    return int(message["to"]) if "to" in message else None


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
