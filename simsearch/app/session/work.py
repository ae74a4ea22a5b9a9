"""What each kind of request does: it calls one workflow."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from simsearch.core.named_regions import NamedRegion
from simsearch.curation.history import replay
from simsearch.errors import ConfigError
from simsearch.workflows.curate.study import study_images
from simsearch.workflows.curate.trained import read_trained
from simsearch.workflows.image_set import ImageSet
from simsearch.workflows.learn.train import TrainOptions, train_study
from simsearch.workflows.provenance import fingerprint
from simsearch.workflows.run.detect import DetectOptions, detect
from simsearch.workflows.run.objects import rethreshold
from simsearch.workflows.run.predict import predict_displayed
from simsearch.workflows.run.results import RESULTS_NAME
from simsearch.workflows.run.segment import SegmentOptions, segment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simsearch.app.session.requests import Request
    from simsearch.curation.history import History
    from simsearch.curation.state import Curation
    from simsearch.runtime import Client
    from simsearch.runtime.events import Observer
    from simsearch.workflows.curate.study import Study
    from simsearch.workflows.curate.trained import TrainedModel

_FLOOR = DetectOptions().floor


def do_request(client: Client, study: Study, history: History, request: Request, observe: Observer) -> Path:
    """Do what was asked for, with what was said by then; what an earlier server began goes on.

    Returns
    -------
    Path
        The model file, or the folder of results.

    Raises
    ------
    SimSearchError
        If it cannot be done.
    """
    if request.kind == "train":
        curation = replay(history.initial, history.entries[: request.n_entries]).state
        return train_study(client, study, curation, TrainOptions(**request.options), observe=observe).model
    model = find_model(study, request.options["model"])
    if request.kind == "predict":
        return predict_displayed(client, study, history.state, model, observe=observe)
    names = request.options["images"]
    images = ImageSet(study_images(study, names), skip_errors=True)
    if request.kind == "detect":
        options = DetectOptions(floor=request.options["floor"])
        outlined = request.options.get("regions", ())
        regions = [replace(NamedRegion(**each), corners=tuple(map(tuple, each["corners"]))) for each in outlined]
        folder = _folder(study, request, asdict(options) | ({"regions": outlined} if outlined else {}))
        detect(client, images, model.path, folder, options, regions=regions, observe=observe)
        rethreshold(folder, chosen_thresholds(history.state, model))
        return folder
    labels = SegmentOptions(
        name=f"simsearch-{model.id}",  # models do not overwrite each other's labels
        tissue_mask=request.options["tissue_mask"],
        beside_image=request.options["beside_image"],
    )
    folder = _folder(study, request, asdict(labels))
    segment(client, images, model.path, folder, labels, observe=observe)
    return folder


def find_model(study: Study, model_id: str) -> TrainedModel:
    """Find a model of a study.

    Raises
    ------
    ConfigError
        If there is none of that id.
    """
    models = {model.id: model for model in read_trained(study)}
    if model_id not in models:
        raise ConfigError(f"expected a model out of {', '.join(models) or 'none yet'}, got {model_id}: train one first")
    return models[model_id]


def chosen_thresholds(curation: Curation, model: TrainedModel) -> dict[str, float]:
    """Return the confidence thresholds that people have chosen for classes of a model."""
    chosen = {each.name: each.confidence_threshold for each in curation.classes if each.name in model.classes}
    return {name: value for name, value in chosen.items() if value is not None}


def detection_floor(curation: Curation, model: TrainedModel) -> float:
    """Return the lowest confidence to keep, so that thresholds can be chosen down to it later."""
    return min([_FLOOR, *chosen_thresholds(curation, model).values()])


def _folder(study: Study, request: Request, options: Mapping[str, object]) -> Path:
    """Name a folder by the model and all that results depend on: the same request goes on in the same one."""
    key = fingerprint({"images": request.options["images"], "options": options})[:8]
    return study.folder.absolute() / RESULTS_NAME / f"{request.kind}-{request.options['model']}-{key}"
