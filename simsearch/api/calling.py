"""What functions of the API share: how keywords become options, paths images, and a name a cluster."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import textwrap
import warnings
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from itertools import pairwise
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar, cast

from simsearch.core.checks.places import FOR_STUDIES, local_path
from simsearch.io.places import input_place
from simsearch.runtime import Client, ClusterSpec, open_cluster
from simsearch.runtime.events import Event, Noted, NoWorkers, Observer
from simsearch.workflows.curate.study import Study, open_study
from simsearch.workflows.image_set import ImageSet, find_image_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from simsearch.io.ome_zarr.image import Selection

    AnyPath = str | Path
    Paths = AnyPath | Sequence[AnyPath]
    Cluster = str | Path | ClusterSpec | Client

Function = TypeVar("Function", bound="Callable[..., object]")
Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How to read images."""

    z: Selection = None
    """Which z plane, or max for the maximum over all."""
    t: Selection = None
    """Which time point, or max for the maximum over all."""
    skip_errors: bool = False
    """Leave out images that cannot be read; ``failures`` of the result lists them."""


def takes(*kinds: type) -> Callable[[Function], Function]:
    """Let a function show the fields of options as its keywords, in its signature and its docstring.

    Parameters
    ----------
    *kinds : type
        Dataclasses of options.

    Returns
    -------
    callable
        Decorates a function that has ``**options``, and refuses other keywords as Python does.
    """

    def decorate(function: Function) -> Function:
        shown = _signature(function, kinds)

        @functools.wraps(function)
        def call(*args: object, **keywords: object) -> object:
            for name in keywords:
                if name not in shown.parameters:
                    close = difflib.get_close_matches(name, shown.parameters, n=1)
                    hint = f". Did you mean {close[0]!r}?" if close else ""
                    raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}{hint}")
            return function(*args, **keywords)

        call.__signature__ = shown  # type: ignore[attr-defined]  # of functools.wraps, which has one
        call.__doc__ = _with_options(inspect.cleandoc(function.__doc__ or ""), kinds)
        return cast("Function", call)

    return decorate


def options_of(
    kind: type[Options], keywords: Mapping[str, object], place: Callable[[AnyPath], Path] = input_place
) -> Options:
    """Make options of those keywords that are theirs; text becomes a path, and a list a tuple, where one is wanted.

    Parameters
    ----------
    kind : type
        A dataclass of options.
    keywords : mapping
        Those of a function.
    place : callable
        Makes paths, and refuses those that cannot be read or written.

    Examples
    --------
    >>> options_of(ImageOptions, {"z": "max", "floor": 0.5})
    ImageOptions(z='max', t=None, skip_errors=False)
    """
    theirs = {field.name: field for field in fields(cast("Any", kind))}
    return kind(**{name: _plain(theirs[name], value, place) for name, value in keywords.items() if name in theirs})


def warn(event: Event) -> None:
    """Make Python's warnings of notes and of missing workers, and hear nothing else."""
    if isinstance(event, Noted):
        warnings.warn(event.note, stacklevel=2)
    if isinstance(event, NoWorkers):
        warnings.warn(f"{event.step}: no workers for {event.waited_s:.0f} s", stacklevel=2)


def image_set(images: Paths, keywords: Mapping[str, object], observe: Observer) -> ImageSet:
    """Describe images and plates, as `ImageOptions` among the keywords say, and tell what is to be known of them."""
    options = options_of(ImageOptions, keywords)
    found = find_image_set(paths_of(images), z=options.z, t=options.t, skip_errors=options.skip_errors)
    for note in found.notes:
        observe(Noted(note))
    return found


def paths_of(paths: Paths) -> list[str | Path]:
    """List paths, where there may be one.

    Examples
    --------
    >>> paths_of("slide.ome.zarr"), paths_of(("a.ome.zarr", "b.ome.zarr"))
    (['slide.ome.zarr'], ['a.ome.zarr', 'b.ome.zarr'])
    """
    return [paths] if isinstance(paths, str | PurePath) else list(paths)  # that of a store is no Path


def study_of(folder: AnyPath | Study) -> Study:
    """Open a study that is not open yet."""
    return folder if isinstance(folder, Study) else open_study(local_path(folder, FOR_STUDIES))


@contextmanager
def client_of(cluster: Cluster | None, observe: Observer) -> Iterator[Client]:
    """Start or find a cluster for a call, or take one that is open, which stays so."""
    if isinstance(cluster, Client):
        yield cluster
    else:
        with open_cluster(cluster, observe=observe) as client:
            yield client


def _plain(field: Field[Any], value: Any, place: Callable[[AnyPath], Path]) -> Any:  # noqa: ANN401  of any type that options have
    kind = str(field.type)  # as it is written
    if "Path" in kind and isinstance(value, str | Path):
        return place(value)
    if "tuple[" in kind and isinstance(value, str):
        return (value,)
    if "tuple[" in kind and not isinstance(value, int | float | None):
        return tuple(value)
    return value


def _signature(function: Callable[..., object], kinds: Iterable[type]) -> inspect.Signature:
    own = inspect.signature(function)
    shown = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
    places = {each.name for each in shown}
    for field in _fields(kinds):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        empty = inspect.Parameter.empty if default is MISSING else default
        if field.name not in places:
            shown.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=empty, annotation=field.type)
            )
    return own.replace(parameters=shown)


def _fields(kinds: Iterable[type]) -> Iterator[Field[Any]]:
    for kind in kinds:
        yield from fields(cast("Any", kind))


def _with_options(text: str, kinds: Sequence[type]) -> str:
    """Write what options mean into a docstring, behind its parameters."""
    said = {name: words for kind in kinds for name, words in _words(kind).items()}
    listed = [
        f"{field.name} : {field.type}\n" + textwrap.indent(textwrap.fill(said[field.name], 110), "    ")
        for field in _fields(kinds)
        if field.name in said
    ]
    section = "\n".join(["Other Parameters", "----------------", *listed])
    head, returns, rest = text.partition("\nReturns\n-------\n")
    return f"{head}\n{section}\n{returns}{rest}"


def _words(kind: type) -> dict[str, str]:
    """Read what stands below each field of a dataclass; Python does not keep it."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except OSError:  # where only compiled modules were installed
        return {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
