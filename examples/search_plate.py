"""Search a plate from Python: convert, search, count what is found in each well.

    python examples/search_plate.py FOLDER_OF_FILES boxes.csv OUT --plate-pattern bbbc013

The boxes name fields of the plate: ``plate/A/01/0``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import simsearch as ss


def main() -> None:
    """Run it on the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with the files of a plate")
    parser.add_argument("boxes", type=Path, help="CSV: image, class, y, x, height, width")
    parser.add_argument("out", type=Path, help="folder for the plate and the results")
    parser.add_argument("--plate-pattern", required=True, help="how file names tell wells")
    parser.add_argument("--cluster", default="local", help="as of simsearch")
    given = parser.parse_args()

    plate = given.out / "plate.ome.zarr"
    with ss.open_cluster(given.cluster) as client:
        ss.convert(given.source, plate, plate_pattern=given.plate_pattern, overwrite=True, cluster=client)
        found = ss.search(plate, given.boxes, given.out / "results", overwrite=True, cluster=client)
    peaks = found.peaks()
    objects = peaks[peaks["similarity"] >= peaks["class"].map(dict(found.suggested_thresholds))]
    wells = objects["image"].str.rpartition("/")[0].rename("well")
    for (well, class_name), count in objects.groupby([wells, "class"]).size().items():
        print(f"{well}\t{class_name}\t{count}")


if __name__ == "__main__":
    main()
