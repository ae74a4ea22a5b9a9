"""A Slurm job for each worker; the scheduler is in this process."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from distributed import Security

from simsearch.errors import ClusterError, ConfigError
from simsearch.runtime.clusters.starting import Patience, started
from simsearch.runtime.clusters.watching import pages
from simsearch.runtime.clusters.workers import (
    ALLOCATOR,
    ANY_PORT,
    NO_PROFILER,
    TASKS,
    thread_environment,
)
from simsearch.runtime.events import Noted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import Client

    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer

_CORES = 1
_MEMORY = 3 * 2**30
_TASKS_WITH_GPU = 4  # one computes, three read
_POLL_S = 0.2
_LOOK_S = "2s"
_STARTING_S = 15  # of a worker, whose time begins then
_LOST = {"distributed.deploy.lost-worker-timeout": "5s"}
_STEP = "workers"


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Submit jobs, and cancel what is left of them in the end. Work begins with the first worker."""
    _check_installed()
    if spec.workers is None:
        raise ConfigError("expected --cluster slurm to say how many jobs, got no number: --cluster slurm:8 submits 8")
    options, refusals = _options(spec), list[str]()
    settings = dask.config.set(NO_PROFILER | _LOST)
    with settings, pages(spec.dashboard) as shown, _run_folder(spec.folder or Path.cwd()) as folder:
        options |= {"security": _write_keys(folder / "keys"), "log_directory": str(folder / "logs")}
        options["scheduler_options"] = shown
        with started(partial(_submitted, spec.workers, options, refusals)) as client:
            n_jobs = _accepted(spec.workers, refusals, observe)
            Patience(_STEP, n_jobs, spec.wait, _POLL_S, observe).for_workers(
                client, lambda: _none_came(client.cluster, spec.wait)
            )
            yield client


def lifetime_s(walltime: str) -> tuple[int, int]:
    """Choose when a worker ends before its job is ended: after how many seconds, and by how many more or fewer.

    Parameters
    ----------
    walltime : str
        As Slurm takes it: minutes, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M`` or ``D-H:M:S``.

    Raises
    ------
    ConfigError
        If it is none of these, or less than a minute.

    Examples
    --------
    >>> lifetime_s("02:00:00"), lifetime_s("10"), lifetime_s("1-0")
    ((6600, 300), (480, 60), (85800, 300))
    """
    seconds = 0
    if re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", walltime):
        days, _, clock = walltime.rpartition("-")
        parts = [int(part) for part in clock.split(":")]
        units = (3600, 60, 1) if days or len(parts) == 3 else (60, 1)
        seconds = int(days or 0) * 86400 + sum(n * unit for n, unit in zip(parts, units, strict=False))
    if seconds < 60:
        raise ConfigError(
            f"expected a walltime of a minute or more, got {walltime!r}: say hours, minutes and seconds as in 02:00:00"
        )
    margin = min(300, max(_STARTING_S, seconds // 10))
    return seconds - 2 * margin, margin


def _check_installed() -> None:
    if shutil.which("sbatch") is None:
        raise ConfigError("expected Slurm's sbatch for --cluster slurm, got none: run this on a login node")
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise ConfigError("expected what --cluster slurm needs, got no dask_jobqueue: pip install 'simsearch[slurm]'")


@contextmanager
def _run_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for keys, which nobody else can read, and for logs, which are kept if the run fails."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="simsearch-slurm-", dir=parent)).resolve()
    except OSError as error:
        raise ClusterError(
            f"{parent}: expected a folder for keys and logs of jobs, got {error.strerror}: name one on a file system "
            "that all nodes share, as setting folder"
        ) from error
    keys, logs = folder / "keys", folder / "logs"
    keys.mkdir(0o700)
    logs.mkdir()
    try:
        yield folder
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        raise
    except BaseException:
        shutil.rmtree(keys)
        if not any(logs.iterdir()):
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _write_keys(folder: Path) -> Security:
    """Make certificates for a run; jobs read theirs from files."""
    own = Security.temporary()
    files = {name: folder / f"{name}.pem" for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key")}
    for name, path in files.items():
        path.touch(0o600)
        path.write_text(getattr(own, name))
    memory = {
        name: getattr(own, name) for role in ("scheduler", "client") for name in (f"tls_{role}_cert", f"tls_{role}_key")
    }
    return Security(require_encryption=True, **memory, **{name: str(path) for name, path in files.items()})


def _options(spec: ClusterSpec) -> dict[str, Any]:
    """Say in dask-jobqueue's words what jobs are. What is None is what Dask's own settings say (jobqueue.slurm)."""
    cores = spec.cores or _CORES
    environment = ALLOCATOR | thread_environment(cores) | {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
    lifetime, stagger = lifetime_s(spec.walltime)
    ending = [f"--lifetime={lifetime}s", f"--lifetime-stagger={stagger}s"]
    return {
        "job_name": "simsearch",
        "queue": spec.partition,
        "account": spec.account,
        "walltime": spec.walltime,
        "processes": 1,
        "cores": _TASKS_WITH_GPU if spec.gres and "gpu" in spec.gres else TASKS,
        "job_cpu": cores,
        "memory": str(spec.memory or _MEMORY),
        "interface": spec.interface,
        "protocol": "tls://",
        "local_directory": shlex.quote(spec.scratch) if spec.scratch else '"${TMPDIR:-/tmp}"',
        "job_extra_directives": [*([f"--gres={spec.gres}"] if spec.gres else []), *spec.directives],
        "job_script_prologue": [*(f"export {name}={value}" for name, value in environment.items()), *spec.prologue],
        "worker_extra_args": [*ending, f"--dashboard-address={ANY_PORT}"],
    }


def _submitted(n_jobs: int, options: dict[str, Any], refusals: list[str]) -> Any:  # noqa: ANN401  no types
    """Start a scheduler and submit jobs; one that is lost is replaced."""
    from simsearch.runtime.clusters.slurm_jobs import Queue, SLURMCluster, TellingJob

    try:
        cluster = SLURMCluster(job_cls=TellingJob, refused=refusals.append, slurm=Queue(), **options)
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ClusterError(f"expected a scheduler that jobs can reach, got {said}: see setting interface") from error

    async def all_submitted() -> None:
        await cluster

    cluster.scale(jobs=n_jobs)
    cluster.sync(all_submitted)
    cluster.adapt(minimum_jobs=n_jobs, maximum_jobs=n_jobs, interval=_LOOK_S)
    return cluster


def _accepted(n_jobs: int, refusals: Sequence[str], observe: Observer) -> int:
    """Count the jobs that Slurm took; with some of them a run can begin, without any it cannot."""
    told = refusals[0] if refusals else ""
    if len(refusals) >= n_jobs:
        raise ClusterError(
            f"expected Slurm to take {n_jobs} job{'s' * (n_jobs > 1)}, got {told}: see partition, account and other "
            "settings of slurm"
        )
    if refusals:
        observe(Noted(f"Slurm took {n_jobs - len(refusals)} of {n_jobs} jobs, work begins with them: {told}"))
    return n_jobs - len(refusals)


def _none_came(cluster: Any, patience_s: float) -> ClusterError:  # noqa: ANN401  no types
    return ClusterError(
        f"expected a worker within {patience_s:.0f} s, got {_what_slurm_says(cluster)}: set wait to more seconds, or "
        "ask for what there is (sinfo)"
    )


def _what_slurm_says(cluster: Any) -> str:  # noqa: ANN401  no types
    """Tell in what states jobs are, and why."""
    jobs = ",".join(str(job.job_id) for job in cluster.workers.values() if job.job_id)
    words = ["squeue", "--noheader", "--format=%T (%r)", f"--jobs={jobs}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    states = done.stdout.splitlines()
    if not states:
        logs = Path(cluster.new_spec["options"]["log_directory"])
        return f"no job in the queue (they have ended: see {logs})"
    return ", ".join(f"{states.count(state)} jobs {state}" for state in sorted(set(states)))
