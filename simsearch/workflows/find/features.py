"""Features that are computed once and kept: the next prototype, threshold or flag reads no pixel."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.tiles import Region, tile_cores
from simsearch.io.ome_zarr.feature_store import create_features, finish_features
from simsearch.io.ome_zarr.writing import store_errors
from simsearch.runtime.submit import run_tasks
from simsearch.runtime.tasks.search import FeatureTask, store_features
from simsearch.workflows.find.query import Group, Setting, feature_key, feature_path, image_name, view_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.runtime.views import View
    from simsearch.workflows.image_set import ImageSet

_LARGEST_BYTES = 2 * 2**30  # of a feature map: an image of 23,000 x 23,000 px at its working scale


def keep_features(client: Client, images: ImageSet, group: Group, setting: Setting, observe: Observer) -> None:
    """Compute the feature maps of images that have none in the cache of a setting.

    Images that fail are left out of `images`, or end the run. Those whose feature maps would take more than 2 GiB get
    none: their features are computed anew each time they are needed.

    Raises
    ------
    StoreError
        If the cache cannot be written.
    """
    views = [view_of(image, group, setting) for image in images]
    missing = [view for view in views if view.features is None and can_keep_features(view)]
    if setting.cache is None or not missing:
        return
    with store_errors(str(setting.cache)):
        setting.cache.mkdir(parents=True, exist_ok=True)
    tasks = [task for view in missing for task in _feature_tasks(view, setting, setting.cache)]
    left = Counter(task.path for task in tasks)
    outcomes = run_tasks(client, store_features, tasks, step="features", observe=observe)
    for task, _ in images.results(outcomes, image_name):
        left[task.path] -= 1
        if not left[task.path]:
            finish_features(task.path)


def _feature_tasks(view: View, setting: Setting, cache: Path) -> Iterator[FeatureTask]:
    path, shape = feature_path(view, cache), _stored_shape(view)
    tile = setting.search_tile(shape)
    create_features(path, (view.extractor.dim, *shape), tile, feature_key(view))
    for window in tile_cores(shape, tile):
        yield FeatureTask(view, window.shifted(-view.kept_margin), path)


def _stored_shape(view: View) -> tuple[int, int]:
    height, width = view.grid_shape
    return Region(0, height, 0, width).grown(view.kept_margin).shape


def can_keep_features(view: View) -> bool:
    """Tell whether a feature map of an image is not too large to be kept."""
    return kept_bytes(view) <= _LARGEST_BYTES


def kept_bytes(view: View) -> int:
    """Tell how much disk the feature map of an image takes."""
    height, width = _stored_shape(view)
    return height * width * view.extractor.dim * np.dtype(np.float16).itemsize
