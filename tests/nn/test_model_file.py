"""Model files come back as they were, and are not trusted."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import safetensors.torch
import torch

from simsearch.errors import ModelFileError
from simsearch.nn.carried_search import CarriedSearch, SearchShare
from simsearch.nn.classifier import PatchClassifier, classifier_extractor
from simsearch.nn.model_file import ModelHeader, check_fits, make_classifier, model_from_bytes, model_to_bytes
from simsearch.nn.similarity import make_query
from simsearch.nn.trunk import Trunk

HEADER = ModelHeader(
    kind="dense",
    classes=("background", "mitosis"),
    patch_shapes=((96.0, 64.0),),
    downsampling=2,
    channels=("GFP", "DNA"),
    ranges=((0.0, 90.0), (1.0, 102.5)),
    dtype="uint8",
    pixel_size_um=(0.5, 0.5),
    confidence_thresholds=(0.65,),
    trunk="0" * 64,
    training={"noisy": {"epochs": 8}},
)


def make(kind: str = "dense") -> tuple[PatchClassifier, ModelHeader]:
    torch.manual_seed(0)
    header = replace(HEADER, kind=kind)
    return PatchClassifier(Trunk(2), classifier_extractor(kind, header.working_shape), 2), header


@pytest.mark.parametrize("kind", ["dense", "patchwise"])
def test_a_model_comes_back_bit_for_bit(kind: str) -> None:
    model, header = make(kind)

    blob = model_to_bytes(model, header)
    found, found_header = model_from_bytes(blob)

    assert found_header == header
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in model.state_dict().items())
    assert model_to_bytes(found, found_header) == blob


def test_a_model_of_one_size_is_written_as_before_there_were_others() -> None:
    model, header = make()
    later = ("patch_shapes", "search_shares")
    said = {name: value for name, value in asdict(header).items() if name not in later}
    text = json.dumps({"format": 1, **said, "patch_shape": (96.0, 64.0)}, sort_keys=True)
    before = safetensors.torch.save(model.state_dict(), metadata={"simsearch": text})
    assert model_to_bytes(model, header) == before
    assert model_from_bytes(before)[1] == header


def test_a_model_whose_classes_differ_in_size_comes_back_bit_for_bit() -> None:
    header = replace(
        HEADER,
        classes=("background", "mitosis", "platelet"),
        patch_shapes=((96.0, 64.0), (32.0, 40.0)),
        confidence_thresholds=(0.5, 0.5),
    )
    assert (header.patch_shape, header.working_shape, header.working_shapes[1]) == ((96, 64), (48, 32), (16, 20))
    model = make_classifier(Trunk(2), header)
    model.confine()
    found, found_header = model_from_bytes(blob := model_to_bytes(model, header))
    assert found_header == header
    assert found.patch_shapes == ((48, 32), (16, 20))
    assert model_to_bytes(found, found_header) == blob


def carrying(header: ModelHeader) -> tuple[PatchClassifier, ModelHeader]:
    """Make a model that carries a search for its one class."""
    model, share = make_classifier(Trunk(2), header), SearchShare(0.25, 8.0, 0.5)
    blocks = [[torch.randn(128, 7, 5), torch.randn(128, 5, 7)], [torch.randn(128, 7, 5)]]
    query = make_query([blocks], torch.randn(128))
    model.carried = CarriedSearch((query,), ((1,),), {1: share})
    return model, replace(header, search_shares=(share,))


def test_a_model_comes_back_with_its_search_bit_for_bit() -> None:
    model, header = carrying(HEADER)
    found, found_header = model_from_bytes(blob := model_to_bytes(model, header))
    assert found_header == header
    assert model_to_bytes(found, found_header) == blob
    vectors = torch.randn(384, 14, 13)
    with torch.no_grad():
        assert torch.equal(found.log_odds_maps(vectors), model.eval().log_odds_maps(vectors))
        model.carried = None
        assert not torch.allclose(found.log_odds_maps(vectors)[1], model.log_odds_maps(vectors)[1])


@pytest.mark.parametrize("changed", [(), (None, None)])
def test_a_search_that_does_not_fit_its_model_is_refused(changed: tuple[None, ...]) -> None:
    model, header = carrying(replace(HEADER, patch_shapes=((48.0, 48.0),)))  # a block of 3 x 3, and a query of 7 x 5
    if changed:
        model.carried = None
    with pytest.raises(ModelFileError, match="m: expected the search of its classes, got another: train"):
        model_from_bytes(model_to_bytes(model, header), "m")


def test_a_truncated_file_is_refused() -> None:
    blob = model_to_bytes(*make())

    with pytest.raises(ModelFileError, match=r"m\.model: expected a model of simsearch"):
        model_from_bytes(blob[: len(blob) // 2], "m.model")


def test_what_is_no_model_is_refused() -> None:
    other = safetensors.torch.save({"a": torch.zeros(2)})

    for blob in (b"", b"hello, I am text", other):
        with pytest.raises(ModelFileError, match="expected a model of simsearch"):
            model_from_bytes(blob)


def test_a_later_format_is_refused() -> None:
    model, _ = make()
    later = safetensors.torch.save(model.state_dict(), metadata={"simsearch": json.dumps({"format": 4})})

    with pytest.raises(ModelFileError, match="expected format 3 or older, got 4: update"):
        model_from_bytes(later)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("confidence_thresholds", None),
        ("confidence_thresholds", [0.5, 0.5]),
        ("confidence_thresholds", [float("nan")]),
        ("confidence_thresholds", [1.5]),
        ("classes", "background"),
        ("classes", ["background"]),
        ("patch_shapes", [[0, 64]]),
        ("patch_shapes", [[96]]),
        ("patch_shapes", [[96, 64], [96, 64]]),
        ("downsampling", "2"),
        ("downsampling", -1),
        ("channels", [1, 2]),
        ("ranges", [[0, 90]]),
        ("ranges", [[0, 90], [5, 5]]),
        ("pixel_size_um", [0.5, float("inf")]),
        ("training", []),
        ("search_shares", [{"weight": 2.0, "slope": 1.0, "similarity": 0.5, "finer": 1}]),
        ("search_shares", [None, None]),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_in_a_line(field: str, value: object) -> None:
    model, header = make()
    said = json.dumps({"format": 3, **asdict(header), field: value})
    blob = safetensors.torch.save(model.state_dict(), metadata={"simsearch": said})
    with pytest.raises(ModelFileError, match=r"^m: expected ") as refused:
        model_from_bytes(blob, "m")
    assert "\n" not in str(refused.value)


def test_weights_that_do_not_fit_the_header_are_refused() -> None:
    model, header = make()

    with pytest.raises(ModelFileError, match="head"):
        model_from_bytes(
            model_to_bytes(model, replace(header, classes=("background", "a", "b"), confidence_thresholds=(0.5, 0.5)))
        )


def test_weights_that_are_not_finite_are_refused() -> None:
    model, header = make()
    with torch.no_grad():
        model.head.weight[0, 0, 0, 0] = torch.nan

    with pytest.raises(ModelFileError, match="finite"):
        model_from_bytes(model_to_bytes(model, header))


def test_images_like_those_of_training_fit() -> None:
    check_fits(HEADER, "a", ("DNA", "GFP", "actin"), "uint8", (0.52, 0.52))
    check_fits(HEADER, "a", ("GFP", "DNA"), "uint8", None)


@pytest.mark.parametrize(
    ("channels", "dtype", "size", "message"),
    [
        (("GFP",), "uint8", (0.5, 0.5), "channels GFP, DNA"),
        (("GFP", "DNA"), "uint16", (0.5, 0.5), "uint8 pixels"),
        (("GFP", "DNA"), "uint8", (0.25, 0.25), "magnification"),
    ],
)
def test_other_images_are_refused_by_name(
    channels: tuple[str, ...], dtype: str, size: tuple[float, float], message: str
) -> None:
    with pytest.raises(ModelFileError, match=f"plate/A/01/0: .*{message}"):
        check_fits(HEADER, "plate/A/01/0", channels, dtype, size)


@pytest.mark.parametrize("kind", ["dense", "patchwise"])
def test_probabilities_over_vectors_are_those_of_single_blocks(kind: str) -> None:
    model, _ = make(kind)
    kh, kw = model.extractor.block_shape
    margin = max(kh, kw) // 2
    vectors = torch.randn(model.extractor.dim, 3 + 2 * margin, 4 + 2 * margin)
    top, left = 1 + margin - kh // 2, 2 + margin - kw // 2  # of the block around position 1, 2

    with torch.no_grad():
        maps = torch.sigmoid(model.log_odds_maps(vectors))
        block = model.logits(vectors[None, :, top : top + kh, left : left + kw]).softmax(dim=1)[0]

    assert maps.shape == (2, 3, 4)
    assert torch.allclose(maps[:, 1, 2], block, atol=1e-5)
    assert torch.allclose(maps.sum(dim=0), torch.ones(3, 4), atol=1e-5)
