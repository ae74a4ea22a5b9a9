"""Search a plate from Python: convert, measure, search, count cells for each well.

    python examples/search_plate.py FOLDER_OF_FILES boxes.csv OUT --plate-pattern bbbc013

The boxes name fields of the plate: ``plate/A/01/0``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from simsearch.io.tables.peaks import read_peaks
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.find.search import SearchOptions, search
from simsearch.workflows.image_set import find_image_set

if TYPE_CHECKING:
    from simsearch.core.peaks import Peak


def count_by_well(peaks: list[Peak], thresholds: dict[str, float]) -> Counter[tuple[str, str]]:
    """Count the peaks above each class's similarity threshold by well and class."""
    return Counter(
        (peak.image.rsplit("/", 1)[0], peak.class_name) for peak in peaks if peak.score >= thresholds[peak.class_name]
    )


def main() -> None:
    """Run it on the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("boxes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--plate-pattern", required=True)
    options = parser.parse_args()
    plate = options.out / "plate.ome.zarr"
    options.out.mkdir(parents=True, exist_ok=True)
    with open_cluster() as client:
        convert(client, [options.source], plate, ConvertOptions(plate_pattern=options.plate_pattern, overwrite=True))
        chosen = SearchOptions(overwrite=True)
        report = search(client, find_image_set([plate]), options.boxes, options.out / "results", chosen)
    counts = count_by_well(read_peaks(report.folder / "peaks.parquet"), dict(report.suggested_thresholds))
    for (well, class_name), count in sorted(counts.items()):
        print(f"{well}\t{class_name}\t{count}")


if __name__ == "__main__":
    main()
