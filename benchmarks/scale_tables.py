"""The tables of the benchmark of scale, and the figures that one part keeps for the next."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.cost_model import Costs, Job, core_hours, useful_workers, wall_seconds
from benchmarks.scale import overhead_ms, sample, whole, write_subject
from benchmarks.sliding_window import compare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from benchmarks.scale import Sample, Subject

_N_WORKERS = (1, 2)
_AT = (1, 8, 64)
_TISSUE_SHARES = (0.1, 0.3, 1.0)
_FIGURES = "scale.json"  # of runs before, on this machine


def print_part(part: str, scratch: Path, options: argparse.Namespace) -> None:
    """Run a part of the benchmark and print it; what it writes in a folder of its own is removed."""
    print(f"\nload average {os.getloadavg()[0]:.1f} at the start, budget {options.budget:g} s")
    parts: dict[str, Callable[[Path, argparse.Namespace], None]] = {
        "slide": _print_samples("slide"),
        "plate": _print_samples("plate"),
        "whole": _print_whole,
        "overhead": _print_overhead,
        "usual": _print_usual,
        "model": _print_model,
    }
    parts[part](scratch, options)


PARTS = ("overhead", "slide", "plate", "usual", "model", "whole")


def _print_samples(name: str) -> Callable[[Path, argparse.Namespace], None]:
    def print_them(scratch: Path, options: argparse.Namespace) -> None:
        with TemporaryDirectory(dir=scratch) as folder:
            subject = _written(name, folder, options)
            print("| workers | tiles | with tissue | computed | s | Mpx / s | whole, s | peak MiB |")
            print("| --- | --- | --- | --- | --- | --- | --- | --- |")
            for n_workers in _N_WORKERS:
                found = sample(subject, n_workers, options.budget / len(_N_WORKERS))
                print(_sample_row(found), flush=True)
        print("whole: extrapolated from the tiles computed, unless those are all; without writing results")
        _keep(scratch, name, _figures(found))

    return print_them


def _sample_row(found: Sample) -> str:
    speed, share = found.megapixels / found.seconds, found.n_tissue / found.n_done
    peaks = ", ".join(f"{process} {value:.0f}" for process, value in found.peaks_mib.items())
    whole_s = f"{found.planning_s + share * found.seconds:.0f}{'' if found.is_whole else ' (extrapolated)'}"
    tiles = f"{found.n_tiles} | {found.n_tissue} | {found.n_done}"
    return f"| {found.n_workers} | {tiles} | {found.seconds:.0f} | {speed:.2f} | {whole_s} | {peaks} |"


def _print_whole(scratch: Path, options: argparse.Namespace) -> None:
    with TemporaryDirectory(dir=scratch) as folder:
        subject = _written("slide", folder, options)
        seconds, peaks = whole(subject, max(_N_WORKERS))
    print(f"simsearch detect on all of it, {max(_N_WORKERS)} workers")
    print("| step | s |\n| --- | --- |")
    for step, value in seconds.items():
        print(f"| {step} | {value:.1f} |")
    print("| process | peak MiB |\n| --- | --- |")
    for process, value in peaks.items():
        print(f"| {process} | {value:.0f} |")


def _print_overhead(scratch: Path, options: argparse.Namespace) -> None:
    found = {}
    with TemporaryDirectory(dir=scratch) as folder:
        subject = _written("slide", folder, options)
        print("| workers | tiles that do nothing | ms / tile |\n| --- | --- | --- |")
        for n_workers in _N_WORKERS:
            n_tiles, found[n_workers] = overhead_ms(subject, n_workers, options.tiles)
            print(f"| {n_workers} | {n_tiles} | {found[n_workers]:.2f} |", flush=True)
    _keep(scratch, "overhead", {"ms": found[max(_N_WORKERS)]})


def _print_usual(scratch: Path, options: argparse.Namespace) -> None:
    with TemporaryDirectory(dir=scratch) as folder:
        speeds = compare(Path(folder))
    ours = next(iter(speeds.values()))
    print("\n48 px patches, one process, two threads\n| way | Mpx / s | simsearch is faster by |\n| --- | --- | --- |")
    for way, speed in speeds.items():
        print(f"| {way} | {speed:.3f} | {ours / speed:.1f} |")


def _print_model(scratch: Path, options: argparse.Namespace) -> None:
    kept = _kept(scratch)
    missing = [name for name in ("overhead", "slide", "plate") if name not in kept]
    if missing:
        print(f"model: left out, no figures of {', '.join(missing)}: run scale --part for each of them first")
        return
    overhead_s = kept["overhead"]["ms"] / 1000
    slide, plate = kept["slide"], kept["plate"]
    slide_costs, plate_costs = _costs(slide, overhead_s), _costs(plate, overhead_s)
    jobs = [
        (f"slide, {share:.0%} tissue", replace(_job(slide), n_tiles=round(share * slide["n_tiles"])), slide_costs)
        for share in _TISSUE_SHARES
    ]
    print("\nHours and core-hours, those of client and scheduler included")
    print("| job | tiles | Mpx | " + " | ".join(f"{n} workers" for n in _AT) + " | useful workers |")
    print("|" + " --- |" * (len(_AT) + 4))
    for name, job, costs in [*jobs, ("plate", _job(plate), plate_costs)]:
        times = " | ".join(f"{wall_seconds(job, costs, n) / 3600:.2f}, {core_hours(job, costs, n):.2f}" for n in _AT)
        print(f"| {name} | {job.n_tiles} | {job.megapixels:.0f} | {times} | {useful_workers(job, costs):.0f} |")
    measured = f"slide {slide_costs.seconds_per_megapixel:.2f}, plate {plate_costs.seconds_per_megapixel:.2f}"
    print(f"from: core-seconds / Mpx of {measured}; {1000 * overhead_s:.2f} ms / tile of client and scheduler")
    limit = _job(slide).tile_megapixels / overhead_s
    print(
        "GPU-hours: not measured. With V Mpx / s a GPU, N GPUs take max(Mpx / (V N), tiles x ms / tile); one scheduler"
    )
    print(f"one scheduler hands out at most {limit:.0f} Mpx / s in tiles of this size, more in larger ones")


def _written(name: str, folder: str, options: argparse.Namespace) -> Subject:
    subject = write_subject(name, Path(folder), side=options.side, n_wells=options.wells)
    size = f"{options.side:,} x {options.side:,} px" if name == "slide" else f"{options.wells} wells x 9 fields"
    print(f"{name} of {size}: written in {subject.seconds:.0f} s, {subject.disk_mb:.0f} MB on disk")
    return subject


def _figures(found: Sample) -> dict[str, float]:
    return {
        "n_tiles": found.n_tiles,
        "n_tissue": found.n_tissue,
        "tile_megapixels": found.job.tile_megapixels,
        "seconds_per_megapixel": found.costs.seconds_per_megapixel,
        "fixed_s": found.costs.fixed_s,
    }


def _job(figures: dict[str, float]) -> Job:
    return Job(round(figures["n_tissue"]), figures["tile_megapixels"])


def _costs(figures: dict[str, float], overhead_s: float) -> Costs:
    return Costs(figures["seconds_per_megapixel"], overhead_s, figures["fixed_s"])


def _keep(scratch: Path, name: str, figures: dict[str, float]) -> None:
    (scratch / _FIGURES).write_text(json.dumps({**_kept(scratch), name: figures}, indent=1))


def _kept(scratch: Path) -> dict[str, dict[str, float]]:
    path = scratch / _FIGURES
    return json.loads(path.read_text()) if path.exists() else {}
