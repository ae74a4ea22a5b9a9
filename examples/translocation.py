"""GFP translocation on BBBC013 (paper section 3.1, figure 4): curate, train, run over the plate, fit the doses.

    python examples/translocation.py BBBC013_FOLDER OUT

The folder has the plate's images, platemap.csv, and cells_piximi.csv with labelled cells of four wells. A simulated
user picks five prototypes of each class among these, flags five negatives and accepts what is labelled so.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from simsearch.core.dose_response import fit_dose_response, z_prime
from simsearch.io.pictures.dose_curves import DosePanel, draw_dose_response
from simsearch.io.tables.peaks import read_peaks
from simsearch.io.tables.truth import TrueObject
from simsearch.runtime import open_cluster
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import StudyOptions, create_study
from simsearch.workflows.image_set import find_image_set
from simsearch.workflows.learn.train import TrainOptions, train_study
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.plate_summary import summarise_wells, write_well_table

CLASSES = ("NuclearGFP", "CytoplasmicGFP", "NoGFP")
DISPLAYED = tuple(f"plate/{well}/0" for well in ("A/01", "B/01", "A/12", "B/12", "A/06", "E/06"))
CONFIDENCE = 0.65  # the paper's


def read_cells(path: Path) -> list[TrueObject]:
    """Read labelled cells; those without a label are of the class Unknown."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [
        TrueObject(f"plate/{r['well'][0]}/{r['well'][1:]}/0", r["label"], float(r["cy"]), float(r["cx"])) for r in rows
    ]


def main(source: Path, out: Path) -> None:
    """Run all of it."""
    plate = out / "plate.ome.zarr"
    with open_cluster() as client:
        chosen = ConvertOptions(
            plate_pattern="bbbc013", plate_map=source / "platemap.csv", channel_names=("GFP", "DNA")
        )
        convert(client, [source], plate, chosen)
        study = create_study(out / "study", [plate], StudyOptions(display=DISPLAYED))
        curation = simulate_curation(
            client, study, read_cells(source / "cells_piximi.csv"), Behaviour(CLASSES, (48, 48))
        )
        model = train_study(client, study, curation, TrainOptions()).model
        report = detect(client, find_image_set([plate]), model, out / "results", DetectOptions())
    peaks = read_peaks(report.folder / "detections.parquet")
    wells = summarise_wells(peaks, plate, dict.fromkeys(CLASSES, CONFIDENCE))
    write_well_table(wells, out / "wells.csv")
    panels = []
    for drug in ("Wortmannin", "LY294002"):
        rows = [w for w in wells if w.treatment["drug"] == drug and w.treatment["role"] != "empty"]
        doses = np.array([float(w.treatment["dose"]) for w in rows])
        fractions = {name: np.array([w.fraction(name) for w in rows]) for name in CLASSES}
        fits = {name: fit_dose_response(doses, fractions[name]) for name in CLASSES[:2]}
        panels.append(DosePanel(drug, rows[0].treatment["unit"], doses, fractions, fits))
        nuclear, roles = fractions["NuclearGFP"], np.array([w.treatment["role"] for w in rows])
        z = z_prime(nuclear[roles == "positive_control"], nuclear[roles == "negative_control"])
        low, high = fits["NuclearGFP"].ec50_interval
        print(f"{drug}: EC50 {fits['NuclearGFP'].ec50:.3g} ({low:.3g} to {high:.3g}) {panels[-1].unit}, Z' {z:.2f}")
    draw_dose_response(panels, out / "translocation.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
