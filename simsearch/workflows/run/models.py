"""A trained model and the images that it is for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import ModelFileError
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.nn.classifier import classifier_extractor
from simsearch.nn.model_file import ModelHeader, check_fits, model_from_bytes
from simsearch.runtime.views import View

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.io.ome_zarr.image import ImageMeta
    from simsearch.nn.device import Arithmetic
    from simsearch.workflows.image_set import ImageSet

DETECTION_SPACING = 1 / 6
"""How far around a peak of a model there is no other, as a part of the patch's shorter side: of touching objects, one
would hide the other in a wider window (benchmarks/touching.py)."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that was read."""

    path: Path
    blob: bytes
    """All of it."""
    header: ModelHeader
    digest: str
    """Its sha256."""


def read_model(path: Path) -> ModelFile:
    """Read a model file.

    Raises
    ------
    ModelFileError
        If it is not there, is no model of simsearch, is damaged or was written by a later version.
    """
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path}: expected a model, got {error.strerror or error}: `simsearch train` makes one"
        ) from error
    return ModelFile(path, blob, model_from_bytes(blob, str(path))[1], hashlib.sha256(blob).hexdigest())


def check_images(images: ImageSet, header: ModelHeader) -> None:
    """Leave out the images that a model was not trained for, or end with the first.

    Raises
    ------
    ModelFileError
        If errors are not skipped.
    """
    for image in images:
        try:
            check_fits(header, image.name, image.channel_names, image.dtype, image.pixel_size_um)
        except ModelFileError as error:
            images.leave_out(image.name, error)


def model_view(image: ImageMeta, header: ModelHeader, model: str, arithmetic: Arithmetic = "float32") -> View:
    """Tell how a model, of which the digest is given, sees an image."""
    return View(
        image=scaled(image, header.downsampling),
        channels=tuple(image.channel_names.index(name) for name in header.channels),
        ranges=header.ranges,
        extractor=classifier_extractor(header.kind, header.working_shape),
        trunk=model,
        spacing=DETECTION_SPACING,
        arithmetic=arithmetic,
    )
