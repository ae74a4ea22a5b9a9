"""The images of a run: one that cannot be read ends the run, or is left out and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.errors import AnnotationError, ConfigError, SimSearchError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simsearch.io.image import ImageMeta


class ImageSet:
    """Images of one kind, by their names.

    Parameters
    ----------
    images : sequence of ImageMeta
        At least one, all with the same number of channels and the same pixel type.
    skip_errors : bool
        Whether images that fail are left out.

    Raises
    ------
    SourceError
        If there is no image, or two are of different kinds.
    ConfigError
        If two have the same name.
    """

    def __init__(self, images: Sequence[ImageMeta], *, skip_errors: bool) -> None:
        _check_uniform(images)
        self._images = {image.name: image for image in images}
        self._skip_errors = skip_errors
        self._failures: dict[str, str] = {}

    def __iter__(self) -> Iterator[ImageMeta]:
        """Iterate over the images that have not failed."""
        return iter(list(self._images.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._images

    def __getitem__(self, name: str) -> ImageMeta:
        return self._images[name]

    def __len__(self) -> int:
        return len(self._images)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Height and width of each image at level 0 in pixels."""
        return {name: image.shape for name, image in self._images.items()}

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


def _check_uniform(images: Sequence[ImageMeta]) -> None:
    if not images:
        raise SourceError("expected at least one image, got none: name OME-Zarr images or plates")
    first, names = images[0], set()
    for image in images:
        if (image.n_channels, image.dtype) != (first.n_channels, first.dtype):
            raise SourceError(
                f"{image.path}: expected {first.n_channels} channels of {first.dtype} as in {first.path}, got "
                f"{image.n_channels} of {image.dtype}: treat the two kinds of images apart"
            )
        if image.name in names:
            raise ConfigError(f"{image.path}: expected images of different names, got {image.name} twice: rename one")
        names.add(image.name)
