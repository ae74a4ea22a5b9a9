"""The commands of ``simsearch study``: what people say about images, without a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from simsearch.cli.options import (
    INPUT_OR_FOLDER,
    LOCAL_FILE,
    OUTPUT,
    STUDY,
    channels_option,
    cluster_option,
    measurement_option,
    overwrite_option,
    split,
    t_option,
    threshold_option,
    trunk_option,
    user_option,
    z_option,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def _number_or_names(ctx: click.Context, param: click.Parameter, value: str) -> int | tuple[str, ...]:
    return int(value) if value.isdecimal() else split(ctx, param, value) or ()


def _offset(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        y, x = map(float, value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected Y,X in nm, got {value!r}", ctx, param) from error
    return y, x


@click.group()
def study() -> None:
    """Keep what people say about images: classes, prototypes, negatives, background."""


@study.command()
@click.argument("folder", metavar="DIR", type=STUDY)
@click.option(
    "--images", multiple=True, required=True, metavar="IMAGE...", help="OME-Zarr images or plates, or folders of these."
)
@click.argument("more_images", metavar="", nargs=-1)
@channels_option
@click.option(
    "--display",
    default="6",
    show_default=True,
    callback=_number_or_names,
    help="How many images to display, chosen at random, or their names, with commas.",
)
@click.option(
    "--display-by",
    metavar="COLUMN",
    help="Display wells of each value of this column of the plate map; '' for any.  [default: role, where it tells "
    "controls]",
)
@click.option(
    "--diverse",
    is_flag=True,
    help="Choose images that show what all have, instead of at random; with --display-by of each value in turn.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random choice.")
@click.option("--private", is_flag=True, help="Let nobody else on the machine look into DIR (mode 0700).")
@click.option("--one-patch", is_flag=True, help="One patch for all classes, as in the paper, instead of one for each.")
@trunk_option
@measurement_option
@z_option
@t_option
@cluster_option
def create(images: Sequence[str], more_images: Sequence[str], **options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Create a study of images in DIR."""
    from simsearch.api.study import create as run
    from simsearch.api.study import show as summarise
    from simsearch.cli.console import show_progress, show_study

    with show_progress() as observe:
        made = run(images=[*images, *more_images], **options, observe=observe)
    show_study(summarise(made))


@study.command()
@click.argument("folder", metavar="DIR", type=STUDY)
def show(folder: Path) -> None:
    """Show what was said in the study in DIR."""
    from simsearch.api.study import show as run
    from simsearch.cli.console import show_study

    show_study(run(folder))


@study.command()
@click.argument("folder", metavar="DIR", type=STUDY)
@threshold_option
@click.option("--accept", is_flag=True, help="Accept what is suggested: all classes with prototypes, easy background.")
@click.option("--difficult", is_flag=True, help="Suggest difficult background too, in which there may be objects.")
@click.option("--out", "table", type=OUTPUT, help="CSV for suggestions: edit it and import it.")
@click.option(
    "--background",
    "n_background",
    type=int,
    help="So many most similar patches in an image, and so many others; by default as many as the classes need.",
)
@user_option
@cluster_option
def suggest(folder: Path, **options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Find what looks like the prototypes on the displayed images of the study in DIR, and what may be background.

    Classes without a similarity threshold get a suggested one, which is kept with --accept or --out. Features are
    computed the first time and kept in DIR/cache; it can be deleted at any time.
    """
    from simsearch.api.study import suggest as run
    from simsearch.cli.console import show_progress, show_suggestions

    with show_progress() as observe:
        report = run(folder, **options, observe=observe)
    show_suggestions(report, folder, options["table"])


@study.command("import")
@click.argument("folder", metavar="DIR", type=STUDY)
@click.argument("file", type=INPUT_OR_FOLDER)
@click.option("--image", help="Name of the image that FILE is about, if it does not say and is not named after one.")
@click.option("--class", "class_name", metavar="NAME", help="Class of regions that have none; else they are left out.")
@click.option(
    "--fit",
    is_flag=True,
    help="Take only the centres of regions, for patches of the shape that the first prototype of the study has.",
)
@click.option("--slide", type=LOCAL_FILE, help="The NDPI or VMS slide of an NDPA file: it says where its image lies.")
@click.option(
    "--offset",
    "offset_nm",
    metavar="Y,X",
    callback=_offset,
    help="In place of --slide: nm from the centre of the slide to that of the image.",
)
@user_option
def import_(folder: Path, file: Path, user: str, **options: Any) -> None:  # noqa: ANN401  as many types as ImportOptions has fields
    """Add what FILE says to the study in DIR: all of it, or nothing.

    FILE is a CSV, GeoJSON of QuPath, XML of ImageScope or ASAP, NDPA, regions of interest of ImageJ (.roi, .zip), or a
    label image (TIFF, PNG, OME-Zarr), whatever its name; or a folder of such files named after images. It may be a URL.
    A region becomes a prototype: the box around it, or with --fit a patch at its centre.
    """
    from simsearch.workflows.curate.annotation_files import ImportOptions
    from simsearch.workflows.curate.exchange import import_annotations
    from simsearch.workflows.curate.study import open_study

    report = import_annotations(open_study(folder), file, user=user, options=ImportOptions(**options))
    click.echo(f"Imported: {_counted(report.n_added) or 'nothing new'}; there before: {report.n_known}")
    for name, counts in report.by_class.items():
        if set(counts) != {"background"}:
            click.echo(f"  {name}: {_counted(counts)}{' (new class)' if name in report.new_classes else ''}")
    for note in (*report.notes, *([str(report.torn)] if report.torn else [])):
        click.echo(f"Note: {note}")


@study.command()
@click.argument("folder", metavar="DIR", type=STUDY)
@click.argument("destination", type=OUTPUT)
@overwrite_option
def export(folder: Path, destination: Path, *, overwrite: bool) -> None:
    """Write what was said in the study in DIR.

    DESTINATION is a FILE.csv, or a folder that gets a GeoJSON for QuPath per image; or the URL of either.
    """
    from simsearch.workflows.curate.exchange import export_annotations
    from simsearch.workflows.curate.study import open_study

    n_patches, n_files = export_annotations(open_study(folder), destination, overwrite=overwrite)
    click.echo(f"Exported: {n_patches} patches in {n_files} file{'' if n_files == 1 else 's'}: {destination}")


def _counted(counts: Mapping[str, int]) -> str:
    uncountable = ("background", "confirmed")
    return ", ".join(f"{n} {role}{'s' if n > 1 and role not in uncountable else ''}" for role, n in counts.items())
