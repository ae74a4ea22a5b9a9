"""The commands for results: other thresholds, a sample to judge, a page to read, a comparison with the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from simsearch.cli.options import (
    INPUT,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    aside_option,
    confidence_option,
    results_option,
    seed_option,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("results", type=OUTPUT_FOLDER)
@confidence_option
@aside_option
def rethreshold(results: Path, confidence_thresholds: dict[str, float], aside: list[str] | None) -> None:
    """Choose other confidence thresholds for RESULTS of `simsearch detect`, or what shares are of; no pixel is read."""
    from simsearch.api.tables import rethreshold as run
    from simsearch.cli.console import show_objects

    show_objects(run(results, confidence_thresholds, aside=aside))


@click.command()
@click.argument("results", type=OUTPUT_FOLDER)
@click.option(
    "--n", default=20, show_default=True, help="Places of each class; more are added to those that there are."
)
@click.option("--class", "classes", multiple=True, metavar="NAME", help="Of these classes alone; repeat.")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Draw the places with their numbers.")
@seed_option
def sample(results: Path, **options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Draw a random sample of RESULTS of `simsearch detect`; say yes or no to each place, and call it again.

    It estimates precision, recall and the number of objects, with intervals, from places that were judged.
    """
    from simsearch.api.tables import sample as run
    from simsearch.cli.console import show_sample

    show_sample(run(results, **options))


@click.command()
@click.argument("results", type=OUTPUT_FOLDER)
@click.option("--out", type=OUTPUT_FILE, help="The file.  [default: RESULTS/run.html]")
def report(results: Path, out: Path | None) -> None:
    """Write a page of RESULTS of `simsearch detect` or `segment`, as one file to read, print and send.

    It has methods in words for a paper, tables, figures, examples of objects, and how all of it was made.
    """
    from simsearch.api.tables import report as run
    from simsearch.cli.console import show_page

    show_page(run(results, out))


@click.command()
@click.argument("peaks", type=INPUT)
@click.option("--truth", type=INPUT, required=True, help="CSV: image, class, y, x.")
@results_option
@click.option("--distance", type=click.FloatRange(min=0, min_open=True), help="A peak finds what is nearer, in pixels.")
def evaluate(peaks: Path, truth: Path, out: Path, distance: float | None) -> None:
    """Compare PEAKS (peaks.parquet or detections.parquet) with where objects really are: precision and recall."""
    from simsearch.api.tables import evaluate as run
    from simsearch.cli.console import show_scores

    show_scores(run(peaks, truth, out, distance=distance))
