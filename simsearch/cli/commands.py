"""The command line. Each command imports its function itself, so that ``simsearch --help`` loads no torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from simsearch.cli.doctor import doctor
from simsearch.cli.options import (
    INPUT,
    LOCAL_FILE,
    LOCAL_FOLDER,
    OUTPUT,
    OUTPUT_FOLDER,
    STUDY,
    ReportedGroup,
    channels_option,
    cluster_option,
    end,
    exact_option,
    measurement_option,
    n_bytes,
    overwrite_option,
    results_option,
    seed_option,
    series_option,
    skip_errors_option,
    split,
    stack_option,
    t_option,
    takes_images,
    tile_option,
    tissue_option,
    trunk_option,
    user_option,
    z_option,
)
from simsearch.cli.pretrain import pretrain
from simsearch.cli.study import study
from simsearch.cli.tables import evaluate, report, rethreshold, sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.runtime import ClusterSpec


def _square(ctx: click.Context, param: click.Parameter, value: float | None) -> tuple[float, float] | None:
    return (value, value) if value else None


def _path_maps(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[tuple[str, str], ...]:
    from simsearch.io.sources.plates.foreign_paths import parse_path_map

    return tuple(map(parse_path_map, value))


@click.group(cls=ReportedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="simsearch")
def main() -> None:
    """Find what you point at in very large microscopy images."""
    # Before torch is loaded. Threads that spin while they wait for each other train several times slower
    # beside a busy browser than those that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@main.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("destination", type=OUTPUT)
@click.option(
    "--ome-version",
    type=click.Choice(["0.5", "0.4", "0.6"]),
    default="0.5",
    show_default=True,
    help="Version of OME-Zarr to write; 0.4 for older tools, 0.6 as soon as what is written can be checked.",
)
@click.option(
    "--plate-pattern",
    metavar="PRESET|REGEX",
    help="How file names tell wells: bbbc013, imagexpress, operetta (harmony, phenix, opera), cellvoyager, cellomics, "
    "incell, incucyte, or a regular expression with the groups (?P<well>...), or row and column, and optionally field, "
    "channel, z, t and plate. One with a slash is matched against the path in the folder, not the name alone.",
)
@click.option(
    "--plate-map",
    type=INPUT,
    help="CSV with a column well, or row and column, and any others, stored with the plate; drug, dose (with or "
    "without a unit), unit and role (negative_control, positive_control, empty, or words such as DMSO) make dose "
    "responses.",
)
@click.option(
    "--path-map",
    multiple=True,
    metavar="BEFORE=HERE",
    callback=_path_maps,
    help="Where files of a LoadData table are that was made on another machine, such as 'C:\\data=/mnt/data'; repeat.",
)
@click.option("--channel-names", callback=split, default="", help="Names of the channels, with commas.")
@click.option("--pixel-size", "pixel_size_um", type=float, callback=_square, help="Micrometres, if files do not say.")
@series_option
@stack_option
@click.option("--chunk", default=256, show_default=True, help="Side of a chunk in pixels.")
@click.option("--shard", default=2048, show_default=True, help="Side of a shard, and of a tile, in pixels.")
@click.option("--dry-run", is_flag=True, help="Open all sources and print what would become what; nothing is written.")
@z_option
@t_option
@skip_errors_option
@overwrite_option
@cluster_option
def convert(*, dry_run: bool, **options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Convert SOURCES (images, slides, folders of a plate, LoadData CSV) to OME-Zarr at DESTINATION."""
    from simsearch.api.images import convert as run
    from simsearch.api.images import preview_conversion
    from simsearch.cli.console import show_conversion, show_progress
    from simsearch.cli.outline import show_preview

    with show_progress() as observe:
        if dry_run:
            preview = preview_conversion(**options, observe=observe)
        else:
            report = run(**options, observe=observe)
    if dry_run:
        show_preview(preview)
    else:
        show_conversion(report)
    end(preview.failures if dry_run else report.failures)


@main.command()
@click.option("--out", type=OUTPUT, help="Write the measurement here as JSON.")
@click.option("--downsampling", default=1, show_default=True, help="Measure images downsampled by this power of two.")
@takes_images
@cluster_option
def measure(**options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Measure the intensity ranges and the channel correlation of IMAGES (OME-Zarr images or plates)."""
    from simsearch.api.images import measure as run
    from simsearch.cli.console import show_measurement, show_progress

    with show_progress() as observe:
        report = run(**options, observe=observe)
    show_measurement(report)
    end(report.failures)


@main.command()
@click.option("--prototypes", type=INPUT, required=True, help="CSV: image, class, y, x, height, width.")
@results_option
@click.option(
    "--method",
    type=click.Choice(["template", "template-fine", "template-deep", "pooled", "patchwise"]),
    default="template",
    show_default=True,
    help="How images are compared with prototypes; patchwise is the paper's, and slow.",
)
@click.option(
    "--combine",
    type=click.Choice(["soft", "max", "mean"]),
    default="soft",
    show_default=True,
    help="Prototypes of a class: max is the most similar alone, as in the paper, mean all alike; soft lies between.",
)
@trunk_option
@channels_option
@measurement_option
@click.option("--floor", default=0.0, show_default=True, help="Keep no peaks of lower similarity.")
@tile_option
@click.option("--maps/--no-maps", "save_maps", default=True, show_default=True, help="Write similarity maps.")
@takes_images
@exact_option
@overwrite_option
@cluster_option
def search(**options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Search IMAGES (OME-Zarr images or plates) for what looks like the boxes in a CSV file."""
    from simsearch.api.find import search as run
    from simsearch.cli.console import show_progress, show_search

    with show_progress() as observe:
        report = run(**options, observe=observe)
    show_search(report)
    end(report.failures)


@main.command()
@click.argument("folder", metavar="DIR", type=STUDY)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    help="Folder or URL for the model and what lies beside it.  [default: DIR/models/ID]",
)
@click.option(
    "--kind",
    type=click.Choice(["dense", "patchwise"]),
    default="dense",
    show_default=True,
    help="What model; patchwise is the paper's, and slow on images.",
)
@click.option("--selflearn/--no-selflearn", default=True, show_default=True, help="Learn from images not displayed.")
@click.option("--negatives/--no-negatives", default=True, show_default=True, help="Learn from flagged negatives.")
@click.option(
    "--objects/--areas",
    "beside",
    default=True,
    show_default=True,
    help="Whether classes are objects, beside which is background, or areas to `segment`.",
)
@click.option("--paper", is_flag=True, help="Train as long as the paper, without averaging of weights.")
@click.option("--averaging/--no-averaging", default=True, show_default=True, help="Average weights over steps.")
@click.option(
    "--search/--no-search",
    default=True,
    show_default=True,
    help="Let the model carry the search that it came from, which says a part of its confidences.",
)
@click.option("--noisy", "n_noisy", default=1000, show_default=True, help="At most so many noisy patches; 0 for all.")
@click.option(
    "--background", "n_background", default=5, show_default=True, help="Noisy background in an image, of each kind."
)
@seed_option
@cluster_option
def train(**options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Train a model on what was curated in the study in DIR; it goes on where it was if it was stopped."""
    from simsearch.api.learn import train as run
    from simsearch.cli.console import show_progress, show_training

    with show_progress() as observe:
        report = run(**options, observe=observe)
    show_training(report)


@main.command()
@click.argument("model", type=INPUT)
@results_option
@click.option(
    "--floor",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Keep no detections of lower confidence.",
)
@click.option("--regions", type=INPUT, help="Look only in the named regions of a study (its folder), or of GeoJSON.")
@tile_option
@tissue_option
@takes_images
@exact_option
@overwrite_option
@cluster_option
def detect(**options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Run MODEL (of `simsearch train`) over IMAGES (OME-Zarr images or plates); what was stopped goes on."""
    from simsearch.api.run import detect as run
    from simsearch.cli.console import show_detections, show_progress

    with show_progress() as observe:
        report = run(**options, observe=observe)
    show_detections(report)
    end(report.failures)


@main.command()
@click.argument("model", type=INPUT)
@results_option
@tissue_option
@click.option(
    "--beside-image/--in-results", default=True, show_default=True, help="Where labels are written, if they can be."
)
@click.option("--name", default="simsearch", show_default=True, help="Of the labels in an image.")
@takes_images
@exact_option
@overwrite_option
@cluster_option
def segment(**options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Give each pixel of IMAGES a class with MODEL (of `simsearch train`), as OME-Zarr labels; measure areas."""
    from simsearch.api.run import segment as run
    from simsearch.cli.console import show_progress, show_segmentation

    with show_progress() as observe:
        report = run(**options, observe=observe)
    show_segmentation(report)
    end(report.failures)


@main.command()
@click.argument("folder", metavar="STUDY", type=STUDY)
@click.option("--port", type=click.IntRange(0, 65535), default=5006, show_default=True, help="0 for any that is free.")
@click.option(
    "--address", default="127.0.0.1", show_default=True, help="What to listen at; another needs a token or a login."
)
@click.option("--prefix", default="", help="Path under which a reverse proxy shows the app.")
@click.option("--origin", "origins", multiple=True, metavar="HOST[:PORT]", help="Where a reverse proxy shows the app.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the app in a browser.")
@click.option(
    "--token",
    envvar="SIMSEARCH_TOKEN",
    help="What people must know to come in; by default one is made up where others can reach it. Others on the machine "
    "can read command lines: better set SIMSEARCH_TOKEN, or use --token-file.",
)
@click.option("--token-file", type=LOCAL_FILE, help="File whose first line is the token.")
@click.option(
    "--auth-module", type=LOCAL_FILE, help="Python file with Bokeh's auth hooks, which decide who may come in."
)
@click.option(
    "--memory",
    "memory_bytes",
    metavar="SIZE",
    callback=n_bytes,
    help="What holding the displayed images may take, such as 4GiB; half of what is free by default. Images that need "
    "more are searched by workers, which takes seconds a box.",
)
@user_option
@cluster_option
def serve(
    folder: Path,
    cluster: ClusterSpec | None,
    *,
    browser: bool,
    token: str | None,
    token_file: Path | None,
    **options: Any,  # noqa: ANN401  as many types as ServeOptions has fields
) -> None:
    """Open the study in STUDY in the browser: draw, train, run. Ctrl-C ends it; nothing is lost."""
    from simsearch.app.server.application import ServeOptions
    from simsearch.app.server.auth import read_token
    from simsearch.app.server.serve import serve as run
    from simsearch.app.site import SITE
    from simsearch.cli.console import show_address, show_progress
    from simsearch.runtime import open_cluster
    from simsearch.workflows.curate.study import open_study

    if token_file is not None:
        token = read_token(token_file)
    opened, chosen = open_study(folder), ServeOptions(token=token, **options)
    with show_progress() as observe, open_cluster(cluster, observe=observe) as client:
        run(client, opened, chosen, SITE, tell=show_address, open_browser=browser)


@main.command()
@click.argument("folder", type=LOCAL_FOLDER, default="demo")
@trunk_option
@cluster_option
def demo(**options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Convert, measure and search a real tissue image and a synthetic plate in FOLDER, and show what is found."""
    from simsearch.api.find import demo as run
    from simsearch.cli.console import show_demo, show_progress

    with show_progress() as observe:
        report = run(**options, observe=observe)
    show_demo(report)


for each in (doctor, pretrain, study, rethreshold, sample, report, evaluate):
    main.add_command(each)
