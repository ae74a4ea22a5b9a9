"""Runs of a model that was never trained: what it is to have found is chosen by a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from simsearch.core.peaks import Peak, peak_columns
from simsearch.core.synthetic import CYTOPLASM, NUCLEUS
from simsearch.curation.actions import AddClass, Batch
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.io.tables.peaks import write_detections
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.run.objects import write_objects
from simsearch.workflows.run.results import RESULTS_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simsearch.app.session.live import LiveStudy
    from simsearch.core.synthetic import Cell, CellField
    from simsearch.workflows.curate.study import Study

CLASSES = {CYTOPLASM: "cytoplasm", NUCLEUS: "nucleus"}
SIDE = 40.0
THRESHOLDS = {"cytoplasm": 0.5, "nucleus": 0.5}


def draw_classes(live: LiveStudy, field: CellField) -> None:
    """Draw a box of each class on image a."""
    for (kind, name), color in zip(CLASSES.items(), ("#e69f00", "#56b4e9"), strict=True):
        height, width = field.image.shape[1:]
        cell = next(
            each
            for each in field.cells
            if each.class_name == kind
            and SIDE / 2 < each.y < height - SIDE / 2
            and SIDE / 2 < each.x < width - SIDE / 2
        )
        box = AddPrototypes(name, (Patch.at("a", cell.y, cell.x),), (SIDE, SIDE))
        live.act("ada", Batch(f"draw a {name}", (AddClass(name, color), box)))


def whole_cells(field: CellField) -> list[Cell]:
    """List the cells whose centres lie well inside."""
    height, width = field.image.shape[1:]
    return [cell for cell in field.cells if 5 < cell.y < height - 5 and 5 < cell.x < width - 5]


def found_cells(fields: Mapping[str, CellField], *, n_swapped: int = 0) -> list[Peak]:
    """Find all cells of some images, the surer the higher up they lie; the surest of each image as another class."""
    peaks = []
    for image, field in fields.items():
        cells = sorted((cell for cell in whole_cells(field) if cell.class_name in CLASSES), key=lambda cell: cell.y)
        for rank, cell in enumerate(cells):
            name = CLASSES[cell.class_name]
            if rank < n_swapped:
                name = next(other for other in THRESHOLDS if other != name)
            peaks.append(Peak(image, name, cell.y, cell.x, (SIDE, SIDE), 0.99 - 0.6 * rank / len(cells)))
    return peaks


def plant_run(study: Study, name: str, peaks: Sequence[Peak], day: int = 1) -> None:
    """Write what a detection on all images of a study leaves."""
    folder = study.folder / RESULTS_NAME / name
    folder.mkdir(parents=True)
    images = study_images(study)
    write_detections(peak_columns(peaks), {image.name: image for image in images}, "ab" * 32, folder)
    (folder / "run.json").write_text("{}")
    report = write_objects(folder, THRESHOLDS, [], [image.path for image in images], "ab" * 32)
    run = {
        "workflow": "detect",
        "finished": f"2026-01-{day:02d}T00:00:00+00:00",
        "model": f"m.safetensors@{'ab' * 32}",
        "header": {"classes": ["background", *THRESHOLDS]},
        "options": {"floor": 0.05},
        "plates": [],
        "images": [image.path for image in images],
        "confidence_thresholds": THRESHOLDS,
        "report": {"n_images": len(images), "n_objects": dict(report.n_objects), "failures": []},
    }
    (folder / "run.json").write_text(json.dumps(run))
