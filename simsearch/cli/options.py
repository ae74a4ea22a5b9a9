"""What commands share: options, how text becomes values, the cluster that they work on, and how errors end them."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from simsearch.core.checks.places import FOR_STUDIES, local_path, scheme_of
from simsearch.errors import Cancelled, SimSearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simsearch.io.ome_zarr.image import Selection
    from simsearch.runtime import ClusterSpec

FAILED = 2  # exit code where something could not be done
_STOPPED = 130  # exit code where somebody has stopped it
_OF_CLUSTER = "simsearch.cluster"  # key of what options tell another
_GOES_ON = "what is done is kept, and the same command goes on from there"
_HOW_TO_GO_ON = dict.fromkeys(("convert", "search", "detect", "segment", "train", "pretrain"), _GOES_ON)


class LocalPath(click.Path):
    """A path on this machine; what is a URL is refused before anything is looked for or made."""

    def __init__(self, remedy: str = "name one, or copy what is there", **options: bool) -> None:
        super().__init__(path_type=Path, **options)
        self._remedy = remedy

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  click's signature
        """Make a path of text."""
        return super().convert(local_path(value, self._remedy), param, ctx)


class InputPath(click.Path):
    """A path on this machine, or a URL that can be read."""

    def __init__(self, **options: bool) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  click's signature
        """Make a path of text."""
        if not scheme_of(value):
            return super().convert(local_path(value), param, ctx)
        return self._at_url(value)

    def _at_url(self, value: str | Path) -> Path:
        from simsearch.io.places import input_place

        return input_place(value)


class OutputPath(InputPath):
    """A path on this machine, or a URL that can be written."""

    def _at_url(self, value: str | Path) -> Path:
        from simsearch.io.places import output_place

        return output_place(value)


INPUT = InputPath(exists=True, dir_okay=False)
INPUT_OR_FOLDER = InputPath(exists=True)
OUTPUT = OutputPath()
OUTPUT_FOLDER = OutputPath(file_okay=False)
OUTPUT_FILE = OutputPath(dir_okay=False)
LOCAL_FILE = LocalPath(exists=True, dir_okay=False)
LOCAL_FOLDER = LocalPath(file_okay=False)
STUDY = LocalPath(FOR_STUDIES, file_okay=False)


class ReportedGroup(click.Group):
    """A group whose commands end with one line and an exit code where a person can mend what is wrong."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  click's signature
        """Run the command."""
        asked = ctx.ensure_object(threading.Event)
        try:
            with _stoppable(asked):
                return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, KeyboardInterrupt | Cancelled) or asked.is_set():  # libraries make others of the first
                how = _HOW_TO_GO_ON.get(ctx.invoked_subcommand or "", "run the same command again")
                _end_with(f"stopped: {how}", _STOPPED)
            if isinstance(error, SimSearchError):
                _end_with(str(error), FAILED)
            raise


def _end_with(line: str, code: int) -> NoReturn:
    # By click alone: who is stopped in the middle of an import cannot import what it belongs to.
    click.secho(f"Error: {line}", err=True, fg="red")
    sys.exit(code)


@contextmanager
def _stoppable(asked: threading.Event) -> Iterator[None]:
    """Let SIGTERM, with which batch systems end jobs, do what Ctrl-C does: give up tasks, close files.

    An exception that meets a finalizer is printed and lost, and this one may meet any. So it is noted as well, and
    `show_progress` ends with the next event.
    """
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return

    def stop(number: int, frame: object) -> None:
        asked.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(failures: Sequence[tuple[str, str]]) -> None:
    """List what was left out, and end with an exit code that says so."""
    from simsearch.cli.console import show_failures

    if failures:
        show_failures(failures)
        sys.exit(FAILED)


def split(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Split names at commas."""
    return None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


def _user_name() -> str:
    from simsearch.workflows.provenance import user_name

    return user_name()


def _values(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> dict[str, float]:
    """Read NAME=VALUE, several times."""
    pairs = [each.rpartition("=") for each in value]
    wrong = next((each for each, (name, _, _) in zip(value, pairs, strict=True) if not name), None)
    if wrong is not None:
        raise click.BadParameter(f"expected NAME=VALUE, got {wrong!r}", ctx, param)
    return {name: float(click.FLOAT(number, param, ctx)) for name, _, number in pairs}


def _named(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> list[str] | None:
    """Read names; none of them where an empty one is given, and None where nothing is said."""
    return [name for name in value if name] if value else None


def n_bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read a size such as 4GiB or 500MB."""
    from dask.utils import parse_bytes

    try:
        return None if value is None else int(parse_bytes(value))
    except ValueError as error:
        raise click.BadParameter(f"expected a size such as 4GiB, got {value!r}", ctx, param) from error


def _selection(ctx: click.Context, param: click.Parameter, value: str | None) -> Selection:
    if value is None or value == "max":
        return "max" if value else None
    number: int = click.IntRange(min=0).convert(value, param, ctx)  # type: ignore[arg-type]  # its stub wants the result
    return number


user_option = click.option("--user", default=_user_name, show_default="you", help="Who says so.")
threshold_option = click.option(
    "--threshold",
    "similarity_thresholds",
    multiple=True,
    metavar="CLASS=VALUE",
    callback=_values,
    help="Similarity threshold of a class; repeat for others.",
)
confidence_option = click.option(
    "--confidence",
    "confidence_thresholds",
    multiple=True,
    metavar="CLASS=VALUE",
    callback=_values,
    help="Confidence threshold of a class; repeat for others.",
)
aside_option = click.option(
    "--aside",
    multiple=True,
    metavar="CLASS",
    callback=_named,
    help="Objects of this class do not count in the shares of others; repeat, or '' for none.",
)
z_option = click.option(
    "--z", metavar="INDEX|max", callback=_selection, help="Which z plane, or max for the maximum over all."
)
t_option = click.option(
    "--t", metavar="INDEX|max", callback=_selection, help="Which time point, or max for the maximum over all."
)


def _cluster(ctx: click.Context, param: click.Parameter, value: str | None) -> ClusterSpec | None:
    """Understand what cluster is wanted, before anything else is done."""
    from simsearch.runtime import resolve_cluster

    said = ctx.meta.get(_OF_CLUSTER, {})
    return replace(resolve_cluster(value), **said) if said or value is not None else None


def _of_cluster(ctx: click.Context, param: click.Parameter, value: Any) -> None:  # noqa: ANN401  of any type
    if value:
        ctx.meta.setdefault(_OF_CLUSTER, {})[param.name] = value


def cluster_option(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take a cluster to work on."""
    told: dict[str, Any] = {"is_eager": True, "expose_value": False, "callback": _of_cluster}
    insecure = click.option(
        "--insecure",
        is_flag=True,
        help="Reach a scheduler on another machine without encryption: who reaches it too can run code as you.",
        **told,
    )
    dashboard = click.option(
        "--dashboard",
        is_flag=True,
        help="Show Dask's dashboard of the cluster that is started, to this machine only; its address is printed.",
        **told,
    )
    report = click.option(
        "--report",
        type=LocalPath(dir_okay=False),
        metavar="FILE.html",
        help="Write Dask's performance report of the run when it is complete.",
        **told,
    )
    cluster = click.option(
        "--cluster",
        metavar="KIND[:N]|ADDRESS|FILE.yaml",
        callback=_cluster,
        show_default="SIMSEARCH_CLUSTER, or local",
        help="Where to compute: local, threads, cuda, slurm, kubernetes, each with :N for so many workers; "
        "a running Dask scheduler, tls://HOST:PORT or tcp://HOST:PORT; or a file of settings.",
    )
    return cluster(insecure(dashboard(report(command))))


series_option = click.option(
    "--series",
    metavar="NAME|N|all",
    help="Which of several images in a file, by name or counted from 0; all makes an OME-Zarr of each in a folder. "
    "By default the largest at full resolution.",
)
stack_option = click.option(
    "--stack",
    type=click.Choice(["channels", "z", "t"]),
    help="What the planes of a stack are, where a TIFF or .npy file does not say, or says wrong.",
)
skip_errors_option = click.option(
    "--skip-errors", is_flag=True, help="Leave out images that cannot be read; list them at the end."
)
tissue_option = click.option(
    "--tissue-mask/--no-tissue-mask", default=True, show_default=True, help="Leave glass out (RGB; detect: of slides)."
)
exact_option = click.option(
    "--exact", is_flag=True, help="Compute in float32 also where GPUs or CPUs have bfloat16, which is twice as fast."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is there.")
trunk_option = click.option(
    "--trunk", default="bundled", show_default=True, help="bundled, imagenet (downloaded once), a file or its URL."
)
results_option = click.option("--out", type=OUTPUT_FOLDER, required=True, help="Folder for results.")
measurement_option = click.option(
    "--measure", "measurement", type=INPUT, help="Intensity ranges from `simsearch measure --out`."
)
channels_option = click.option(
    "--channels", callback=split, help="Names or numbers of the channels to look at, with commas."
)
tile_option = click.option(
    "--tile", type=click.IntRange(min=8), help="Positions of the feature grid along a side of a tile."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness."
)


def takes_images(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take IMAGES, and the options of how to read them."""
    for each in (skip_errors_option, t_option, z_option, click.argument("images", nargs=-1, required=True)):
        command = each(command)
    return command
