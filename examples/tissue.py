"""Stained tissue segmented into three classes (paper section 3.2, figure 7), on the image that scikit-image ships.

    python examples/tissue.py OUT

Sixteen boxes, drawn by hand, stand for the person; areas of each class are printed, and OUT/results/overlays has the
picture.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import skimage.data

import simsearch as ss

SIDE = 48
BOXES = {
    "DAB at membranes": ((80, 60), (150, 120), (100, 400), (380, 90), (390, 310), (200, 350)),
    "no DAB": ((270, 210), (280, 300), (330, 180), (60, 480), (200, 484), (330, 420)),
    "lumen": ((345, 24), (368, 24), (405, 24), (412, 445)),
}
"""Centres of the boxes, y and x in pixels."""


def write_boxes(path: Path) -> None:
    """Write the boxes as a study imports them."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "class", "role", "y", "x", "height", "width"))
        rows.writerows(("tissue", name, "prototype", *centre, SIDE, SIDE) for name in BOXES for centre in BOXES[name])


def main() -> None:
    """Run it on the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the image, the study and the results")
    parser.add_argument("--cluster", default="local", help="as of simsearch")
    given = parser.parse_args()

    out, image = given.out, given.out / "tissue.ome.zarr"
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "tissue.npy", skimage.data.immunohistochemistry().transpose(2, 0, 1))
    write_boxes(out / "boxes.csv")
    with ss.open_cluster(given.cluster) as client:
        ss.convert(out / "tissue.npy", image, channel_names=["Red", "Green", "Blue"], cluster=client)
        study = ss.study.create(out / "study", image)
        ss.study.import_(study, out / "boxes.csv")
        # The classes cover all there is, so there is no background.
        ss.study.suggest(study, accept=True, n_background=0, cluster=client)
        model = ss.train(study, beside=False, cluster=client).model
        segmented = ss.segment(model, image, out / "results", tissue_mask=False, cluster=client)
    areas = segmented.areas()
    for name, share in zip(areas["class"], areas["fraction_of_image"], strict=True):
        print(f"{name}: {share:.0%}")
    print(f"overlay: {segmented.folder / 'overlays/tissue.png'}")


if __name__ == "__main__":
    main()
