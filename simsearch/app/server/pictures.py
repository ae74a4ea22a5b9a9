"""Pictures of a study's images, drawn in threads and kept while there is room."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.tiles import Region
from simsearch.errors import SimSearchError, SourceError
from simsearch.io.ome_zarr.image import read_region
from simsearch.io.ome_zarr.stores import is_remote, written_at
from simsearch.io.pictures.render import Picture, ShownChannel, render_damage, shown_channels, widest
from simsearch.workflows.curate.study import study_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.workflows.curate.study import Study

_THREADS = 4  # reading waits for disks: more than there are cores
_CACHE_BYTES = 64 * 2**20  # of encoded pictures: some 5000 tiles
_ENTRY_BYTES = 1024  # what keeping a picture takes beside its content, its name included
_IMAGES_FOR_RANGES = 12  # images that the shown ranges are taken from

_log = logging.getLogger(__name__)


class PictureCache:
    """The pictures used last, as many as fit.

    Parameters
    ----------
    cache_bytes : int
        How much they may take, with what it takes to keep them.
    """

    def __init__(self, cache_bytes: int = _CACHE_BYTES) -> None:
        self._cache_bytes, self._n_bytes = cache_bytes, 0
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._turn = Lock()

    @property
    def n_bytes(self) -> int:
        """How much they take."""
        return self._n_bytes

    def get(self, key: str) -> Picture | None:
        """Look one up; it is then the last to go."""
        with self._turn:
            if key in self._pictures:
                self._pictures.move_to_end(key)
            return self._pictures.get(key)

    def put(self, key: str, picture: Picture) -> None:
        """Keep one, and let go of those not used for the longest time."""
        with self._turn:
            self._n_bytes += _n_bytes(key, picture) - self._drop(key)
            self._pictures[key] = picture
            while self._n_bytes > self._cache_bytes:
                self._n_bytes -= self._drop(next(iter(self._pictures)))

    def _drop(self, key: str) -> int:
        gone = self._pictures.pop(key, None)
        return _n_bytes(key, gone) if gone else 0


def _check_there(image: ImageMeta) -> None:
    """Tell an image that has gone from one that is black: chunks that were never written are."""
    if not is_remote(image.path) and written_at(image.path) is None:
        raise SourceError(f"{image.path}: expected an image, got nothing there: bring it back")


def _n_bytes(key: str, picture: Picture) -> int:
    return len(picture.content) + len(key) + _ENTRY_BYTES


class Pictures:
    """Draws pictures of the images of a study.

    Parameters
    ----------
    study : Study
        The study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._cache = PictureCache()
        self._images: dict[int, ImageMeta] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="pictures")

    def image(self, index: int) -> ImageMeta:
        """Describe an image by its place in the study; not to be called in an event loop.

        Raises
        ------
        SourceError
            If it cannot be read, or is not what it was when the study was created.
        """
        if index not in self._images:
            self._images[index] = study_images(self._study, [self._study.images[index].name])[0]
        return self._images[index]

    def pixel_size_um(self, name: str) -> float | None:
        """Tell how wide a pixel of an image is, where that is known and the image can be read."""
        names = [image.name for image in self._study.images]
        try:
            size = self.image(names.index(name)).pixel_size_um
        except OSError:  # SourceError is: its tiles say so
            return None
        return size[1] if size else None

    def fitting_channels(self, name: str) -> tuple[ShownChannel, ...]:
        """Choose how each channel is shown by one image alone; none if it cannot be read."""
        try:
            return shown_channels(study_images(self._study, [name])[0], range(len(self._study.channel_names)))
        except SimSearchError as error:
            _log.warning("%s", error)
            return ()

    async def intensities(self, index: int, y: int, x: int) -> list[float] | None:
        """Read a pixel of an image in a thread, all channels; None where there is none, or it cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._intensities, index, y, x)

    async def draw(self, key: str, index: int, render: Callable[[ImageMeta], Picture]) -> tuple[Picture, bool]:
        """Draw a picture in a thread, or take it from those that are kept.

        Parameters
        ----------
        key : str
            Names the picture.
        index : int
            Place of its image in the study.
        render : callable
            Draws it.

        Returns
        -------
        Picture, bool
            The picture, and whether it shows the image; what cannot be read is hatched, and not kept.
        """
        kept = self._cache.get(key)
        if kept is not None:
            return kept, True
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._drawn, key, index, render)

    def shown_channels(self) -> tuple[ShownChannel, ...]:
        """Choose how each channel is shown, by the images displayed first that can be read."""
        channels = range(len(self._study.channel_names))
        shown: list[tuple[ShownChannel, ...]] = []
        for name in self._study.displayed[:_IMAGES_FOR_RANGES]:
            try:
                shown.append(shown_channels(study_images(self._study, [name])[0], channels))
            except SimSearchError as error:
                _log.warning("%s", error)
        if not shown:
            return tuple(ShownChannel(c, "FFFFFF", 0.0, 255.0) for c in channels)
        return tuple(widest(alike) for alike in zip(*shown, strict=True))

    def close(self) -> None:
        """Draw nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _intensities(self, index: int, y: int, x: int) -> list[float] | None:
        try:
            image = self.image(index)
            if not (0 <= y < image.shape[0] and 0 <= x < image.shape[1]):
                return None
            pixel = read_region(image, 0, Region(y, y + 1, x, x + 1))
        except OSError as error:  # SourceError and StoreError are
            _log.warning("%s", error)
            return None
        values: list[float] = np.nan_to_num(pixel.reshape(-1).astype(np.float64)).tolist()
        return values

    def _drawn(self, key: str, index: int, render: Callable[[ImageMeta], Picture]) -> tuple[Picture, bool]:
        try:
            image = self.image(index)
            _check_there(image)
            picture = render(image)
        except OSError as error:  # SourceError and StoreError are
            _log.warning("%s", error)
            return render_damage(), False
        self._cache.put(key, picture)
        return picture, True
