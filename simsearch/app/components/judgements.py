"""What scripts say of regions, wherever these are shown, and what was said of a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.app.session.judging import add_missed, confirm, flag, judge_together, move_to_class
from simsearch.curation.actions import Batch
from simsearch.curation.checks import common_shape
from simsearch.curation.marks import AddPrototypes, ConfirmPatches, FlagNegatives
from simsearch.curation.state import Patch, Places, singled_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.app.components.island import Message
    from simsearch.app.context import PageContext
    from simsearch.curation.history import History
    from simsearch.curation.state import Curation

_JUDGING = AddPrototypes, ConfirmPatches, FlagNegatives


def judging_messages(context: PageContext) -> dict[str, Callable[[Message], None]]:
    """Return what a script may say of places, by name.

    ``refuse``: they are not of a class, ``name``. ``assign``: they are of a class, ``to``, where ``name`` is that for
    which they were taken. ``miss``: there is one of class ``to`` where nothing was found. ``together``: the same of
    places that were taken for several classes, each with its ``class``; where ``to`` is null all are right, where it is
    empty wrong. Each has ``places`` with ``image``, the place of the image in the study, ``y`` and ``x``.
    """
    names = {index: name for name, index in context.urls.indices.items()}

    def places(message: Message) -> list[Patch]:
        return [Patch.at(names[int(each["image"])], float(each["y"]), float(each["x"])) for each in message["places"]]

    def assign(message: Message) -> None:
        name, to = str(message["name"]), str(message["to"])
        if name == to:
            context.do(confirm, name, places(message))
        else:
            context.do(move_to_class, name, to, places(message))

    def miss(message: Message) -> None:
        for at in places(message):
            context.do(add_missed, str(message["to"]), at)

    def together(message: Message) -> None:
        by_class: dict[str, list[Patch]] = {}
        for each, at in zip(message["places"], places(message), strict=True):
            by_class.setdefault(str(each["class"]), []).append(at)
        to = message["to"]
        context.do(judge_together, by_class, None if to is None else str(to))

    return {
        "refuse": lambda message: context.do(flag, str(message["name"]), places(message)),
        "assign": assign,
        "miss": miss,
        "together": together,
    }


class SaidPlaces:
    """What was said one by one, to be found by where it was said.

    Parameters
    ----------
    curation : Curation
        What was said.
    """

    def __init__(self, curation: Curation) -> None:
        classes = curation.classes if curation.patch_shape else ()
        shapes = {each.name: common_shape(curation, each) for each in classes}
        self._of = {each.name: Places(singled_out(each), shapes[each.name]) for each in classes}
        self._not_of = {each.name: Places(each.negatives, shapes[each.name]) for each in classes}

    def said(self, class_name: str, at: Patch) -> dict[str, Any]:
        """Tell what was said of a place that is taken for a class, for a script to draw.

        Returns
        -------
        dict
            ``said``: right, wrong or nothing; ``to``: the name of another class that it is said to be of, or nothing.
        """
        other = next((name for name, places in self._of.items() if name != class_name and places.near(at)), "")
        if class_name in self._of and self._of[class_name].near(at):
            return {"said": "right", "to": ""}
        is_refused = class_name in self._not_of and self._not_of[class_name].near(at) is not None
        return {"said": "wrong" if is_refused or other else "", "to": other}


def judged_since(history: History, time: str) -> int:
    """Count the regions that were judged one by one after a time, in ISO 8601 with UTC."""
    judged: set[Patch] = set()
    for entry in reversed(history.entries):
        if entry.time <= time:
            break
        if entry.seq not in history.undone:
            actions = entry.action.actions if isinstance(entry.action, Batch) else (entry.action,)
            judged.update(patch for each in actions if isinstance(each, _JUDGING) for patch in each.patches)
    return len(judged)
