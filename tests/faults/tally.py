"""What a campaign counts and keeps."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.faults.commands import Ended, Workshop


@dataclass
class Tally:
    """What was tried, and what did not hold."""

    folder: Path
    """Keeps what failed."""
    tried: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By kind of trial, then by command."""
    lost: list[str] = field(default_factory=list)
    n_tracebacks: int = 0
    n_outside: int = 0
    skipped: list[str] = field(default_factory=list)
    """Kinds of trials that cannot be had on this machine, and why."""

    def see(self, *ended: Ended) -> list[str]:
        """Count what no command may do, however it ends, and say what it was."""
        problems = []
        for each in ended:
            self.n_tracebacks += each.has_traceback
            self.n_outside += len(each.outside)
            problems += [f"a traceback: {each.errors[-1500:]}"] if each.has_traceback else []
            problems += [f"files outside: {each.outside}"] if each.outside else []
        return problems

    def keep(self, kind: str, command: str, what: str, problems: Sequence[str], shop: Workshop) -> None:
        """Count a trial, and keep its folder if something did not hold."""
        self.tried[kind][command] += 1
        if problems:
            place = self.folder / "failed" / f"{len(self.lost):03d}"
            shutil.copytree(shop.trial, place / "trial", symlinks=True)
            text = "\n  ".join([f"{kind}, {command}, {what}:", *problems])
            (place / "what.txt").write_text(text + "\n")
            self.lost.append(text)
        (self.folder / "figures.json").write_text(f"{self}\n")  # so far, for who does not wait for the end

    def figures(self) -> dict[str, object]:
        """Tell the figures in one line."""
        n_tried = sum(sum(counts.values()) for counts in self.tried.values())
        return {
            "tried": n_tried,
            "held": n_tried - len(self.lost),
            "lost": len(self.lost),
            "tracebacks": self.n_tracebacks,
            "files_outside": self.n_outside,
            **{kind: sum(counts.values()) for kind, counts in self.tried.items()},
            "per_command": {kind: dict(sorted(counts.items())) for kind, counts in self.tried.items()},
            **({"skipped": self.skipped} if self.skipped else {}),
        }

    def __str__(self) -> str:
        return json.dumps(self.figures())
