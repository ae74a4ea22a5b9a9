"""Model files: safetensors with a JSON header that says what the model is for. Never a pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping  # noqa: TC003  pydantic reads the annotations
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, deserialize

from simsearch.core.checks.formats import FORMAT_KEY, check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.errors import ModelFileError
from simsearch.nn.carried_search import CarriedSearch, SearchShare, search_of_tensors
from simsearch.nn.classifier import KINDS, PatchClassifier, classifier_extractor
from simsearch.nn.trunk import Trunk

if TYPE_CHECKING:
    from collections.abc import Sequence

METADATA_KEY = "simsearch"
_FORMAT = 3  # of models that carry a search
_OF_SIZES = 2  # of others whose classes differ in size
_OF_ONE_SIZE = 1  # of others with one patch for all classes, which the oldest readers understand
_SEARCH = "search/"  # before the names of tensors
_SIZE_TOLERANCE = 0.1  # of a pixel's size: objectives of one kind differ by less


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """What a model is for, and how it was made."""

    kind: str
    """dense or patchwise."""
    classes: tuple[str, ...]
    """Names of the classes; the first is the background."""
    patch_shapes: tuple[tuple[float, float], ...]
    """For each class but the background, height and width of its patches in level-0 pixels."""
    downsampling: int
    """Level-0 pixels per pixel that the model sees."""
    channels: tuple[str, ...]
    """Names of the channels that it sees."""
    ranges: tuple[tuple[float, float], ...]
    """For each of them the intensities that become 0 and 1."""
    dtype: str
    """Pixel type of the images it was trained on."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of their level-0 pixels in micrometres, where known."""
    confidence_thresholds: tuple[float, ...]
    """For each class but the background, the lowest confidence of a detection."""
    trunk: str
    """sha256 of the trunk that training began with."""
    training: Mapping[str, Any]
    """How it was trained, as JSON can hold it."""
    search_shares: tuple[SearchShare | None, ...] = ()
    """For each class but the background, how far the search that the model carries decides; empty without one."""

    @property
    def patch_shape(self) -> tuple[float, float]:
        """Height and width of what is looked at: the largest of all classes."""
        return max(height for height, _ in self.patch_shapes), max(width for _, width in self.patch_shapes)

    @property
    def working_shapes(self) -> tuple[tuple[int, int], ...]:
        """Heights and widths of patches in pixels that the model sees."""
        return tuple(self._seen(shape) for shape in self.patch_shapes)

    @property
    def working_shape(self) -> tuple[int, int]:
        """Height and width of what is looked at in pixels that the model sees."""
        return self._seen(self.patch_shape)

    def _seen(self, shape: tuple[float, float]) -> tuple[int, int]:
        height, width = (round(side / self.downsampling) for side in shape)
        return height, width


_HEADER = TypeAdapter(ModelHeader)


def model_to_bytes(model: PatchClassifier, header: ModelHeader) -> bytes:
    """Serialise a model; the same model gives the same bytes, whose sha256 is its identity."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if model.carried is not None:
        state |= {f"{_SEARCH}{name}": value for name, value in model.carried.tensors().items()}
    text = json.dumps(_content(header), sort_keys=True)
    return safetensors.torch.save(state, metadata={METADATA_KEY: text})


def _content(header: ModelHeader) -> dict[str, Any]:
    content = asdict(header)
    if header.search_shares:
        return {FORMAT_KEY: _FORMAT, **content}
    del content["search_shares"]
    if len(set(header.patch_shapes)) > 1:
        return {FORMAT_KEY: _OF_SIZES, **content}
    del content["patch_shapes"]
    return {FORMAT_KEY: _OF_ONE_SIZE, **content, "patch_shape": header.patch_shape}


def model_from_bytes(blob: bytes, name: str = "model") -> tuple[PatchClassifier, ModelHeader]:
    """Read a model, ready for inference.

    Parameters
    ----------
    blob : bytes
        What `model_to_bytes` gave.
    name : str
        Of the file, for messages.

    Raises
    ------
    ModelFileError
        If it is no model of simsearch, is damaged or was written by a later version.
    """
    header = read_header(blob, name)
    model = make_classifier(Trunk(len(header.channels)), header)
    tensors = safetensors.torch.load(blob)
    state = {key: value for key, value in tensors.items() if not key.startswith(_SEARCH)}
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if found != expected:
        wrong = next(iter(dict(expected.items() ^ found.items())))
        raise ModelFileError(
            f"{name}: expected {wrong} of shape {expected.get(wrong)}, got {found.get(wrong)}: train the model again"
        )
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise ModelFileError(f"{name}: expected finite weights, got others: the file is damaged, train the model again")
    model.load_state_dict(state)
    if header.search_shares:
        searched = {key.removeprefix(_SEARCH): value for key, value in tensors.items() if key not in state}
        model.carried = _search(searched, header, max(model.extractor.block_shape) // 2, name)
    return model.eval().requires_grad_(False), header


def _search(tensors: Mapping[str, torch.Tensor], header: ModelHeader, margin: int, name: str) -> CarriedSearch:
    """Read the search of a model that looks so many vectors far."""
    shares = {label: share for label, share in enumerate(header.search_shares, start=1) if share is not None}
    try:
        search = search_of_tensors(tensors, shares)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ModelFileError(
            f"{name}: expected the search that it carries, got {type(error).__name__}: {error}: train the model again"
        ) from error
    fits = all(query.margin <= margin for query, _ in search.beside())
    if not fits or sorted(label for labels in search.classes for label in labels) != sorted(shares):
        raise ModelFileError(f"{name}: expected the search of its classes, got another: train the model again")
    return search


def make_classifier(trunk: Trunk, header: ModelHeader) -> PatchClassifier:
    """Make the network that a header describes."""
    extractor = classifier_extractor(header.kind, header.working_shape)
    return PatchClassifier(trunk, extractor, len(header.classes), header.working_shapes)


def check_fits(
    header: ModelHeader, image: str, channels: Sequence[str], dtype: str, pixel_size_um: tuple[float, float] | None
) -> None:
    """Refuse an image that a model was not trained for.

    Parameters
    ----------
    header : ModelHeader
        Of the model.
    image : str
        Name of the image, for messages.
    channels : sequence of str
        Names of its channels.
    dtype : str
        Its pixel type.
    pixel_size_um : (float, float) or None
        Height and width of its level-0 pixels in micrometres, where known.

    Raises
    ------
    ModelFileError
        If a channel is missing, the pixel type differs, or pixels differ in size by more than a tenth.
    """
    missing = [channel for channel in header.channels if channel not in channels]
    if missing:
        raise ModelFileError(
            f"{image}: expected the channels {', '.join(header.channels)} that the model sees, got "
            f"{', '.join(channels)}: convert with --channel-names, or train on such images"
        )
    if dtype != header.dtype:
        raise ModelFileError(
            f"{image}: expected {header.dtype} pixels as in training, got {dtype}: train on such images"
        )
    if header.pixel_size_um and pixel_size_um:
        ratios = [abs(math.log(b / a)) for a, b in zip(header.pixel_size_um, pixel_size_um, strict=True)]
        if max(ratios) > math.log(1 + _SIZE_TOLERANCE):
            raise ModelFileError(
                f"{image}: expected pixels of {header.pixel_size_um} um as in training, got {pixel_size_um} um: "
                "use images of the same magnification"
            )


def read_header(blob: bytes, name: str = "model") -> ModelHeader:
    """Read what a model file says of itself, without its network.

    Raises
    ------
    ModelFileError
        If it is no model of simsearch, is damaged or was written by a later version.
    """
    try:
        content = parse_json(metadata_of(blob)[METADATA_KEY])
        written = content.pop(FORMAT_KEY)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{name}: expected a model of simsearch, got {type(error).__name__}: {error}") from error
    check_format({FORMAT_KEY: written}, _FORMAT, name, ModelFileError)
    if written == _OF_ONE_SIZE and "patch_shape" in content and isinstance(content.get("classes"), list):
        content["patch_shapes"] = [content.pop("patch_shape")] * (len(content["classes"]) - 1)
    if written < _FORMAT:
        content["search_shares"] = []
    wanted = {field.name for field in fields(ModelHeader)}
    if set(content) != wanted or content["kind"] not in KINDS:
        raise ModelFileError(f"{name}: expected the header {sorted(wanted)}, got {sorted(content)}: train it again")
    try:
        header = _HEADER.validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        place, found = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
        raise ModelFileError(f"{name}: expected a header of a model, got {place}: {found}: train it again") from error
    _check_values(header, name)
    return header


def _check_values(header: ModelHeader, name: str) -> None:
    """Refuse what is of the right types, and makes no sense."""
    sides = [side for shape in header.patch_shapes for side in shape]
    sizes = (*sides, *(header.pixel_size_um or ()), header.downsampling)
    is_sane = {
        "patch_shapes": all(math.isfinite(size) and size > 0 for size in sizes)
        and len(header.patch_shapes) == len(header.classes) - 1
        and (header.kind != "patchwise" or len(set(header.patch_shapes)) == 1),
        "classes": len(set(header.classes)) == len(header.classes) > 1,
        "channels": len(header.channels) > 0,
        "ranges": len(header.ranges) == len(header.channels)
        and all(math.isfinite(low) and math.isfinite(high) and low < high for low, high in header.ranges),
        "confidence_thresholds": len(header.confidence_thresholds) == len(header.classes) - 1
        and all(0 <= each <= 1 for each in header.confidence_thresholds),
        "search_shares": len(header.search_shares) in (0, len(header.classes) - 1)
        and all(0 <= each.weight <= 1 and each.slope >= 0 and each.finer >= 1 for each in header.search_shares if each),
    }
    wrong = next((each for each, is_so in is_sane.items() if not is_so), None)
    if wrong:
        raise ModelFileError(
            f"{name}: expected {wrong} of a model that can be run, got {getattr(header, wrong)}: train it again"
        )


def metadata_of(blob: bytes) -> dict[str, str]:
    """Read what a safetensors file says beside its tensors.

    Raises
    ------
    SafetensorError, ValueError
        If it is none.
    """
    deserialize(blob)  # checks the offsets against the file's size
    n_bytes = int.from_bytes(blob[:8], "little")
    metadata: dict[str, str] = parse_json(blob[8 : 8 + n_bytes]).get("__metadata__", {})
    return metadata
