"""What a model of a study finds on the displayed images, to choose confidence thresholds by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simsearch.core.ranked_peaks import RankedPeaks, ranked_peaks
from simsearch.curation.confidence import Estimate, estimate_confidence
from simsearch.errors import AnnotationError, OtherRunError
from simsearch.io.tables.peaks import read_peaks
from simsearch.runtime.events import Observer, ignore
from simsearch.workflows.curate.study import CACHE_NAME, study_images
from simsearch.workflows.image_set import ImageSet
from simsearch.workflows.provenance import fingerprint
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.objects import TABLE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.curate.trained import TrainedModel

NOTE = (
    "The model was trained on these patches, so the estimates are too good, the more so the fewer patches there are. "
    "Precision holds for the mix of patches that were judged, which is not the mix of the images."
)
"""What must be said beside estimates."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model finds on the displayed images."""

    model: str
    """Id of the model."""
    images: tuple[str, ...]
    """Names of the images that `by_class` refers to."""
    by_class: Mapping[str, RankedPeaks]
    """Peaks of confidence of each class of the model, down to 0.05."""
    estimates: Mapping[str, Estimate]
    """Precision and recall on the places that people have judged, for classes of the curation."""
    note: str = NOTE
    """What must be said beside the estimates."""


def predict_displayed(
    client: Client, study: Study, curation: Curation, model: TrainedModel, *, observe: Observer = ignore
) -> Path:
    """Run a model over the displayed images; what was found before is kept, and a run that was killed goes on.

    Returns
    -------
    Path
        Folder of the detections, in the study's cache.

    Raises
    ------
    ModelFileError
        If the model was not trained for an image.
    SourceError, StoreError
        If an image cannot be read, or the folder cannot be written.
    """
    folder = predictions_folder(study, curation, model)
    if not (folder / TABLE_NAME).exists():
        images = ImageSet(study_images(study, curation.displayed))
        try:
            detect(client, images, model.path, folder, DetectOptions(), observe=observe)
        except OtherRunError:  # stopped in another arithmetic, on other workers: nobody waits for that one any more
            detect(client, images, model.path, folder, DetectOptions(overwrite=True), observe=observe)
    return folder


def predictions_folder(study: Study, curation: Curation, model: TrainedModel) -> Path:
    """Tell where predictions on the displayed images are kept."""
    key = fingerprint({"model": model.sha256, "images": curation.displayed})[:16]
    return study.folder.absolute() / CACHE_NAME / "predictions" / f"{model.id}-{key}"


def read_predictions(study: Study, curation: Curation, model: TrainedModel) -> Predictions | None:
    """Read what was predicted on the images that are displayed; None if nothing was yet.

    Raises
    ------
    AnnotationError
        If the table is damaged.
    """
    path = predictions_folder(study, curation, model) / TABLE_NAME
    if not path.exists():
        return None
    try:
        peaks = read_peaks(path)
    except AnnotationError:
        path.unlink()  # so that the next run writes it anew
        raise
    by_class = {
        name: ranked_peaks((peak for peak in peaks if peak.class_name == name), curation.displayed)
        for name in model.classes
    }
    return Predictions(
        model.id, curation.displayed, by_class, estimate_confidence(curation, curation.displayed, by_class)
    )
