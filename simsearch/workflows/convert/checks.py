"""What is known of a conversion before a byte is written: all sources are opened, and what is wrong is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from simsearch.core.notes import said_once
from simsearch.errors import ClusterError, ConfigError, SimSearchError, SourceError, StoreError
from simsearch.io.ome_zarr.colors import default_colors
from simsearch.io.ome_zarr.writing import ImageTemplate
from simsearch.io.sources.protocol import SourceMeta, StackSpec
from simsearch.io.sources.series import ALL
from simsearch.runtime.outcomes import Failed
from simsearch.runtime.submit import run_tasks
from simsearch.workflows.convert.plan import ConvertOptions, plan_conversion
from simsearch.workflows.convert.tasks import CheckTask, check_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.convert.products import PlannedImage, Product

_SHARD_BYTES = 128 * 2**20  # a worker holds a few shards at once


@dataclass(slots=True)
class Work:
    """What is left to do, and what came of the rest."""

    products: list[Product]
    notes: list[str]
    skip_errors: bool
    metas: dict[PlannedImage, SourceMeta] = field(default_factory=dict)
    templates: dict[PlannedImage, ImageTemplate] = field(default_factory=dict)
    """What each image will be."""
    failures: dict[str, SimSearchError] = field(default_factory=dict)
    n_tasks: int = 0
    n_skipped_tasks: int = 0

    def fail(self, name: str, error: SimSearchError) -> None:
        """Leave an image out, or stop."""
        # A full disk or a lost cluster is nothing that another image would be spared.
        if not self.skip_errors or isinstance(error, (StoreError, ClusterError)):
            raise error
        self.failures.setdefault(name, error)

    def drop_failed(self) -> None:
        """Forget images that failed, and products without images."""
        kept = (
            replace(product, images=tuple(image for image in product.images if image.name not in self.failures))
            for product in self.products
        )
        self.products = [product for product in kept if product.images]
        if not self.products:
            raise next(iter(self.failures.values()))


def check_sources(
    client: Client, sources: Sequence[str | Path], destination: str | Path, options: ConvertOptions, observe: Observer
) -> Work:
    """Plan a conversion and open all of its sources; nothing is written.

    Parameters
    ----------
    client, sources, destination, options, observe
        As of `convert`.

    Raises
    ------
    ConfigError, SourceError, AnnotationError, StoreError
        As of `convert`.
    """
    plan = plan_conversion(sources, destination, options)
    work = Work(list(plan.products), list(plan.notes), options.skip_errors)
    # A macro image is no part of the dataset: where all images of a file are wanted, they may differ.
    _check(client, work, plan.failures, observe, alike=options.series != ALL)
    work.templates = {
        image: _template(image, work.metas[image], p, options) for p in work.products for image in p.images
    }
    without = [
        image for p in work.products if p.is_plate for image in p.images if not work.templates[image].pixel_size_um
    ]
    if without:
        work.notes.append("no pixel size is known: `--pixel-size` sets one")
    return work


def _check(
    client: Client, work: Work, known: Sequence[tuple[str, SimSearchError]], observe: Observer, *, alike: bool
) -> None:
    for name, error in known:
        work.fail(name, error)
    work.drop_failed()
    images = [image for product in work.products for image in product.images]
    by_task = {CheckTask(image.name, image.spec): image for image in images}
    metas, errors = {}, {}
    for outcome in run_tasks(client, check_source, list(by_task), step="check", observe=observe):
        if isinstance(outcome, Failed):
            errors[by_task[outcome.task]] = outcome.error
        else:
            metas[by_task[outcome.task]] = outcome.result
    # In the order of the sources, so that the same mistake gives the same message.
    for image in images:
        if image in errors:
            work.fail(image.name, errors[image])
    work.drop_failed()
    kept = [image for image in images if image in metas]
    for image in kept[1:] if alike else ():
        if difference := _difference(kept[0], metas[kept[0]], image, metas[image]):
            work.fail(image.name, difference)
    work.drop_failed()
    work.metas = metas
    work.notes += said_once((image.name, metas[image].notes) for image in kept)


def _difference(first: PlannedImage, one: SourceMeta, image: PlannedImage, other: SourceMeta) -> SourceError | None:
    if (len(one.channel_names), one.dtype) == (len(other.channel_names), other.dtype):
        return None
    return SourceError(
        f"expected images with the same channels and depth, got {len(one.channel_names)} x {one.dtype} in {first.spec} "
        f"and {len(other.channel_names)} x {other.dtype} in {image.spec}: convert them apart"
    )


def _template(image: PlannedImage, meta: SourceMeta, product: Product, options: ConvertOptions) -> ImageTemplate:
    names = meta.channel_names
    if options.channel_names and not isinstance(image.spec, StackSpec):
        if len(options.channel_names) != len(names):
            raise ConfigError(
                f"{image.spec}: expected names for {len(names)} channels, got {len(options.channel_names)}: name each"
            )
        names = options.channel_names
    shard = options.shard
    shard_bytes = len(names) * np.dtype(meta.dtype).itemsize * shard**2
    while shard_bytes > _SHARD_BYTES and shard % (2 * options.chunk) == 0:
        shard, shard_bytes = shard // 2, shard_bytes // 4
    size_um = options.pixel_size_um or product.pixel_size_um or meta.pixel_size_um
    units = (1.0, 1.0) if size_um else meta.spacing  # what a pixel measures where nobody named the unit
    y, x = (place * unit for place, unit in zip(meta.translation, units, strict=True))
    return ImageTemplate(
        n_channels=len(names),
        shape=meta.shape,
        dtype=meta.dtype,
        channel_names=names,
        channel_colors=meta.channel_colors or default_colors(names),
        pixel_size_um=size_um,
        scale=units,
        translation=(y, x),
        chunk=options.chunk,
        shard=shard,
        ome_version=options.ome_version,
    )
