"""Commands of simsearch that are run, and stopped, in processes of their own: copies of one that has imported all.

A copy (a fork) costs no second of imports, and an audit hook in it sees each file that is opened to be written, moved
or removed: so it can be stopped before any of these steps, and what is written outside its folder is noted.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import mmap
import os
import pkgutil
import resource
import signal
import struct
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

TIMEOUT_S = 240.0
_MOST_SAID = 2**20  # bytes
_TRACEBACK = "Traceback (most recent call last)"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS = {
    "os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,), "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,),
    "os.truncate": (0,), "os.chmod": (0,),
}  # fmt: skip
"""Which arguments of Python's audit events are paths that are written."""
_DESCRIPTORS = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}  # where an event tells in which folder a name is


@dataclass(frozen=True)
class Stop:
    """When a command is sent a signal."""

    number: signal.Signals
    step: int | None = None
    """Before this step, counted from 1."""
    after_s: float | None = None
    """Or so long after its begin."""

    def __str__(self) -> str:
        when = f"before step {self.step}" if self.step else f"after {self.after_s:.3f} s"
        return f"{self.number.name} {when}"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code, or minus the signal that ended it."""
    errors: str
    """What it wrote to standard error."""
    n_steps: int
    """Files of its folder that it opened to write, moved or removed."""
    seconds: float
    outside: tuple[str, ...]
    """What it wrote elsewhere."""

    @property
    def has_traceback(self) -> bool:
        """Whether a user got a page of Python."""
        return _TRACEBACK in self.errors or "\n  File " in self.errors

    @property
    def lines(self) -> list[str]:
        """Lines of errors, without those of progress."""
        return [line for line in self.errors.splitlines() if line.strip().startswith(("Error", "Usage", "expected"))]


class Shared:
    """Numbers that a process and its copies see."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    def set(self, value: int) -> None:
        """Write it."""
        struct.pack_into("q", self._memory, 0, value)

    def get(self) -> int:
        """Read it."""
        return int(struct.unpack_from("q", self._memory, 0)[0])


class Witness:
    """An audit hook that counts the steps of a process in a folder, stops it before one, and notes what is outside."""

    def __init__(self, folder: Path, allowed: Sequence[Path], stop: Stop | None, steps: Shared, notes: int) -> None:
        self._folder, self._allowed = f"{folder}/", [f"{each}/" for each in (folder, *allowed)]
        self._stop, self._steps, self._notes = stop, steps, notes
        self._n = 0
        self._is_at_it = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at an event of Python's."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and isinstance(path, str | bytes):
                self._see(os.fsdecode(path))
        elif event in _PATHS:
            descriptor = arguments[_DESCRIPTORS[event]] if event in _DESCRIPTORS else -1
            for index in _PATHS[event]:
                if isinstance(arguments[index], str | bytes | os.PathLike):
                    self._see(os.fsdecode(arguments[index]), descriptor)

    def _see(self, path: str, descriptor: int = -1) -> None:
        where = os.readlink(f"/proc/self/fd/{descriptor}") if descriptor >= 0 else os.getcwd()  # noqa: PTH109, PTH115  pathlib would be audited
        full = os.path.normpath(os.path.join(where, path))  # noqa: PTH118  the same
        if f"{full}/".startswith(self._folder):
            self._n += 1
            self._steps.set(self._n)
            if self._stop and self._n == self._stop.step:
                os.kill(os.getpid(), self._stop.number)
        elif not f"{full}/".startswith((*self._allowed, "/dev/", "/proc/")):
            os.write(self._notes, f"{full}\n".encode(errors="replace"))


def preload() -> None:
    """Import all that commands import, without a thread, so that copies of this process work."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    package = importlib.import_module("simsearch")
    for module in pkgutil.walk_packages(package.__path__, "simsearch."):
        if ".app" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("matplotlib.backends.backend_agg")


@dataclass(frozen=True)
class Workshop:
    """Where commands are tried: each in the same folder, so that what they write of paths is the same."""

    root: Path

    @property
    def trial(self) -> Path:
        """Where a command works: its working folder, all that it may write."""
        return self.root / "surroundings" / "trial"

    @property
    def inputs(self) -> Path:
        """What commands read."""
        return self.root / "inputs"

    @property
    def scratch(self) -> Path:
        """Temporary files of Dask and others, and the home of the user."""
        return self.root / "scratch"

    @property
    def environment(self) -> dict[str, str]:
        """What commands are told of where they may write."""
        scratch = str(self.scratch)
        return {"TMPDIR": scratch, "HOME": scratch, "DASK_TEMPORARY_DIRECTORY": scratch, "COLUMNS": "400"}

    def begin(self, arguments: Sequence[str], stop: Stop | None = None, *, file_bytes: int | None = None) -> Running:
        """Begin a command in the trial folder."""
        return Running(self, lambda: _command(arguments), stop, file_bytes)

    def run(self, arguments: Sequence[str], stop: Stop | None = None, *, file_bytes: int | None = None) -> Ended:
        """Run a command in the trial folder.

        Parameters
        ----------
        arguments : sequence of str
            Of the command line.
        stop : Stop, optional
            When it is sent which signal.
        file_bytes : int, optional
            How large a file may become.
        """
        return self.begin(arguments, stop, file_bytes=file_bytes).wait()

    def call(self, function: Callable[[], object]) -> None:
        """Do something in a copy of this process, so that no thread or lock of it stays."""
        ended = Running(self, lambda: function() and None, None, None).wait()
        if ended.code:
            raise RuntimeError(f"expected inputs to be made, got {ended.errors}")


class Running:
    """A copy of this process that does something."""

    def __init__(self, shop: Workshop, work: Callable[[], object], stop: Stop | None, file_bytes: int | None) -> None:
        self._steps, self._shop, self._stop = Shared(), shop, stop
        self._folder = shop.scratch / "outputs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name = f"{time.monotonic_ns()}"
        self._kept = b""
        self._begin = time.perf_counter()
        # A pipe, which no limit of files cuts off.
        self._errors, errors = os.pipe()
        fcntl.fcntl(self._errors, fcntl.F_SETPIPE_SZ, _MOST_SAID)
        os.set_blocking(self._errors, False)
        out, outside = (
            os.open(self._folder / f"{self._name}.{kind}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for kind in ("out", "outside")
        )
        descriptors = (out, errors, outside)
        self.pid = os.fork()
        if self.pid == 0:
            self._be(work, descriptors, file_bytes)
        for descriptor in descriptors:
            os.close(descriptor)

    def _be(self, work: Callable[[], object], descriptors: Sequence[int], file_bytes: int | None) -> None:
        code = 70
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            shop = self._shop
            os.environ.update(shop.environment)
            dask.config.refresh()
            os.chdir(shop.trial)
            os.dup2(descriptors[0], 1)
            os.dup2(descriptors[1], 2)
            if file_bytes is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
            sys.addaudithook(Witness(shop.trial, (shop.scratch,), self._stop, self._steps, descriptors[2]))
            code = _exit_code(work)
        finally:
            with suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def wait(self, *, until_stopped: bool = False) -> Ended:
        """Wait until it ends, or is stopped for a while by SIGSTOP, and send it what is due before."""
        due = self._stop.after_s if self._stop else None
        deadline = self._begin + TIMEOUT_S
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | (os.WUNTRACED if until_stopped else 0))
            now = time.perf_counter()
            if pid:
                break
            if due is not None and now - self._begin >= due:
                assert self._stop is not None
                os.kill(self.pid, self._stop.number)
                due = None
            if now > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        code = -signal.SIGSTOP if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        return Ended(
            code, self._said(), self._steps.get(), now - self._begin, tuple(self._read("outside").split("\n")[:-1])
        )

    def go_on(self) -> Ended:
        """Go on after SIGSTOP, and wait for the end."""
        os.kill(self.pid, signal.SIGCONT)
        return self.wait()

    def _said(self) -> str:
        """Read what it has said so far of errors."""
        with suppress(BlockingIOError):
            while said := os.read(self._errors, _MOST_SAID):
                self._kept += said
        return self._kept.decode(errors="replace")

    def _read(self, kind: str) -> str:
        return (self._folder / f"{self._name}.{kind}").read_text(errors="replace")


def _exit_code(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001  as Python does at the end of a program
        traceback.print_exc()
        return 1
    return 0


def _command(arguments: Sequence[str]) -> None:
    from simsearch.cli import main

    main(list(arguments), prog_name="simsearch")


def describe(arguments: Sequence[str]) -> str:
    """Write a command as one would type it."""
    return json.dumps(["simsearch", *arguments], ensure_ascii=True)
