"""The command ``simsearch doctor``."""

from __future__ import annotations

import sys
from typing import Any

import click

from simsearch.cli.options import FAILED, cluster_option


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--out", metavar="DEST", help="Folder or URL that results would go to; probes are removed again.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port that the app would listen at.  [default: 5006]")
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
@cluster_option
def doctor(*, as_json: bool, **options: Any) -> None:  # noqa: ANN401  as many types as there are options
    """Look for what would go wrong in a long run that reads PATHS, and say how to mend it; exit code 2 for problems."""
    from simsearch.api.doctor import doctor as run
    from simsearch.cli.console import show_findings, show_findings_as_json, show_progress

    with show_progress() as observe:
        report = run(**options, observe=observe)
    (show_findings_as_json if as_json else show_findings)(report)
    if report.problems:
        sys.exit(FAILED)
