"""The keywords of functions, for type checkers and editors: what the options of workflows have as fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Required, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simsearch.api.calling import AnyPath
    from simsearch.io.ome_zarr.image import Selection


class ImageKeywords(TypedDict, total=False):
    """How to read images: `simsearch.api.calling.ImageOptions`."""

    z: Selection
    t: Selection
    skip_errors: bool


class ConvertKeywords(ImageKeywords, total=False):
    """How to convert: `simsearch.workflows.convert.plan.ConvertOptions`."""

    ome_version: Literal["0.5", "0.4", "0.6"]
    series: str | None
    stack: Literal["channels", "z", "t"] | None
    plate_pattern: str | None
    plate_map: AnyPath | None
    path_map: Sequence[tuple[str, str]]
    channel_names: Sequence[str]
    pixel_size_um: float | tuple[float, float] | None
    chunk: int
    shard: int
    overwrite: bool


class SearchKeywords(ImageKeywords, total=False):
    """How to search: `simsearch.workflows.find.search.SearchOptions`."""

    method: Literal["template", "template-fine", "template-deep", "pooled", "patchwise"]
    trunk: str
    channels: Sequence[str] | None
    measurement: AnyPath | None
    combine: Literal["soft", "max", "mean"]
    floor: float
    tile: int | None
    save_maps: bool
    exact: bool
    overwrite: bool


class StudyKeywords(TypedDict, total=False):
    """How to begin a study: `simsearch.workflows.curate.study.StudyOptions`."""

    channels: Sequence[str] | None
    display: int | Sequence[str]
    display_by: str | None
    seed: int
    trunk: str
    measurement: AnyPath | None
    z: Selection
    t: Selection
    private: bool
    one_patch: bool


class ImportKeywords(TypedDict, total=False):
    """How to understand annotations: `simsearch.workflows.curate.annotation_files.ImportOptions`."""

    image: str | None
    class_name: str | None
    fit: bool
    slide: AnyPath | None
    offset_nm: tuple[float, float] | None


class SuggestKeywords(TypedDict, total=False):
    """What to do with suggestions: `simsearch.workflows.curate.headless.CurateOptions`."""

    similarity_thresholds: Mapping[str, float]
    accept: bool
    difficult: bool
    n_background: int | None
    table: AnyPath | None


class BehaviourKeywords(TypedDict, total=False):
    """How a simulated person works: `simsearch.workflows.curate.simulated_user.Behaviour`."""

    classes: Required[Sequence[str]]
    patch_shape: Required[tuple[float, float]]
    n_prototypes: int
    n_negatives: int
    n_background: int
    is_truth_complete: bool
    distance: float | None
    seed: int


class TrainKeywords(TypedDict, total=False):
    """How to train: `simsearch.workflows.learn.train.TrainOptions`."""

    kind: Literal["dense", "patchwise"]
    selflearn: bool
    negatives: bool
    paper: bool
    averaging: bool
    beside: bool
    search: bool
    n_noisy: int
    n_background: int
    seed: int


class PretrainKeywords(TypedDict, total=False):
    """How to train a trunk: `simsearch.workflows.learn.pretrain.PretrainOptions`."""

    method: Literal["simclr", "distill", "both"] | None
    teacher: str | None
    begin: str | None
    steps: int
    batch: int
    rate: float
    crop: int
    scales: tuple[float, float]
    checkpoint: int
    bfloat16: bool
    measurement: AnyPath | None
    validate: AnyPath | None
    validate_every: int
    seed: int
    z: Selection
    t: Selection


class DetectKeywords(ImageKeywords, total=False):
    """How to detect: `simsearch.workflows.run.detect.DetectOptions`."""

    floor: float
    tile: int | None
    tissue_mask: bool
    exact: bool
    overwrite: bool


class SegmentKeywords(ImageKeywords, total=False):
    """How to segment: `simsearch.workflows.run.segment.SegmentOptions`."""

    tissue_mask: bool
    beside_image: bool
    name: str
    exact: bool
    overwrite: bool
