"""Stained tissue segmented into three classes (paper section 3.2, figure 7), on the image that scikit-image ships.

    python examples/tissue.py OUT

Sixteen boxes, drawn by hand, stand for the person; areas of each class are printed, and OUT/results/overlays has the
picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import skimage.data

from simsearch.curation.actions import AddClass, Batch
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.io.pictures.overlay import CLASS_COLORS
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.curate.headless import CurateOptions, curate
from simsearch.workflows.curate.study import StudyOptions, create_study, open_curation, read_curation
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn.train import TrainOptions, train_study
from simsearch.workflows.run.segment import SegmentOptions, segment

SIDE = 48.0
BOXES = {
    "DAB at membranes": ((80, 60), (150, 120), (100, 400), (380, 90), (390, 310), (200, 350)),
    "no DAB": ((270, 210), (280, 300), (330, 180), (60, 480), (200, 484), (330, 420)),
    "lumen": ((345, 24), (368, 24), (405, 24), (412, 445)),
}
"""Centres of the boxes, y and x in pixels."""


def main(out: Path) -> None:
    """Run all of it."""
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "tissue.npy", skimage.data.immunohistochemistry().transpose(2, 0, 1))
    image = out / "tissue.ome.zarr"
    with open_cluster() as client:
        convert(client, [out / "tissue.npy"], image, ConvertOptions(channel_names=("Red", "Green", "Blue")))
        study = create_study(out / "study", [image], StudyOptions())
        with open_curation(study) as journal:
            for index, (name, centres) in enumerate(BOXES.items()):
                drawn = AddPrototypes(name, tuple(Patch.at("tissue", y, x) for y, x in centres), (SIDE, SIDE))
                added = AddClass(name, CLASS_COLORS[index].lower())
                journal.append("example", Batch(f"draw {name}", (added, drawn)))
        curate(client, study, "example", CurateOptions(accept=True, n_background=0))  # the classes cover all there is
        curation = read_curation(study)[0].state
        model = train_study(client, study, curation, TrainOptions(beside=False)).model
        report = segment(client, find_image_set([image]), model, out / "results", SegmentOptions(tissue_mask=False))
    for name, n_pixels in report.images[0].n_pixels.items():
        print(f"{name}: {n_pixels / report.images[0].n_image:.0%}")
    print(f"overlay: {report.folder / 'overlays/tissue.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
