"""What a run gave, written for scripts to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsearch.app.components.files import file_part, picture_part
from simsearch.app.server.downloads import archive_name, download_key, page_name
from simsearch.io.tables.peaks import well_and_field
from simsearch.io.tables.records.results_folder import PAGE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.app.urls import Urls
    from simsearch.workflows.run.results import PlateResult, ResultView

_N_OVERLAYS = 60  # pictures that are shown; all can be downloaded


def summary_part(result: ResultView) -> dict[str, Any]:
    """Write a run in short, for a script to draw."""
    return {
        "id": result.id,
        "kind": result.kind,
        "finished": result.finished,
        "n_images": result.n_images,
        "n_objects": sum(result.n_objects.values()),
        "n_failed": len(result.failures),
    }


def counts_part(result: ResultView) -> dict[str, Any]:
    """Write what a run counted, for a script to draw."""
    return {
        "classes": result.classes,
        "counts": result.n_objects,
        "images": [{"image": each.image, "counts": each.counts} for each in result.images],
        "regions": [
            {"image": each.image, "name": each.name, "pixels": each.pixels, "counts": each.counts}
            for each in result.regions
        ],
    }


def run_part(result: ResultView, urls: Urls) -> dict[str, Any]:
    """Write what a run gave, for a script to draw."""
    return {
        **summary_part(result),
        "model": result.model[:12],
        **counts_part(result),
        "thresholds": result.confidence_thresholds,
        "aside": result.aside,
        "plates": [plate_part(plate, urls, _first_fields(result), result.folder) for plate in result.plates],
        "areas": [
            {"image": a.image, "class": a.class_name, "mm2": a.mm2, "tissue": a.of_tissue, "share": a.of_image}
            for a in result.areas
        ],
        "overlays": [picture_part(path, urls, result.folder) for path in result.overlays[:_N_OVERLAYS]],
        "labels": result.labels,
        "failures": [{"image": name, "message": message} for name, message in result.failures],
        "files": [file_part(path, urls, result.folder) for path in result.files],
        "page": {"name": page_name(result), "url": urls.download(download_key(result.folder / PAGE_NAME))},
        "archive": {"name": archive_name(result), "url": urls.download(download_key(result.folder))},
        "folder": str(result.folder),
    }


def plate_part(plate: PlateResult, urls: Urls, fields: Mapping[tuple[str, str], str], folder: Path) -> dict[str, Any]:
    """Write a plate for a script to draw; `fields` are the first of each plate and well, `folder` is the run's."""
    return {
        "name": plate.name,
        "wells": [
            {
                "well": each.well,
                "image": fields.get((plate.name, each.well)),
                "row": each.row,
                "column": each.column,
                "treatment": each.treatment,
                "counts": each.counts,
                "fractions": each.fractions,
            }
            for each in plate.wells
        ],
        "doses": [
            {
                "drug": dose.drug,
                "class": dose.class_name,
                "ec50": dose.ec50,
                "interval": dose.interval,
                "unit": dose.unit,
                "bottom": dose.bottom,
                "top": dose.top,
                "slope": dose.slope,
                "z": dose.z_prime,
            }
            for dose in plate.doses
        ],
        "heat_maps": picture_part(plate.heat_maps, urls, folder) if plate.heat_maps else None,
        "curves": picture_part(plate.curves, urls, folder) if plate.curves else None,
    }


def _first_fields(result: ResultView) -> dict[tuple[str, str], str]:
    fields: dict[tuple[str, str], str] = {}
    for each in result.images:
        well, _ = well_and_field(each.image)
        if well is not None:
            fields.setdefault((each.image.split("/")[0], well), each.image)
    return fields
