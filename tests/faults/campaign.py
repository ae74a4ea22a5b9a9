"""A campaign of faults: commands that are killed, meet each other, a full disk, and names that are made to harm.

    python -m tests.faults.campaign --seed 0 --kills 200 --inputs 2000 --folder /tmp/campaign

prints a line of figures; what did not hold stays in ``failed`` of the folder, with what was tried and what stood there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import full_disk, hostile_names, kills, programs, writers
from tests.faults.commands import Workshop, preload
from tests.faults.scenarios import SCENARIOS, make_inputs, shorten_training
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.scenarios import Scenario

_PROGRAMS = 20  # of so many kills, one is of the command line as people run it, which takes seconds to begin
_OTHERS = 8  # one meeting of writers, and one full disk of each kind, for so many kills
ROOT = Path(__file__).parents[2]


def attack(shop: Workshop, scenarios: Sequence[Scenario], n_kills: int, chance: random.Random, tally: Tally) -> None:
    """Kill each command about equally often, and now and then let it meet another, or a full disk."""
    disks = [full_disk.cut_files]
    if full_disk.can_mount(shop):
        disks.append(full_disk.fill_disk)
    else:
        tally.skipped.append("a disk in memory: only root can mount one, and not everywhere")
    known = [kills.undisturbed(shop, scenario) for scenario in scenarios]
    chance.shuffle(known)
    streams = [kills.moments(each, chance) for each in known]
    for number in range(n_kills):
        here = known[number % len(known)]
        if number % _PROGRAMS == _PROGRAMS - 1 and here.scenario.has_cluster and not here.scenario.is_slow:
            programs.kill(shop, here, chance, tally)
        else:
            kills.kill(shop, here, next(streams[number % len(known)]), tally)
        others: list[Callable[..., None]] = [writers.meet, *disks]
        if number % _OTHERS < len(others):
            # Another command than the one that was just killed: each comes to each in time.
            there = known[(number + number // len(known)) % len(known)]
            others[number % _OTHERS](shop, there, chance, tally)


def fuzz(seed: int, n_inputs: int, folder: Path, tally: Tally) -> None:
    """Damage files at random, in a process of limited memory."""
    command = [sys.executable, "-m", "tests.faults.fuzz", "--seed", str(seed), "--inputs", str(n_inputs)]
    done = subprocess.run(
        [*command, "--folder", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False, env=_with_tests()
    )
    n_broke = json.loads(done.stdout)["broke"] if done.stdout else n_inputs
    tally.tried["inputs"]["files damaged at random"] += n_inputs
    tally.n_tracebacks += n_broke
    tally.lost += [done.stderr] * n_broke


def _with_tests() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def main() -> None:
    """Run it as a command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kills", type=int, default=200, help="commands that are killed, in each round")
    options.add_argument("--inputs", type=int, default=2000, help="hostile inputs, in each round")
    options.add_argument("--names", type=int, default=100, help="of these, names; the others are damaged files")
    options.add_argument("--hours", type=float, default=0.0, help="begin rounds for so long; one at least")
    options.add_argument("--commands", default="", help="only those whose names begin with one of these, with commas")
    options.add_argument("--folder", type=Path, default=None)
    chosen = options.parse_args()
    folder = (chosen.folder or Path(tempfile.mkdtemp(prefix="campaign-"))).absolute()
    begin, tally, seed = time.monotonic(), Tally(folder), chosen.seed
    preload()
    shorten_training()
    scenarios = [each for each in SCENARIOS if each.name.startswith(tuple(chosen.commands.split(",")))]
    while seed == chosen.seed or time.monotonic() - begin < chosen.hours * 3600:
        shop = Workshop(folder / f"seed{seed}")
        make_inputs(shop)
        n_names = min(chosen.names, chosen.inputs)
        attack(shop, scenarios, chosen.kills, random.Random(seed), tally)
        hostile_names.attack(shop, n_names, random.Random(seed), tally)
        if chosen.inputs > n_names:
            fuzz(seed, chosen.inputs - n_names, shop.root / "fuzz", tally)
        if not tally.lost:
            shutil.rmtree(shop.root)
        seed += 1
    print(tally)  # noqa: T201
    if tally.lost:
        print("\n\n".join(tally.lost), file=sys.stderr)  # noqa: T201
    sys.exit(bool(tally.lost))


if __name__ == "__main__":
    main()
