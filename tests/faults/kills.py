"""Commands that are killed or stopped at any moment: nothing is half, nothing is lost, and the same command goes on."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.commands import Stop
from tests.faults.scenarios import reset, succeed, template_of
from tests.faults.states import differences, false_claims, state_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.commands import Ended, Workshop
    from tests.faults.scenarios import Scenario
    from tests.faults.states import State
    from tests.faults.tally import Tally

_STOPPED = 130
_REFUSED = 2
_BY_STEP = 0.75  # of all kills: late steps take little time, and times alone would rarely hit them


@dataclass(frozen=True)
class Undisturbed:
    """A scenario, and what a run without trouble makes of it."""

    scenario: Scenario
    template: Path
    """What stands there before."""
    after_folder: Path
    """What stands there after."""
    before: State
    after: State
    ended: Ended


def undisturbed(shop: Workshop, scenario: Scenario) -> Undisturbed:
    """Run a scenario without trouble."""
    template = template_of(shop, scenario)
    reset(shop, template)
    before = state_of(shop.trial)
    ended = succeed(shop, scenario.command())
    done = shop.root / "done" / template.name
    shutil.copytree(shop.trial, done)
    return Undisturbed(scenario, template, done, before, state_of(shop.trial), ended)


def moments(known: Undisturbed, chance: random.Random) -> Iterator[Stop]:
    """Choose when to stop a command, and how, without end."""
    while True:
        number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        if chance.random() < _BY_STEP and known.ended.n_steps:
            yield Stop(number, step=chance.randint(1, known.ended.n_steps))
        else:
            yield Stop(number, after_s=chance.uniform(0.02, known.ended.seconds))


def kill(shop: Workshop, known: Undisturbed, stop: Stop, tally: Tally) -> None:
    """Stop a command, look at what stands there, and let the same command go on."""
    reset(shop, known.template)
    killed = shop.run(known.scenario.command(), stop)
    is_done = not differences(state_of(shop.trial), known.after)
    problems = tally.see(killed) + stopped_wrongly(killed, stop.number, is_done=is_done)
    problems += after_trouble(shop, known, tally)
    tally.keep("kills", known.scenario.name, f"{stop}, it ended with {killed.code}", problems, shop)


def stopped_wrongly(ended: Ended, number: signal.Signals, *, is_done: bool) -> list[str]:
    """Tell what is wrong with how a command ended that was sent a signal; it may have been done before."""
    if ended.code in (0, -number if number == signal.SIGKILL else _STOPPED):
        return []
    # Before Python knew what to do with a signal, or while the interpreter ends after all is written.
    is_outside = ended.code == -number and (ended.n_steps == 0 or is_done)
    return [] if is_outside else [f"{number.name} ended it with {ended.code}: {ended.errors[-1500:]}"]


def after_trouble(shop: Workshop, known: Undisturbed, tally: Tally) -> list[str]:
    """Tell what does not hold after a command that did not end: what stands there, and how the same one goes on."""
    scenario, left = known.scenario, state_of(shop.trial)
    problems = false_claims(left, known.before, known.after, scenario.wholes)
    if scenario.says_more and not differences(left, known.after):
        return problems
    again = shop.run(scenario.command())
    problems += tally.see(again)
    is_done = scenario.refused_again and again.code == _REFUSED and not differences(left, known.after)
    if again.code and not is_done:
        problems.append(f"the same command ended with {again.code}: {again.errors[-1500:]}")
    return problems + [f"in the end, {each}" for each in differences(state_of(shop.trial), known.after)]
