"""The command ``simsearch pretrain``."""

from __future__ import annotations

from typing import Any

import click

from simsearch.cli.options import (
    INPUT,
    OUTPUT_FILE,
    cluster_option,
    measurement_option,
    seed_option,
    t_option,
    z_option,
)


@click.command()
@click.argument("images", nargs=-1, required=True)
@click.option("--out", type=OUTPUT_FILE, required=True, help="The trunk: NAME.safetensors, or its URL.")
@click.option("--teacher", help="Whom to distil from: bundled, imagenet, a file or its URL.")
@click.option(
    "--method",
    type=click.Choice(["simclr", "distill", "both"]),
    help="simclr needs no teacher, the others do.  [default: distill with a teacher, else simclr]",
)
@click.option("--begin", help="Trunk to begin with: bundled, imagenet, a file or its URL.  [default: random weights]")
@click.option("--steps", default=10_000, show_default=True, help="Batches to learn from.")
@click.option("--batch", default=64, show_default=True, help="Crops in a batch.")
@click.option("--rate", default=3e-3, show_default=True, help="Highest learning rate.")
@click.option("--crop", default=96, show_default=True, help="Side of a crop in pixels.")
@click.option(
    "--scales",
    type=(float, float),
    default=(0.4, 4.0),
    show_default=True,
    help="Least and most pixels of full resolution that a pixel of a crop spans.",
)
@click.option("--checkpoint", default=100, show_default=True, help="Steps between checkpoints.")
@click.option("--bfloat16", is_flag=True, help="Faster on GPUs, and on CPUs with AMX.")
@measurement_option
@click.option(
    "--validate", type=INPUT, help="CSV of boxes in some IMAGES, which judge and are not trained on: average precision."
)
@click.option("--validate-every", default=1000, show_default=True, help="Steps between two validations.")
@seed_option
@z_option
@t_option
@cluster_option
def pretrain(**options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Train a trunk on IMAGES (OME-Zarr images or plates of any kinds), without labels; what was stopped goes on."""
    from simsearch.api.learn import pretrain as run
    from simsearch.cli.console import show_pretraining, show_progress

    with show_progress() as observe:
        report = run(**options, observe=observe)
    show_pretraining(report)
