"""A trained model, and whether images are such as it is for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.errors import ModelFileError
from simsearch.nn.model_file import ModelHeader, check_fits, model_from_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.workflows.image_set import ImageSet


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
