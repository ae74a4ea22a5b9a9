"""GFP translocation on BBBC013 (paper section 3.1, figure 4): curate, train, run over the plate, fit the doses.

    python examples/translocation.py BBBC013_FOLDER OUT

The folder has the plate's images, platemap.csv, and cells_piximi.csv with labelled cells of four wells. A simulated
user picks five prototypes of each class among these, flags five negatives and accepts what is labelled so. Only these
wells are displayed: where no cell is labelled, this user would flag each one. Cells without GFP cannot respond, so that
shares are of those with GFP. What the wells hold is in OUT/results/plates/plate, the curves as a picture too.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import simsearch as ss

CLASSES = ("NuclearGFP", "CytoplasmicGFP", "NoGFP")
LABELLED = ("plate/A/01/0", "plate/B/01/0", "plate/A/12/0", "plate/B/12/0")
CONFIDENCE = 0.65  # the paper's


def write_truth(cells: Path, truth: Path) -> None:
    """Write where labelled cells are, as simsearch reads it; those without a label are of the class Unknown."""
    with cells.open() as source, truth.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "class", "y", "x"))
        for cell in csv.DictReader(source):
            row, column = cell["well"][0], cell["well"][1:]
            rows.writerow((f"plate/{row}/{column}/0", cell["label"], cell["cy"], cell["cx"]))


def main() -> None:
    """Run it on the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with BBBC013, platemap.csv and cells_piximi.csv")
    parser.add_argument("out", type=Path, help="folder for the plate, the study and the results")
    parser.add_argument("--cluster", default="local", help="as of simsearch")
    given = parser.parse_args()

    source, out, plate = given.source, given.out, given.out / "plate.ome.zarr"
    out.mkdir(parents=True, exist_ok=True)
    write_truth(source / "cells_piximi.csv", out / "truth.csv")
    with ss.open_cluster(given.cluster) as client:
        ss.convert(
            source, plate, plate_pattern="bbbc013", plate_map=source / "platemap.csv", channel_names=["GFP", "DNA"],
            cluster=client,
        )  # fmt: skip
        study = ss.study.create(out / "study", plate, display=LABELLED)
        ss.study.simulate(study, out / "truth.csv", classes=CLASSES, patch_shape=(48, 48), cluster=client)
        model = ss.train(study, cluster=client).model
        ss.detect(model, plate, out / "results", cluster=client)
    doses = ss.rethreshold(out / "results", dict.fromkeys(CLASSES, CONFIDENCE), aside=["NoGFP"]).dose_response()
    for fit in doses[doses["class"] == "NuclearGFP"].itertuples():
        print(f"{fit.drug}: EC50 {fit.ec50:.4g} ({fit.low:.4g} to {fit.high:.4g}) {fit.unit}, Z' {fit.z_prime:.2f}")


if __name__ == "__main__":
    main()
