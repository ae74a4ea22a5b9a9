"""The images of a run: one that cannot be read ends the run, or is left out and remembered."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from simsearch.core.notes import said_once
from simsearch.errors import AnnotationError, ConfigError, SimSearchError, SourceError
from simsearch.io.ome_zarr.many import describe_each, describe_images
from simsearch.io.ome_zarr.plates.hierarchy import find_locations
from simsearch.io.ome_zarr.stores import as_location
from simsearch.runtime.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from pathlib import Path

    from simsearch.io.ome_zarr.image import ImageMeta, Selection
    from simsearch.runtime.outcomes import Done

Task = TypeVar("Task")
Result = TypeVar("Result")


class ImageSet:
    """Images of one kind, by their names.

    Parameters
    ----------
    images : sequence of ImageMeta
        At least one. Those with another number of channels or another pixel type than the first fail.
    skip_errors : bool
        Whether images that fail are left out; otherwise the first to fail ends the run.
    failures : sequence of (str, str)
        Names of images that have failed before, and why.
    sources : sequence of str, optional
        Paths or URLs of images and plates that they were found by; by default their own.
    notes : sequence of str
        What a user should know beside what is known of the images.

    Raises
    ------
    SourceError
        If there is no image, or one is of another kind than the first.
    ConfigError
        If two have the same name.
    """

    def __init__(
        self,
        images: Sequence[ImageMeta],
        *,
        skip_errors: bool = False,
        failures: Sequence[tuple[str, str]] = (),
        sources: Sequence[str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        if not images:
            raise SourceError("expected at least one image, got none: name OME-Zarr images or plates")
        self._images = {image.name: image for image in images}
        self._skip_errors = skip_errors
        self._failures = dict(failures)
        self.sources = tuple(image.path for image in images) if sources is None else tuple(sources)
        """What names them, those that cannot be read included."""
        self.notes = (*notes, *said_once((image.name, image.notes) for image in images))
        """What a user should know of them: what was left out, and what of their metadata is not believed."""
        _check_names(images)
        for image in images[1:]:
            if (image.n_channels, image.dtype) != (images[0].n_channels, images[0].dtype):
                self.leave_out(image.name, _other_kind(image, images[0]))

    def __iter__(self) -> Iterator[ImageMeta]:
        """Iterate over the images that have not failed."""
        return iter(list(self._images.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._images

    def __getitem__(self, name: str) -> ImageMeta:
        return self._images[name]

    def __len__(self) -> int:
        return len(self._images)

    def among(self, names: Collection[str]) -> ImageSet:
        """Return those of some names, at least one of which is there; they are told of already."""
        images = [image for image in self if image.name in names]
        return ImageSet(images, skip_errors=self._skip_errors, failures=self.failures, sources=self.sources)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Height and width of each image at level 0 in pixels."""
        return {name: image.shape for name, image in self._images.items()}

    @property
    def skips_errors(self) -> bool:
        """Whether what fails is left out, instead of ending the run."""
        return self._skip_errors

    @property
    def failures(self) -> tuple[tuple[str, str], ...]:
        """Names of the images that were left out, and why."""
        return tuple(self._failures.items())

    def leave_out(self, name: str, error: SimSearchError) -> None:
        """Leave an image out, or raise its error if errors are not skipped or no image would be left."""
        if not self._skip_errors:
            raise error
        self._failures.setdefault(name, str(error))
        self._images.pop(name, None)
        if not self._images:
            raise SourceError(f"expected at least one image that can be read, got none; the last: {error}") from error

    def results(
        self, outcomes: Generator[Done[Task, Result] | Failed[Task]], name: Callable[[Task], str]
    ) -> Iterator[tuple[Task, Result]]:
        """Take the results of tasks; a task that fails leaves its image out.

        Parameters
        ----------
        outcomes : generator of Done or Failed
            What `run_tasks` yields. It is closed at the end, whatever happens, so that nothing runs on.
        name : callable
            Tells the name of a task's image.

        Yields
        ------
        (task, result)
        """
        with closing(outcomes):
            for outcome in outcomes:
                if isinstance(outcome, Failed):
                    self.leave_out(name(outcome.task), outcome.error)
                else:
                    yield outcome.task, outcome.result


def find_image_set(
    paths: Sequence[str | Path], *, z: Selection = None, t: Selection = None, skip_errors: bool = False
) -> ImageSet:
    """Describe images and plates, as a set.

    Parameters
    ----------
    paths : sequence of str or Path
        OME-Zarr images and plates, paths or URLs.
    z, t : int, "max" or None
        Plane and time point, or the maximum over them.
    skip_errors : bool
        Whether images that cannot be described, and others that fail later, are left out.

    Raises
    ------
    SourceError
        If one is not there or is no OME-Zarr, or none is left.
    ConfigError
        If a z or t axis needs a choice.
    """
    sources = [as_location(path) for path in paths]
    if not skip_errors:
        places = [find_locations(source) for source in sources]
        described = describe_images([image for place in places for image in place.images], z=z, t=t)
        return ImageSet(described, sources=sources, notes=[note for place in places for note in place.notes])
    images: list[ImageMeta] = []
    notes: list[str] = []
    failures: list[tuple[str, str]] = []
    for path in paths:
        try:
            place = find_locations(as_location(path))
        except SimSearchError as error:
            failures.append((str(path), str(error)))
            continue
        notes += place.notes
        for location, found in zip(place.images, describe_each(place.images, z=z, t=t), strict=True):
            if isinstance(found, SimSearchError):
                failures.append((location, str(found)))
            else:
                images.append(found)
    if not images:
        raise SourceError(f"expected at least one image that can be read, got none; the last: {failures[-1][1]}")
    return ImageSet(images, skip_errors=True, failures=failures, sources=sources, notes=notes)


def channel_indices(image: ImageMeta, names: Sequence[str] | None) -> tuple[int, ...]:
    """Find channels by their names, or by their numbers from 0.

    Raises
    ------
    AnnotationError
        If there is no such channel, or none is named.
    """
    if names is None:
        return tuple(range(image.n_channels))
    known = list(image.channel_names)
    if not names:
        raise AnnotationError(f"{image.name}: expected a channel out of {', '.join(known)}, got none: name one")
    numbers = [str(index) for index in range(image.n_channels)]
    found = []
    for name in names:
        if name not in known and name not in numbers:
            raise AnnotationError(f"{image.name}: expected channels out of {', '.join(known)}, got {name!r}")
        found.append(known.index(name) if name in known else int(name))
    return tuple(found)


def _check_names(images: Sequence[ImageMeta]) -> None:
    seen: set[str] = set()
    for image in images:
        if image.name in seen:
            raise ConfigError(f"{image.path}: expected images of different names, got {image.name} twice: rename one")
        seen.add(image.name)


def _other_kind(image: ImageMeta, first: ImageMeta) -> SourceError:
    return SourceError(
        f"{image.path}: expected {first.n_channels} channels of {first.dtype} as in {first.path}, got "
        f"{image.n_channels} of {image.dtype}: treat the two kinds of images apart"
    )
