"""Two commands that write into one folder at once: one wins, the other is refused in words, and the result is whole.

The first is stopped in the middle of its work (SIGSTOP), so that the second meets it there and nowhere else.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.faults.commands import Stop
from tests.faults.kills import after_trouble
from tests.faults.scenarios import reset
from tests.faults.states import differences, state_of

if TYPE_CHECKING:
    import random

    from tests.faults.commands import Workshop
    from tests.faults.kills import Undisturbed
    from tests.faults.tally import Tally

_REFUSED = 2


def meet(shop: Workshop, known: Undisturbed, chance: random.Random, tally: Tally) -> None:
    """Let a command meet another one like it, before one of its steps."""
    reset(shop, known.template)
    stop = Stop(signal.SIGSTOP, step=chance.randint(1, known.ended.n_steps))
    first = shop.begin(known.scenario.command(), stop)
    waiting = first.wait(until_stopped=True)
    second = shop.run(known.scenario.command())
    ended = first.go_on() if waiting.code == -signal.SIGSTOP else waiting
    problems = tally.see(ended, second)
    problems += [
        f"the {name} ended with {each.code}: {each.errors[-1500:]}"
        for name, each in (("first", ended), ("second", second))
        if each.code not in (0, _REFUSED) or (each.code == _REFUSED and "expected" not in each.errors)
    ]
    if ended.code and second.code:
        problems.append(f"neither has won: {ended.errors[-500:]} {second.errors[-500:]}")
    problems += [f"in the end, {each}" for each in differences(state_of(shop.trial), known.after)]
    if not problems:
        problems = after_trouble(shop, known, tally)
    codes = f"they ended with {ended.code} and {second.code}"
    tally.keep("writers", known.scenario.name, f"{stop}, {codes}", problems, shop)
