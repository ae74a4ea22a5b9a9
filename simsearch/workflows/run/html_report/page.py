"""The page of a run, written as one file that needs no other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from simsearch.core.checks.names import natural_key
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.io.places import write_whole
from simsearch.io.tables.records.results_folder import PAGE_NAME
from simsearch.workflows.run.html_report.agreement import disagreements
from simsearch.workflows.run.html_report.facts import gather_facts
from simsearch.workflows.run.html_report.methods import dose_rows, methods
from simsearch.workflows.run.html_report.numbers import counted, listed, percent, short, tidy, within
from simsearch.workflows.run.html_report.pictures import figure_uri, find_examples, overlay_uris
from simsearch.workflows.run.image_counts import share_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Template

    from simsearch.workflows.run.html_report.facts import RunFacts
    from simsearch.workflows.run.results import PlateResult

_MOST_ROWS = 400  # of a table; all are in the CSV file
_TREATMENT = ("role", "drug", "compound", "treatment", "dose", "concentration")
# Also surrogates, which are no text, and what turns the direction of text around.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class HtmlReport:
    """A page that was written."""

    path: Path
    """The file."""
    notes: tuple[str, ...]
    """What is not on it, and why."""


def write_html_report(folder: Path, path: Path | None = None) -> HtmlReport:
    """Write a page of a run: methods in words for a paper, tables, figures, examples, and how it was made.

    Parameters
    ----------
    folder : Path
        Results of `detect` or `segment`.
    path : Path, optional
        The file; by default ``run.html`` in the folder.

    Raises
    ------
    StoreError
        If there are no such results, or the file cannot be written.
    AnnotationError
        If a table that the page is made of is damaged; what is missing beside it is a note.
    """
    facts = gather_facts(folder)
    examples, missing = find_examples(facts)
    target = path or folder / PAGE_NAME
    notes = (*facts.notes, *disagreements(facts.result, facts.record), *missing)
    text = _template().render(_content(facts), examples=examples, notes=notes)
    with store_errors(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, text.encode("utf-8", "replace"))
    return HtmlReport(target, notes)


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined, finalize=_shown,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "short": short, "within": within}
    environment.filters |= {"number": "{:,}".format, "tidy": tidy}
    return environment.get_template("page.html")


def _shown(value: Any) -> Any:  # noqa: ANN401  whatever a template writes
    """Show that there are control characters in a name, and none of what they do; markup of the template stays."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value


def _content(facts: RunFacts) -> dict[str, Any]:
    result = facts.result
    return {
        "title": _title(facts),
        "subtitle": _subtitle(facts),
        "finished": _when(result.finished),
        "classes": [_class_row(facts, name) for name in result.classes],
        "methods": methods(facts),
        "plates": [_plate(plate, result.classes) for plate in result.plates],
        "doses": dose_rows(facts),
        "sample": facts.sample,
        "images": _images(facts),
        "most_rows": _MOST_ROWS,
        "areas": result.areas[:_MOST_ROWS],
        "overlays": overlay_uris(facts),
        "colors": {name: facts.color(name) for name in result.classes},
        "failures": result.failures,
        "provenance": _provenance(facts),
    }


def _title(facts: RunFacts) -> str:
    plates = [plate.name for plate in facts.result.plates]
    if 0 < len(plates) <= 3:
        return listed(plates)
    return facts.study.folder.absolute().name if facts.study else facts.result.folder.absolute().name


def _subtitle(facts: RunFacts) -> str:
    result = facts.result
    images = counted(result.n_images, "image")
    if result.kind == "segment":
        return f"Areas of {counted(len(result.classes), 'class', 'classes')} in {images}"
    n_objects = sum(result.n_objects.values())
    return f"{counted(n_objects, 'object')} of {counted(len(result.classes), 'class', 'classes')} in {images}"


def _class_row(facts: RunFacts, name: str) -> dict[str, Any]:
    result = facts.result
    estimate = next((each.estimate for each in facts.sample if each.class_name == name), None)
    shares = [area.of_tissue if area.of_tissue is not None else area.of_image
              for area in result.areas if area.class_name == name]  # fmt: skip
    return {
        "name": name,
        "n": result.n_objects.get(name, 0),
        "share": share_in(result.n_objects, name, result.aside) if result.n_objects else None,
        "threshold": result.confidence_thresholds.get(name),
        "area": sum(shares) / len(shares) if shares else None,
        "precision": estimate.precision if estimate else None,
        "is_aside": name in result.aside,
    }


def _plate(plate: PlateResult, classes: Sequence[str]) -> dict[str, Any]:
    known = {name for well in plate.wells for name, value in well.treatment.items() if value}
    return {
        "name": plate.name,
        "heat_maps": figure_uri(plate.heat_maps),
        "curves": figure_uri(plate.curves),
        "columns": [name for name in _TREATMENT if name in known],
        "wells": plate.wells[:_MOST_ROWS],
        "n_wells": len(plate.wells),
    }


def _images(facts: RunFacts) -> list[dict[str, Any]]:
    """List images with their objects; of plates only those outside: the wells have the others."""
    plates = {plate.name for plate in facts.result.plates}
    outside = (each for each in facts.result.images if each.image.partition("/")[0] not in plates)
    ordered = sorted(outside, key=lambda each: natural_key(each.image))
    return [{"name": each.image, "counts": each.counts, "total": each.total} for each in ordered]


def _provenance(facts: RunFacts) -> list[tuple[str, str]]:
    record, result, options = facts.record, facts.result, facts.record.get("options", {})
    rows: Mapping[str, str] = {
        "run": f"{record.get('workflow')} {result.id}",
        "finished": result.finished,
        "fingerprint": str(record.get("run", "")),
        "study": str(facts.study.folder.absolute().name) if facts.study else "",
        "study created": facts.study.created if facts.study else "",
        "model": facts.model.id if facts.model else "",
        "model file": str(record.get("model", "")).rpartition("@")[0],
        "model sha256": result.model,
        "trunk": str(record.get("trunk", "")),
        "arithmetic": str(record.get("arithmetic", "")),
        "options": ", ".join(f"{name} {value}" for name, value in options.items() if value is not None),
        "confidence thresholds": _pairs(result.confidence_thresholds.items()),
        "not counted in shares": ", ".join(result.aside),
        "image set": _image_set(record, facts),
        "versions": _pairs({"Python": record.get("python", ""), **record.get("versions", {})}.items()),
        "results": str(result.folder.absolute()),
    }
    return [(name, value) for name, value in rows.items() if value]


def _pairs(items: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in items)


def _image_set(record: Mapping[str, Any], facts: RunFacts) -> str:
    places = [*record.get("plates", ())] or [*record.get("images", ())]
    named = ", ".join(map(str, places[:3])) + (f" and {len(places) - 3:,} more" if len(places) > 3 else "")
    return f"{counted(facts.result.n_images, 'image')}: {named}" if places else counted(facts.result.n_images, "image")


def _when(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%d %B %Y, %H:%M %Z}".strip()
    except ValueError:
        return text
