"""Images whose channels, planes and time points lie in files of their own: fields of plates."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from simsearch.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from simsearch.core.tiles import Region
    from simsearch.io.sources.protocol import ImageSource, SourceMeta, SourceSpec, StackSpec


class StackSource:
    """A field of a plate."""

    def __init__(
        self, spec: StackSpec, open_source: Callable[[SourceSpec], AbstractContextManager[ImageSource]]
    ) -> None:
        self._files = ExitStack()
        try:
            self._channels = [
                # Here a file is a channel: its palette, if it has one, is how that is drawn.
                [self._files.enter_context(open_source(replace(plane, palette="drawn"))) for plane in planes]
                for planes in spec.channels
            ]
            self.meta = _joined(spec, self._channels)
        except BaseException:
            self._files.close()
            raise

    def read(self, region: Region) -> NDArray[np.generic]:
        """Read a region of all channels; the maximum of planes is taken one plane at a time."""
        return np.concatenate([_projected(planes, region) for planes in self._channels])

    def close(self) -> None:
        """Close all files."""
        self._files.close()


def _projected(planes: list[ImageSource], region: Region) -> NDArray[np.generic]:
    pixels = planes[0].read(region)
    for plane in planes[1:]:
        pixels = np.maximum(pixels, plane.read(region))
    return pixels


def _joined(spec: StackSpec, channels: list[list[ImageSource]]) -> SourceMeta:
    specs = [plane for planes in spec.channels for plane in planes]
    metas = [source.meta for planes in channels for source in planes]
    first = metas[0]
    for each, meta in zip(specs, metas, strict=True):
        if len(meta.channel_names) != 1:
            raise SourceError(
                f"{each.path}: expected one channel a file, got {len(meta.channel_names)} in {spec.name}: "
                "leave the channel out of the pattern, or split the file"
            )
        if (meta.shape, meta.dtype) != (first.shape, first.dtype):
            raise SourceError(
                f"{spec.name}: expected files of one size and depth, got {first.shape} px {first.dtype} in "
                f"{specs[0].path} and {meta.shape} px {meta.dtype} in {each.path}: export them alike"
            )
    return replace(
        first,
        channel_names=spec.channel_names,
        channel_colors=None,
        in_one_piece=any(meta.in_one_piece for meta in metas),
        in_strips=any(meta.in_strips for meta in metas),
        notes=tuple(note for meta in metas for note in meta.notes),
    )
