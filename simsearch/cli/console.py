"""What the command line prints: progress, tables and what to try next."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simsearch.api.progress import draw_progress
from simsearch.core.accuracy.metrics import best_f1
from simsearch.core.boxes import shapes_in_words
from simsearch.curation.checks import count
from simsearch.errors import Cancelled
from simsearch.runtime.events import Noted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simsearch.core.accuracy.sampling import Bounded
    from simsearch.curation.history import History
    from simsearch.runtime.events import Event, Observer
    from simsearch.workflows.convert.pipeline import Report
    from simsearch.workflows.curate.headless import CurateReport
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.curate.summary import StudySummary
    from simsearch.workflows.demo import DemoReport
    from simsearch.workflows.doctor.examination import DoctorReport
    from simsearch.workflows.find.measure import Measurement
    from simsearch.workflows.find.search import SearchReport
    from simsearch.workflows.learn.evaluate import Evaluation
    from simsearch.workflows.learn.pretrain import PretrainReport
    from simsearch.workflows.learn.train import TrainReport
    from simsearch.workflows.run.detect import DetectReport
    from simsearch.workflows.run.html_report.page import HtmlReport
    from simsearch.workflows.run.objects import ObjectsReport
    from simsearch.workflows.run.sample import SampleReport
    from simsearch.workflows.run.segment import SegmentReport

_NEXT = """
Look at   {folder}/tissue/results/overlays/tissue.png
          {folder}/plate/results/overlays/plate/A/01/0.png
Try next  simsearch search {folder}/tissue/tissue.ome.zarr --prototypes {folder}/tissue/boxes.csv --out mine
          with boxes of your own in a copy of boxes.csv: image,class,y,x,height,width in pixels, y and x the centre;
          simsearch convert YOUR_SLIDE.svs slide.ome.zarr
Go on in the browser, where all of this is clicks:
          {program} serve {study}"""

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def show_note(note: str) -> None:
    """Print what a user should know."""
    _out.print(f"Note: {note}", markup=False, soft_wrap=True)


def show_failures(failures: Sequence[tuple[str, str]]) -> None:
    """List what was left out."""
    if failures:
        _err.print(f"\n{len(failures)} left out:", style="red")
    for name, message in failures:
        _err.print(f"  {name}: {message}", markup=False, soft_wrap=True)


@contextmanager
def show_progress() -> Iterator[Observer]:
    """Draw how far a workflow is on standard error, and print its notes.

    Yields
    ------
    callable
        Takes the events of the workflow. Raises `Cancelled` where a signal has asked the command to stop.
    """
    command = click.get_current_context(silent=True)
    asked_to_stop = command.find_object(threading.Event) if command else None
    with draw_progress(_err) as draw:

        def observe(event: Event) -> None:
            if asked_to_stop and asked_to_stop.is_set():
                raise Cancelled("stopped as asked")
            if isinstance(event, Noted):
                show_note(event.note)
            else:
                draw(event)

        yield observe


def show_address(url: str, notice: str) -> None:
    """Tell where the app is."""
    if notice:
        _err.print(notice, style="yellow", markup=False, soft_wrap=True)
    _out.print(f"Open {url}", markup=False, highlight=False, soft_wrap=True)
    _out.print("Ctrl-C ends it; nothing is lost.")


def show_measurement(measurement: Measurement) -> None:
    """Print intensity ranges and channel correlation."""
    table = Table(title=f"Intensity ranges of {len(measurement.images)} images (become 0 and 1)")
    for heading in ("channel", "low", "high"):
        table.add_column(heading, justify="left" if heading == "channel" else "right")
    for name, (low, high) in zip(measurement.channel_names, measurement.ranges, strict=True):
        table.add_row(name, f"{low:g}", f"{high:g}")
    _out.print(table)
    if len(measurement.channel_names) > 1:
        matrix = Table("", *measurement.channel_names, title="Mean correlation between channels")
        for name, row in zip(measurement.channel_names, measurement.correlation, strict=True):
            matrix.add_row(name, *("-" if np.isnan(value) else f"{value:.3f}" for value in row))
        _out.print(matrix)


def show_search(report: SearchReport) -> None:
    """Print what a search has found."""
    table = Table(title=f"Peaks of similarity in {report.n_images} images")
    for heading in ("class", "peaks", "suggested threshold", "objects"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, n_peaks in report.n_peaks.items():
        table.add_row(name, str(n_peaks), f"{report.suggested_thresholds[name]:.2f}", str(report.n_objects[name]))
    _out.print(table)
    _out.print(f"Tables, similarity maps and overlays: {report.folder}", soft_wrap=True)
    for note in report.notes:
        show_note(note)


def show_suggestions(report: CurateReport, folder: Path, written: str | Path | None = None) -> None:
    """Print what a study suggests, and what comes next: also for who has let it be written into a table."""
    table = Table("class", "peaks", "similarity threshold", "suggested", title="On the displayed images")
    for each in report.classes:
        note = "" if each.is_chosen else " (suggested)"
        table.add_row(
            each.class_name, str(each.n_peaks), f"{each.similarity_threshold:.3f}{note}", str(each.n_suggested)
        )
    _out.print(table)
    _out.print(f"Background: {report.n_difficult} difficult and {report.n_easy} easy patches")
    if report.n_asked:
        _out.print(
            f"Left out: {report.n_asked} places that look like a class just below its threshold; say what they are on "
            "the page Background of `simsearch serve`, or choose another threshold",
            soft_wrap=True,
        )
    if report.is_accepted:
        _out.print(f"Accepted. Next: simsearch train {folder}", soft_wrap=True)
    elif written:
        ways = f"take rows out of {written} that do not belong, then simsearch study import {folder} {written}"
        _out.print(f"Nothing was accepted: {ways}; or add --accept", markup=False, soft_wrap=True)
    else:
        _out.print("Nothing was accepted: choose with --threshold CLASS=VALUE, then add --accept", soft_wrap=True)


def show_training(report: TrainReport) -> None:
    """Print what was trained."""
    classes = list(dict.fromkeys(name for counts in report.n_patches.values() for name in counts))
    table = Table("patches", *classes, title="Trained on")
    for role, counts in report.n_patches.items():
        table.add_row(role, *(str(counts.get(name, 0)) for name in classes))
    _out.print(table)
    stages = Table("stage", "epochs", "first loss", "last loss")
    for stage, losses in report.losses.items():
        stages.add_row(stage, str(len(losses)), f"{losses[0]:.3f}", f"{losses[-1]:.3f}")
    _out.print(stages)
    if report.held_out and report.held_out.classes:
        held_out = Table("class", "patches", "precision", "recall", "average precision", title="Held out, by images")
        for name, each in report.held_out.classes.items():
            precision = "" if each.precision is None else f"{each.precision:.2f}"
            held_out.add_row(
                name, str(each.n_patches), precision, f"{each.recall:.2f}", f"{each.average_precision:.2f}"
            )
        _out.print(held_out)
    for name, who in report.decided_by.items():
        _out.print(f"{name}: decided by {who}", markup=False, soft_wrap=True)
    _out.print(f"Model {report.sha256[:16]}: {report.model}", soft_wrap=True)
    _out.print(f"Its card: {report.model.parent / 'README.md'}", soft_wrap=True)
    for note in report.notes:
        show_note(note)


def show_pretraining(report: PretrainReport) -> None:
    """Print how a trunk was trained, and how to use it."""
    stages = Table("stage", "epochs", "first loss", "last loss", title=f"Trained on {report.n_images} images")
    for stage, losses in report.losses.items():
        stages.add_row(stage, str(len(losses)), f"{losses[0]:.3f}", f"{losses[-1]:.3f}")
    _out.print(stages)
    for each in report.validations:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in each.scores.items())
        _out.print(f"Step {each.step}: average precision {scores}", markup=False, soft_wrap=True)
    _out.print(f"Trunk {report.sha256[:16]}: use it with --trunk {report.trunk}", soft_wrap=True)
    _out.print(f"Its card: {report.folder / 'README.md'}", soft_wrap=True)
    for note in report.notes:
        show_note(note)


def show_detections(report: DetectReport) -> None:
    """Print what a model has found."""
    before = f", {report.n_done_before} of {report.n_tiles} tiles done before" if report.n_done_before else ""
    _out.print(f"{report.n_images} images{before}")
    if report.n_tissue < report.n_pixels:
        tissue, skipped = (n / report.n_pixels for n in (report.n_tissue, report.n_skipped))
        _out.print(f"Tissue: {tissue:.0%} of the images; {skipped:.0%} lie in tiles without any, which were skipped")
    _show_counts(report.confidence_thresholds, report.n_objects, report.folder)
    for note in report.notes:
        show_note(note)


def show_segmentation(report: SegmentReport) -> None:
    """Print how much of each image is of which class."""
    before = f", {report.n_done_before} of {report.n_tiles} tiles done before" if report.n_done_before else ""
    classes = list(report.images[0].n_pixels) if report.images else []
    table = Table(
        "image", "tissue", *classes, "skipped", title=f"Areas, of tissue, in {len(report.images)} images{before}"
    )
    for each in report.images:
        shares = [f"{n / each.n_tissue:.1%}" if each.n_tissue else "-" for n in each.n_pixels.values()]
        skipped = f"{each.n_skipped / each.n_image:.0%}"
        table.add_row(each.image, f"{each.n_tissue / each.n_image:.0%}", *shares, skipped)
    _out.print(table)
    _out.print(f"Labels: {report.images[0].labels if report.images else '-'}", soft_wrap=True)
    _out.print(f"Areas, overlays, GeoJSON for QuPath: {report.folder}", soft_wrap=True)
    for note in report.notes:
        show_note(note)


def show_objects(report: ObjectsReport) -> None:
    """Print what is above confidence thresholds."""
    _show_counts(report.confidence_thresholds, report.n_objects, report.folder)
    for note in report.notes:
        show_note(note)


def _show_counts(thresholds: Mapping[str, float], n_objects: Mapping[str, int], folder: Path) -> None:
    table = Table("class", "confidence threshold", "objects", title="Detections")
    for name, n in n_objects.items():
        table.add_row(name, f"{thresholds[name]:g}", str(n))
    _out.print(table)
    _out.print(f"Tables, GeoJSON for QuPath, reports of plates: {folder}", soft_wrap=True)
    _out.print(f"Another threshold: simsearch rethreshold {folder} --confidence CLASS=VALUE", soft_wrap=True)


def show_sample(report: SampleReport) -> None:
    """Print what a judged sample says of results, and what to do with one that is not."""
    table = Table("class", "found", "judged", "precision", "recall", "objects in all", title="Sample, 90 % intervals")
    for each in report.classes:
        estimate = each.estimate
        shares = (_bounded(value, "{:.0%}".format) for value in (estimate.precision, estimate.recall))
        total = _bounded(estimate.total, "{:.0f}".format)
        of_all = f"{estimate.n_judged} of {estimate.n_judged + each.n_open}"
        table.add_row(each.class_name, str(estimate.n_found), of_all, *shares, total)
    _out.print(table)
    for note in report.notes:
        show_note(note)
    _out.print(f"Sample and estimates at other thresholds: {report.folder}", soft_wrap=True)
    if any(each.n_open for each in report.classes):
        look = f"Look at {report.folder}/sample/CLASS.png, write" if report.has_pictures else "Write"
        how = f"{look} yes or no into the column right of {report.folder}/sample.csv, and call this again"
        _out.print(how, soft_wrap=True)


def _bounded(value: Bounded, written: Callable[[float], str]) -> str:
    """Write an estimate and its interval; nothing where nothing was judged."""
    return (
        "not known" if np.isnan(value.value) else f"{written(value.value)} ({written(value.low)}-{written(value.high)})"
    )


def show_conversion(report: Report) -> None:
    """Print what a conversion has done."""
    resumed = f", {report.n_skipped_tasks} of {report.n_tasks} tasks done before" if report.n_skipped_tasks else ""
    images = "1 image" if report.n_images == 1 else f"{report.n_images} images"
    _out.print(f"{images} in {report.seconds:.1f} s{resumed}: {report.destination}", soft_wrap=True)
    for note in report.notes:
        show_note(note)


def show_demo(report: DemoReport) -> None:
    """Print what the demo has found and what to try next."""
    _out.print("\nA real tissue image: nuclei that look like 5 + 5 hand-picked ones", style="bold")
    show_search(report.tissue)
    _out.print("\nA synthetic plate of 12 wells: cells that look like 15 picked ones", style="bold")
    show_measurement(report.measurement)
    show_search(report.plate)
    truth = Table("class", "cells drawn", "average precision", title="Against where the cells are")
    for name, value in report.average_precision.items():
        truth.add_row(name, str(report.n_cells[name]), f"{value:.3f}")
    _out.print(truth)
    doses = Table("dose (nM)", "drawn", "found", title="GFP cells with GFP in the nucleus")
    for dose, drawn, found in report.nuclear_fractions:
        doses.add_row(f"{dose:g}", f"{drawn:.0%}", f"{found:.0%}")
    _out.print(doses)
    seconds = Table("step", "seconds", title="How long it took")
    for step, value in report.seconds.items():
        seconds.add_row(step, f"{value:.1f}")
    _out.print(seconds)
    _out.print(_NEXT.format(folder=report.folder, study=report.study, program=_program()), soft_wrap=True)


def _program() -> str:
    """Name this program so that a line with it can be copied: after ``make demo`` it is not on the path."""
    return sys.argv[0] if Path(sys.argv[0]).name == "simsearch" else "simsearch"


def show_scores(evaluation: Evaluation) -> None:
    """Print how well each class was found."""
    table = Table("class", "objects", "average precision", "95 % interval", "best F1", "at score")
    for score in evaluation.classes:
        f1, threshold = best_f1(score.curve)
        low, high = score.interval
        interval = "-" if np.isnan(low) else f"{low:.3f} to {high:.3f}"
        table.add_row(
            score.class_name,
            str(score.n_objects),
            f"{score.average_precision:.3f}",
            interval,
            f"{f1:.3f}",
            f"{threshold:.3f}",
        )
    _out.print(table)
    _out.print(f"Scores and curves: {evaluation.folder}", soft_wrap=True)
    for note in evaluation.notes:
        show_note(note)


def show_page(report: HtmlReport) -> None:
    """Print where a page of a run is."""
    _out.print(f"Report: {report.path}", markup=False, soft_wrap=True)
    for note in report.notes:
        show_note(note)


def show_study(summary: StudySummary) -> None:
    """Print what was said in a study, and what was trained on it."""
    study, history = summary.study, summary.history
    table = Table(title=Text(f"Study {study.folder}"))
    for heading in ("class", "prototypes", "positives", "confirmed", "negatives", "similarity threshold", "accepted"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for each in history.state.classes:
        said = (each.prototypes, each.positives, each.confirmed, each.negatives)
        counts = [str(len(patches)) for patches in said]
        least = "-" if each.similarity_threshold is None else f"{each.similarity_threshold:.3f}"
        name = Text.assemble(("\u25a0 ", each.color), each.name)
        table.add_row(name, *counts, least, "yes" if each.is_accepted else "no")
    _out.print(table)
    for label, value in _study_summary(study, history).items():
        _out.print(f"{label:<11}{value}", markup=False, soft_wrap=True)
    _out.print(f"{'trunk':<11}{summary.trunk}", markup=False, soft_wrap=True)
    for model in summary.models:
        _out.print(f"{'model':<11}{model}", markup=False, soft_wrap=True)
    if summary.torn:
        _out.print(f"Note: {summary.torn}", markup=False, soft_wrap=True)


def _study_summary(study: Study, history: History) -> dict[str, str]:
    state, last = history.state, history.entries[-1] if history.entries else None
    accepted = "accepted" if state.is_background_accepted else "not accepted"
    background = count(state.background, "patch", "es")
    shapes = {each.name: shape for each in state.classes if each.prototypes and (shape := state.shape_of(each))}
    if state.patch_shape and not shapes:
        shapes = {"background": state.patch_shape}
    first = "fixes their shape" if state.has_one_patch else "of each class fixes its shape"
    return {
        "images": f"{len(study.images)}, displayed: {', '.join(state.displayed)}",
        "channels": f"{', '.join(state.channels)} (of {', '.join(state.channel_names)})",
        "patches": shapes_in_words(shapes) if shapes else f"the first prototype {first}",
        "background": f"{background}, {accepted}; {len(state.not_background)} flagged as none",
        "actions": f"{history.n_actions}" + (f", last: {last}, {last.time}" if last else ""),
    }


_MARKS = {"ok": Text("ok", "green"), "warning": Text("warning", "yellow"), "problem": Text("problem", "bold red")}


def show_findings(report: DoctorReport) -> None:
    """Print what an examination has found, and what to do about it."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for each in sorted(report.findings, key=lambda each: list(_MARKS).index(each.level)):  # what matters last, in sight
        found = Text("" if each.level == "ok" else "\n")
        found.append(each.found)
        if each.places:
            others = f" and {len(each.places) - 1} more" if len(each.places) > 1 else ""
            found.append(f"\nat {each.places[0]}{others}", "dim")
        if each.remedy:
            found.append(f"\n-> {each.remedy}", "bold")
        lead = Text("" if each.level == "ok" else "\n")
        table.add_row(lead + _MARKS[each.level], lead + Text(each.check), found)
    _out.print(table)
    _out.print(f"\n{count(report.problems, 'problem')}, {count(report.warnings, 'warning')}")


def show_findings_as_json(report: DoctorReport) -> None:
    """Print what an examination has found for programs."""
    _out.print_json(json.dumps({"findings": [asdict(each) for each in report.findings]}))
