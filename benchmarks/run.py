"""Run the benchmarks and print their tables: ``make bench``, or ``python benchmarks/run.py accuracy speed``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import date
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script of the repository, not of the installed package

from benchmarks import (
    arithmetic,
    conversion,
    detect_speed,
    gpu,
    growth,
    live,
    memory,
    results_memory,
    scale_tables,
    search_accuracy,
    search_speed,
    tile_costs,
    trunks,
    unseen,
    variants,
)

_SHARED = Path(os.environ.get("SIMSEARCH_DATA", Path(__file__).parents[2] / "shared/data"))
_METHODS = ("template", "pooled", "patchwise")


def accuracy(scratch: Path, options: argparse.Namespace) -> None:
    """Print average precision and cost on BCCD."""
    if not _SHARED.is_dir():
        print(f"accuracy: left out, no BCCD in {_SHARED} (set SIMSEARCH_DATA)")
        return
    for trunk in options.trunk:
        images = f"{options.train} training" if options.train else "72 test"
        print(f"\nBCCD, {images} images, 5 prototypes, {options.draws} draws, trunk {Path(trunk).name}")
        print("| class | method | average precision | s / megapixel |\n| --- | --- | --- | --- |")
        for score in search_accuracy.run(
            _SHARED, trunk, options.method, options.of_class, options.draws, options.train
        ):
            mean, spread = np.mean(score.average_precisions), np.std(score.average_precisions)
            cost = f"{score.seconds_per_megapixel:.2f}"
            print(f"| {score.class_name} | {score.method} | {mean:.3f} +- {spread:.3f} | {cost} |", flush=True)


def speed(scratch: Path, options: argparse.Namespace) -> None:
    """Print the cost of a search on a cluster."""
    seconds = search_speed.template_against_patchwise(scratch, options.trunk[0])
    ratio = seconds["patchwise"] / seconds["template"]
    print("\nSearch of 1,024 x 1,024 px with 48 px patches, one worker")
    print("| method | s / megapixel |\n| --- | --- |")
    for method, value in seconds.items():
        print(f"| {method} | {value:.2f} |")
    print(f"template is {ratio:.0f} times faster")


def detection(scratch: Path, options: argparse.Namespace) -> None:
    """Print the cost of models."""
    print("\nDetection with 48 px patches, s / megapixel")
    print("| where | dense | patchwise | ratio |\n| --- | --- | --- | --- |")
    places = {
        "one Dask worker, 1,024 x 1,024 px": detect_speed.on_a_worker(scratch, options.trunk[0]),
        "in process, 512 x 512 px": detect_speed.in_process(options.trunk[0]),
    }
    for place, seconds in places.items():
        dense, patchwise = seconds["dense"], seconds["patchwise"]
        print(f"| {place} | {dense:.2f} | {patchwise:.2f} | {patchwise / dense:.0f} |")


def limit(scratch: Path, options: argparse.Namespace) -> None:
    """Print what workflows cost cores in either arithmetic, what of it is arithmetic, and how far peaks move."""
    title = f"48 px patches, {options.tissue:,} px of tissue a side, one thread, CPU-s / megapixel, tiles in process"
    print(f"\n{title}\n| what | float32 | bfloat16 | ratio |\n| --- | --- | --- | --- |")
    alone = tile_costs.costs(tile_costs.open_bench(scratch, options.trunk[0], options.tissue))
    parts = {name: {each: alone[name, each] for each in arithmetic.ARITHMETICS} for name, _ in alone}
    parts["detect on one worker"], differences = arithmetic.on_a_worker(scratch, options.trunk[0], options.tissue)
    for name, costs in parts.items():
        exact, short = (costs[each] for each in arithmetic.ARITHMETICS)
        print(f"| {name} | {exact:.3f} | {short:.3f} | {exact / short:.2f} |")
    peaks = arithmetic.matrix_peaks()
    for each in arithmetic.ARITHMETICS:
        reached = arithmetic.TRUNK_OPERATIONS / parts["trunk without surroundings"][each]
        print(f"{each}: the trunk does {reached / peaks[each]:.0%} of the operations of a product of large matrices")
    print(
        f"of {differences.n_peaks:,} peaks of confidence >= {arithmetic.CONFIDENT} in float32, and those of bfloat16, "
        f"{differences.n_alone} are in one only; the others are within {differences.place:.2f} px, "
        f"and their confidences within {differences.confidence:.4f}",
        flush=True,
    )


def workers(scratch: Path, options: argparse.Namespace) -> None:
    """Print how a search scales."""
    seconds = search_speed.one_worker_against_two(scratch, options.trunk[0])
    print("\nSearch of 4,096 x 4,096 px, one thread a worker\n| workers | s |\n| --- | --- |")
    for n_workers, value in seconds.items():
        print(f"| {n_workers} | {value:.1f} |")
    print(f"two workers are {seconds[1] / seconds[2]:.2f} times faster")


def convert(scratch: Path, options: argparse.Namespace) -> None:
    """Print the speed and memory of a conversion."""
    found = conversion.costs(scratch)
    print(f"\nConversion of an 8,192 x 8,192 px RGB TIFF, medians of {len(found)}; ratios to simsearch, in turn")
    print("| way | MB / s | CPU-s | ratio of seconds | ratio of CPU-seconds |\n| --- | --- | --- | --- | --- |")
    for way in conversion.WAYS:
        seconds, cpu_seconds = (np.median([each[way][i] for each in found]) for i in range(2))
        slower, dearer = (np.median([each[way][i] / each["simsearch"][i] for each in found]) for i in range(2))
        speed = 3 * 8192**2 / 1e6 / seconds
        print(f"| {way} | {speed:.0f} | {cpu_seconds:.1f} | {slower:.2f} | {dearer:.2f} |", flush=True)
    print("\nPeak memory, 20,000 x 20,000 px RGB TIFF\n| process | MiB |\n| --- | --- |", flush=True)
    conversion.print_peaks(scratch)


def results(scratch: Path, options: argparse.Namespace) -> None:
    """Print what results of many objects cost the client."""
    print("\nResults of one slide: s, and peak MiB of the client above what its imports take")
    print("| detections | objects | step | s | MiB above imports | MiB in all |\n| --- | --- | --- | --- | --- | --- |")
    for n in (10**5, 10**6):
        found = results_memory.run(scratch, n)
        n_rows, n_objects = results_memory.count_written(scratch, n)
        for step, (seconds, mib, before) in found.items():
            print(
                f"| {n_rows:,} | {n_objects:,} | {step} | {seconds:.1f} | {mib - before:.0f} | {mib:.0f} |", flush=True
            )


def device(scratch: Path, options: argparse.Namespace) -> None:
    """Print what a GPU gains, and whether it finds the same."""
    if not torch.cuda.is_available():
        print("gpu: left out, this machine has none")
        return
    timed = gpu.run(scratch, options.trunk[0], options.tissue)
    first, second = (timed[name] for name in gpu.DEVICES)
    print(f"\n{options.tissue:,} px of tissue a side, one worker, {torch.cuda.get_device_name()}, seconds")
    print("| step | GPU | CPU | ratio |\n| --- | --- | --- | --- |")
    for step, a, b in (("search", first.search, second.search), ("detect", first.detect, second.detect)):
        print(f"| {step} | {a:.2f} | {b:.2f} | {b / a:.1f} |")
    agreement = gpu.compare(first.peaks, second.peaks)
    print(
        f"{agreement.shared:.2%} of {agreement.n_peaks:,} peaks are also found on the CPU; similarities differ by at "
        f"most {agreement.difference:.4f}; the highest that is found on the GPU only has {agreement.alone:.3f}",
        flush=True,
    )


def waits(scratch: Path, options: argparse.Namespace) -> None:
    """Print how long a person waits for suggestions."""
    print("\nSuggestions on six displayed images of 2,048 x 2,048 px\n| what | ms |\n| --- | --- |")
    for what, seconds in live.run(side=2048, n_prototypes=8):
        print(f"| {what} | {1000 * seconds:.1f} |", flush=True)


def memory_of(scratch: Path, options: argparse.Namespace) -> None:
    """Print peak memory on a small and on a large slide."""
    small, large = options.sides
    for workflow in options.workflow:
        found = memory.peaks(scratch, workflow, (small, large))
        seconds = ", ".join(f"{each.seconds:.0f} s" for each in found.values())
        print(f"\nPeak memory of {workflow}, slides of {small:,} and {large:,} px full of tissue ({seconds})")
        print(f"| process | before | {small:,} px, MiB | {large:,} px, MiB | ratio |\n| --- | --- | --- | --- | --- |")
        for process, peak in found[large].peaks_mib.items():
            before, first = found[large].idle_mib[process], found[small].peaks_mib[process]
            print(f"| {process} | {before:.0f} | {first:.0f} | {peak:.0f} | {peak / first:.2f} |", flush=True)


def scale(scratch: Path, options: argparse.Namespace) -> None:
    """Print what a slide of 100,000 px and a plate of 384 wells cost."""
    for part in options.part:
        scale_tables.print_part(part, scratch, options)


def grow(scratch: Path, options: argparse.Namespace) -> None:
    """Print how cost grows as work grows."""
    print("\n| what | amount | CPU-s | MiB more | exponents of CPU, memory |\n| --- | --- | --- | --- | --- |")
    for name, steps in growth.run(scratch):
        amounts, cpu_seconds, mib = zip(*steps, strict=True)
        slopes = growth.exponent(amounts, cpu_seconds), growth.exponent(amounts, [max(1.0, each) for each in mib])
        columns = (
            ", ".join(f"{each:{form}}" for each in values)
            for values, form in ((amounts, ",.0f"), (cpu_seconds, ".2f"), (mib, ".0f"), (slopes, ".2f"))
        )
        print(f"| {name} |", " | ".join(columns), "|", flush=True)


def judge(scratch: Path, options: argparse.Namespace) -> None:
    """Print the average precision of trunks, side by side, and what ways to search change."""
    if not _SHARED.is_dir():
        print(f"trunks: left out, no images in {_SHARED} (set SIMSEARCH_DATA)")
        return
    images, draws = (12, 3) if options.quick else (0, 10)
    judges: trunks.Judges = "mixed" if options.mixed else "micrographs" if options.micrographs else "own"
    plan = trunks.Plan("val" if options.val else "test", images, draws, judges)
    chosen = variants.VARIANTS if options.variants else variants.VARIANTS[:1]
    path = scratch / "trunks.jsonl"
    trunks.run(_SHARED, plan, trunks.load_trunks(options.trunk), chosen, path)
    print(f"\nTrunks, {plan.key} (split, images, draws)")
    lines = trunks.read_results(path)
    trunks.print_trunks(lines, plan)
    if options.variants:
        print("\nVariants: mean average precision over judges, and the change")
        trunks.print_variants(lines, plan)


def nearness(scratch: Path, options: argparse.Namespace) -> None:
    """Print how near trunks are to the first one on images of kinds that none was trained on."""
    if not _SHARED.is_dir():
        print(f"unseen: left out, no images in {_SHARED} (set SIMSEARCH_DATA)")
        return
    loaded = trunks.load_trunks(options.trunk)
    unseen.run(_SHARED, loaded, next(iter(loaded.values())), options.more)


_BENCHMARKS = {
    "trunks": judge,
    "unseen": nearness,
    "accuracy": accuracy,
    "speed": speed,
    "detection": detection,
    "limit": limit,
    "workers": workers,
    "convert": convert,
    "results": results,
    "gpu": device,
    "live": waits,
    "memory": memory_of,
    "scale": scale,
    "growth": grow,
}


def main() -> None:
    """Run the chosen benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(_BENCHMARKS), help=", ".join(_BENCHMARKS))
    parser.add_argument(
        "--trunk",
        action="append",
        help="bundled, imagenet, a file, or random; several for accuracy and trunks",
    )
    parser.add_argument("--method", action="append", help="for accuracy; several")
    parser.add_argument("--of-class", action="append", help="for accuracy: RBC, WBC, Platelets; several")
    parser.add_argument("--train", type=int, default=0, help="for accuracy: judge on so many training images instead")
    parser.add_argument("--draws", type=int, default=5, help="for accuracy: how often prototypes are drawn")
    parser.add_argument("--workflow", action="append", help="for memory: detect, segment; several")
    parser.add_argument("--sides", type=int, nargs=2, default=(2048, 16_384), help="for memory: of the slides, in px")
    parser.add_argument("--part", action="append", help=f"for scale: {', '.join(scale_tables.PARTS)}; several")
    parser.add_argument("--budget", type=float, default=240, help="for scale: seconds in which tiles are computed")
    parser.add_argument("--side", type=int, default=100_000, help="for scale: of the slide, in px")
    parser.add_argument("--tissue", type=int, default=8192, help="for gpu and limit: side of the slide in px")
    parser.add_argument("--wells", type=int, default=384, help="for scale: of the plate")
    parser.add_argument("--tiles", type=int, default=5000, help="for scale --part overhead: at most")
    parser.add_argument("--quick", action="store_true", help="for trunks: few images and draws")
    parser.add_argument("--val", action="store_true", help="for trunks: the validation split, to choose by")
    parser.add_argument("--mixed", action="store_true", help="for trunks: classes of two kinds that look different")
    parser.add_argument("--micrographs", action="store_true", help="for trunks: organelles in drawn micrographs")
    parser.add_argument("--more", type=Path, help="for unseen: a folder of PNG images of another kind")
    parser.add_argument("--variants", action="store_true", help="for trunks: other ways to search with them too")
    options = parser.parse_args()
    options.trunk = options.trunk or ["bundled"]
    options.method, options.of_class = options.method or _METHODS, options.of_class or tuple(search_accuracy.PATCHES)
    options.workflow, options.part = options.workflow or memory.WORKFLOWS, options.part or scale_tables.PARTS
    scratch = Path(__file__).parent / "scratch"
    scratch.mkdir(exist_ok=True)
    cpu = next((line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")), "unknown CPU")
    print(f"{date.today()}, {cpu}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in options.names:
        _BENCHMARKS[name](scratch, options)


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
