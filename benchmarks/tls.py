"""What the certificates of ``--cluster local`` cost a search: CPU time of all processes, with and without, in turns.

python benchmarks/tls.py IMAGE boxes.csv --runs 4
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from distributed import Security

from simsearch.runtime import open_cluster
from simsearch.runtime.clusters import processes
from simsearch.runtime.clusters.losing import address_of
from simsearch.workflows.find.search import SearchOptions, search
from simsearch.workflows.image_set import find_image_set


def cpu_s() -> float:
    """Return the CPU time of this process and of all that it started and have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class _Plain:
    """Stands for certificates where there are none."""

    @staticmethod
    def temporary() -> None:
        """Make none."""


def run(image: str, boxes: Path, has_tls: bool) -> tuple[float, float]:
    """Search once; return CPU and wall-clock seconds."""
    begin, began = cpu_s(), time.perf_counter()
    with (
        patch.object(processes, "Security", Security if has_tls else _Plain),
        patch.object(processes, "PROTOCOL", "tls://" if has_tls else "tcp://"),
        tempfile.TemporaryDirectory() as folder,
        open_cluster("local:2") as client,
    ):
        scheme = address_of(client).partition("://")[0]
        assert scheme == ("tls" if has_tls else "tcp"), scheme
        search(client, find_image_set([image]), boxes, Path(folder) / "out", SearchOptions())
    return cpu_s() - begin, time.perf_counter() - began


def main() -> None:
    """Run it on the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("boxes", type=Path)
    parser.add_argument("--runs", type=int, default=4)
    options = parser.parse_args()
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(options.runs):
        for has_tls, runs in found.items():
            runs.append(run(options.image, options.boxes, has_tls))
    for has_tls, runs in found.items():
        cpu, wall = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{'TLS' if has_tls else 'TCP'}: CPU {cpu:.2f} s, wall {wall:.2f} s (median of {options.runs})")


if __name__ == "__main__":
    main()
