"""Where results go and files come from: paths on this machine, and places in object stores with methods of a path.

`pathlib` gives names and parents, fsspec reads and writes. universal_pathlib, which joins the two as well, makes
buckets where a folder is made, believes what it listed before, and passes on whatever the client of a store raises.
"""

from __future__ import annotations

import errno
import glob
import shutil
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import fsspec

from simsearch.core.checks.places import local_path, scheme_of
from simsearch.errors import ConfigError, SimSearchError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")
"""Schemes of stores that results can be written to."""
_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "adlfs", "azure", "fsspec")
"""Packages whose exceptions are about a store, and no mistake of ours."""
_SERVERS = ("http", "https")
FRESH = {"use_listings_cache": False}
"""What file systems are opened with: others write beside us."""


class ObjectPath(PurePosixPath):
    """A place in a store, with those methods of `pathlib.Path` that results need.

    Each object is written in one piece: nobody reads half of one. There are no folders but names with slashes.

    Raises
    ------
    FileNotFoundError, FileExistsError
        As by those of `pathlib.Path`.
    StoreError
        If the store does not do what it is asked for.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)  # of which pathlib keeps one

    def __fspath__(self) -> str:
        raise TypeError(f"expected a file on this machine, got {self}")  # it would be one in a folder s3: here

    @property
    def files(self) -> Any:  # noqa: ANN401  fsspec has no types
        """The file system that it lies in."""
        return fsspec.filesystem(scheme_of(str(self)), **FRESH)

    def absolute(self) -> ObjectPath:
        """Return the same: a URL is."""
        return self

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: there are no folders, and a bucket is not made by the way."""

    def exists(self) -> bool:
        """Tell whether there is an object, or one whose name goes on with a slash."""
        with self._errors():
            return bool(self.files.exists(str(self)))

    def is_dir(self) -> bool:
        """Tell whether there is an object whose name goes on with a slash; not at https, where nothing says so."""
        if scheme_of(str(self)) in _SERVERS:
            return False  # fsspec takes any links in a file for what lies in a folder
        with self._errors():
            return bool(self.files.isdir(str(self)))

    def read_bytes(self) -> bytes:
        """Read all of an object."""
        with self._errors():
            return bytes(self.files.cat_file(str(self)))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read all of an object as text."""
        return self.read_bytes().decode(encoding)

    def read_below(self, pattern: str) -> dict[ObjectPath, bytes]:
        """Read all objects below that a pattern finds, many at a time; in the order of their names."""
        found = sorted(self.glob(pattern))
        with self._errors():
            contents = self.files.cat([str(each) for each in found]) if found else {}
            return {each: bytes(contents[self.files._strip_protocol(str(each))]) for each in found}

    def write_bytes(self, content: bytes, *, is_new: bool = False) -> None:
        """Write an object in one piece; with `is_new`, raise FileExistsError if it is there, where the store can."""
        with self._errors():
            self.files.pipe_file(str(self), content, mode="create" if is_new else "overwrite")

    def upload(self, file: Path) -> None:
        """Put a file here."""
        with self._errors():
            self.files.put_file(str(file), str(self))

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open an object to read parts of it."""
        if mode != "rb":
            raise ValueError(f"expected a way to read bytes, got {mode}: objects are written in one piece")
        with self._errors():
            return cast("BinaryIO", self.files.open(str(self), mode))

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Find objects and folders below by a pattern."""
        with self._errors():
            found = self.files.glob(f"{glob.escape(str(self))}/{pattern}")
            names = [self.files.unstrip_protocol(name) for name in found]
        return map(ObjectPath, names)

    def rglob(self, pattern: str) -> Iterator[ObjectPath]:
        """Find objects by a pattern at any depth."""
        return self.glob(f"**/{pattern}")

    def iterdir(self) -> Iterator[ObjectPath]:
        """List what lies directly below."""
        return self.glob("*")

    def replace(self, target: ObjectPath) -> None:
        """Move an object, which must be small."""
        target.write_bytes(self.read_bytes())
        self.unlink()

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object."""
        try:
            with self._errors():
                self.files.rm_file(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_all(self) -> None:
        """Remove an object and all whose names go on with a slash."""
        if self.exists():
            with self._errors():
                self.files.rm(str(self), recursive=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with as_os_errors():
                yield
        except (SimSearchError, FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise StoreError(
                f"{self}: expected an answer of the store, got {error.strerror or error}: {way_out(error)}, then run "
                "the same command again"
            ) from error


def input_place(place: str | Path) -> Path:
    """Say where to read: a path, or an `ObjectPath`, which stands in for one.

    Raises
    ------
    ConfigError
        If it is a URL of another kind than those that are read.
    """
    return _place(place, (*STORES, *_SERVERS))


def output_place(place: str | Path) -> Path:
    """Say where to write: a path, or an `ObjectPath`, which stands in for one.

    Raises
    ------
    ConfigError
        If it is a URL of another kind than those that are written.
    """
    return _place(place, STORES)


def in_store(place: PurePath) -> ObjectPath | None:
    """Return a place that is in an object store; None of a path on this machine."""
    return place if isinstance(place, ObjectPath) else None


def read_at_most(place: Path, n_bytes: int) -> bytes:
    """Read the beginning of a file, which may be all of it."""
    with as_os_errors(), place.open("rb") as file:
        return file.read(n_bytes)


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """Name a file on this machine to write, which comes to its place when it is complete: nobody reads half of one."""
    if stored := in_store(place):
        with TemporaryDirectory(prefix="simsearch-") as folder:
            complete = Path(folder) / place.name
            yield complete
            stored.upload(complete)
        return
    partial = place.with_name(f".{place.name}.partial")
    try:
        yield partial
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(place: Path, content: bytes) -> None:
    """Write a file that comes to its place when it is complete."""
    if stored := in_store(place):
        stored.write_bytes(content)
    else:
        with replacing(place) as partial:
            partial.write_bytes(content)


def remove(place: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing, if it is not there."""
    if stored := in_store(place):
        stored.remove_all()
    elif place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _place(place: str | Path, schemes: tuple[str, ...]) -> Path:
    scheme = scheme_of(place)
    if not scheme:
        return local_path(place)
    if scheme not in schemes:
        known = ", ".join(f"{each}://" for each in schemes)
        raise ConfigError(f"expected a path or a URL with {known}, got {place}: name one of these")
    # It has the methods that are called, and who is given a Path need not know.
    return cast("Path", ObjectPath(str(place).rstrip("/")))


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Make an OSError of whatever the client of a store raises."""
    try:
        yield
    except OSError:
        raise
    except ImportError as error:  # which package, fsspec says
        raise ConfigError(f"expected a package for this kind of store, got none: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _CLIENTS:
            raise
        raise _os_error(error) from error


def way_out(error: OSError) -> str:
    """Say what to do about an error of a store."""
    if isinstance(error, PermissionError):
        return "check the credentials, and what they may do there"
    if isinstance(error, FileNotFoundError):
        return "make the bucket, or correct its name"
    if isinstance(error, ConnectionError | TimeoutError):
        return "check the network, and the address of the store (AWS_ENDPOINT_URL)"
    if error.errno == errno.EBUSY:
        return "wait until the store has less to do"
    return "check the address"


def _os_error(error: Exception) -> OSError:
    kind, text = type(error).__name__, " ".join(str(error).split())[:300]
    if any(word in kind for word in ("Credential", "Token", "Auth", "Profile")):
        return PermissionError(text)
    if "ContainerNotFound" in str(error):  # of Azure, whose buckets are called so
        return FileNotFoundError(text)
    if "Connect" in kind or "Timeout" in kind:
        return ConnectionError(text)
    return OSError(f"{kind}: {text}")
