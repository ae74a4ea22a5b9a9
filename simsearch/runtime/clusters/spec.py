"""What cluster somebody wants, in words: of the command line, of a YAML file, of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import yaml
from dask.utils import parse_bytes, parse_timedelta

from simsearch.core.checks.places import local_path
from simsearch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["local", "threads", "cuda", "slurm", "kubernetes", "address"]

VARIABLE = "SIMSEARCH_CLUSTER"
"""Says what cluster to take where no other is named; with `_` and a setting behind it, that setting."""
DEFAULT = "local"

_CHOICES = (
    ", ".join(f"{kind}, {kind}:N" for kind in get_args(Kind) if kind != "address")
    + ", tcp://HOST:PORT, tls://HOST:PORT or a file FILE.yaml"
)
_HERE = frozenset({"workers", "dashboard", "report"})
_JOBS = frozenset({"workers", "memory", "cores", "wait", "report"})
_SETTINGS: dict[Kind, frozenset[str]] = {
    "local": _HERE,
    "threads": _HERE,
    "cuda": _HERE,
    "slurm": _JOBS
    | _HERE
    | {"partition", "account", "gres", "walltime", "interface", "directives", "prologue", "folder", "scratch"},
    "kubernetes": _JOBS | {"namespace", "image", "manifest"},
    "address": frozenset({"insecure", "report"}),
}


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What cluster somebody wants. What is None is left to the kind of cluster."""

    kind: Kind = "local"
    """``local``: processes on this machine. ``threads``: threads in this process. ``cuda``: a process for each GPU of
    this machine. ``slurm``: jobs of one worker each. ``kubernetes``: pods, through Dask's operator. ``address``: a
    scheduler that runs."""
    workers: int | None = None
    """How many worker processes, or threads, or jobs, or pods."""
    address: str | None = None
    """``tcp://HOST:PORT`` or ``tls://HOST:PORT`` of a scheduler that runs."""
    insecure: bool = False
    """Whether the scheduler may be reached over a network without encryption."""
    memory: int | None = None
    """Bytes for each worker."""
    cores: int | None = None
    """Cores for each worker."""
    wait: float = 600.0
    """Seconds after which it is given up that no worker has come."""
    partition: str | None = None
    """Slurm's partition."""
    account: str | None = None
    """Slurm's account."""
    gres: str | None = None
    """Slurm's generic resources of a worker, such as ``gpu:1``."""
    walltime: str = "02:00:00"
    """How long a job of Slurm may take; workers end a little before, and others take their place."""
    interface: str | None = None
    """Network interface of scheduler and workers, such as ``ib0``."""
    directives: tuple[str, ...] = ()
    """Other options of sbatch, such as ``--qos=long``."""
    prologue: tuple[str, ...] = ()
    """Lines of shell that a job begins with, such as ``module load openslide``."""
    folder: Path | None = None
    """Where keys and logs of jobs are kept while they run: on a file system that all nodes share; by default here."""
    scratch: str | None = None
    """Folder on a disk of each node, for what workers put aside; by default ``TMPDIR`` or ``/tmp``."""
    namespace: str | None = None
    """Namespace of Kubernetes."""
    image: str | None = None
    """Container image of the pods."""
    manifest: Path | None = None
    """DaskCluster to start instead of the one that comes with simsearch."""
    dashboard: bool = False
    """Whether Dask's dashboard is shown, to this machine only, where the scheduler is started on it."""
    report: Path | None = None
    """HTML file for Dask's performance report of what the cluster did."""

    def __post_init__(self) -> None:
        if self.dashboard and "dashboard" not in _SETTINGS[self.kind]:
            kinds = ", ".join(kind for kind, known in _SETTINGS.items() if "dashboard" in known)
            raise ConfigError(
                f"expected a scheduler on this machine for its dashboard ({kinds}), got {self.address or self.kind}: "
                "look at it where it runs, or have a performance report written (--report)"
            )


def resolve_cluster(
    wanted: str | Path | ClusterSpec | None = None, environment: Mapping[str, str] | None = None
) -> ClusterSpec:
    """Understand what cluster somebody wants.

    Parameters
    ----------
    wanted : str, Path or ClusterSpec, optional
        A kind, with ``:N`` for how many workers, the address of a scheduler, or a YAML file of settings, the kind among
        them. By default what `VARIABLE` says, or else ``local``.
    environment : mapping of str to str, optional
        Environment variables, by default those of this process: ``SIMSEARCH_CLUSTER_PARTITION`` is the setting
        ``partition``. They come before what a file says, and after what ``wanted`` says itself.

    Raises
    ------
    ConfigError
        If it is no kind of cluster, or a setting is unknown or cannot be understood.

    Examples
    --------
    >>> spec = resolve_cluster("slurm:8", {"SIMSEARCH_CLUSTER_MEMORY": "8GiB"})
    >>> spec.kind, spec.workers, spec.memory == 8 * 2**30
    ('slurm', 8, True)
    """
    if isinstance(wanted, ClusterSpec):
        return wanted
    environment = os.environ if environment is None else environment
    text = str((environment.get(VARIABLE) or DEFAULT) if wanted is None else wanted)
    if Path(text).suffix in (".yaml", ".yml") and "://" not in text:
        said, source = _read_file(Path(text)), text
        kind = said.pop("kind", [None])[0]
    else:
        said, source = {}, ""
        kind = text
    chosen, own = _understand_kind(kind, source)
    unknown = said.keys() - _SETTINGS[chosen]
    if unknown:
        raise ConfigError(
            f"{source}: expected settings of {chosen} ({', '.join(sorted(_SETTINGS[chosen]))}), got "
            f"{min(unknown)!r}: take it out"
        )
    values = {name: _parsed(name, value, source) for name, value in said.items()}
    for name, text in _settings_of(environment).items():
        if name in _SETTINGS[chosen]:
            values[name] = _parsed(name, [text], f"{VARIABLE}_{name.upper()}")
    return ClusterSpec(**{"kind": chosen, **values, **own})  # type: ignore[arg-type]  # each parsed as its field wants it


def _settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    """List the settings of any kind of cluster that environment variables name."""
    begin = f"{VARIABLE}_"
    found = {name.removeprefix(begin).lower(): text for name, text in environment.items() if name.startswith(begin)}
    known = frozenset().union(*_SETTINGS.values())
    if unknown := found.keys() - known:
        raise ConfigError(
            f"{begin}{min(unknown).upper()}: expected a setting of a cluster ({', '.join(sorted(known))}), got none: "
            "correct the name of the variable, or unset it"
        )
    return {name: text for name, text in found.items() if text}


def _understand_kind(text: object, source: str) -> tuple[Kind, dict[str, object]]:
    """Tell what kind of cluster a text is, and what it says besides."""
    kind, _, count = text.partition(":") if isinstance(text, str) else ("", "", "")
    if isinstance(text, str) and "://" in text:
        return "address", {"address": text}
    is_known = kind in get_args(Kind) and kind != "address"
    if not is_known or (count and not (count.isdecimal() and int(count) > 0)) or (":" in str(text) and not count):
        place = f"{source}: expected kind to be" if source else "expected"
        raise ConfigError(f"{place} {_CHOICES}, got {text!r}")
    return kind, {"workers": int(count)} if count else {}  # type: ignore[return-value]  # known


def _read_file(path: Path) -> dict[str, list[str]]:
    """Read settings as text: YAML would make a number of 02:00:00."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: expected a YAML file of settings, got {type(error).__name__}: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected settings such as `kind: slurm`, got {type(content).__name__}")
    return {str(name): value if isinstance(value, list) else [value] for name, value in content.items()}


def _parsed(name: str, values: list[str], source: str) -> object:
    """Make what a setting wants of text."""
    kind = next(str(field.type) for field in fields(ClusterSpec) if field.name == name)
    if not all(isinstance(value, str) for value in values):
        raise ConfigError(f"{source}: expected text as {name}, got {values[0]!r}")
    if kind.startswith("tuple"):
        return tuple(values)
    parse, words = _PARSERS.get(name, _BY_TYPE[kind.split(" | ")[0]])
    try:
        (value,) = values
        return parse(value)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{source}: expected {words} as {name}, got {', '.join(values)!r}") from error


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(text)
    return int(text)


def _one_line(text: str) -> str:
    if not text.isprintable() or not text:
        raise ValueError(text)
    return text


def _seconds(text: str) -> float:
    seconds = float(parse_timedelta(text))
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


_PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "memory": (parse_bytes, "a size such as 4GiB"),
    "report": (local_path, "a path on this machine"),
}
_BY_TYPE: dict[str, tuple[Callable[[str], object], str]] = {
    "int": (_count, "a whole number above 0"),
    "float": (_seconds, "a time such as 10m"),
    "bool": (
        {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.__getitem__,
        "true or false",
    ),
    "str": (_one_line, "one line of text"),
    "Path": (Path, "a path"),
}
