"""A GPU gives what the CPU gives, as far as bfloat16 can tell."""

from __future__ import annotations

import pytest
import torch

from simsearch.nn.device import fast_inference, pick_device, torch_threads, whole_float32, with_weights_for
from simsearch.nn.features import dense_features
from simsearch.nn.trunk import Trunk


def test_inference_on_the_cpu_is_in_full_precision() -> None:
    with fast_inference(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)

    assert product.dtype == torch.float32
    assert product.is_inference()


def test_float32_is_not_rounded_on_gpus_and_what_was_set_comes_back() -> None:
    before = torch.backends.cudnn.allow_tf32
    with whole_float32(torch.device("cuda")):  # switches that are there without a GPU, too
        assert not torch.backends.cudnn.allow_tf32
        with fast_inference(torch.device("cpu"), "bfloat16"):
            assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


def test_features_in_bfloat16_are_near_those_in_float32_and_are_the_same_with_rounded_weights() -> None:
    torch.manual_seed(0)
    trunk, images, cpu = Trunk().eval(), torch.rand(1, 3, 64, 64), torch.device("cpu")
    with fast_inference(cpu):
        exact = dense_features(trunk, images)
    with fast_inference(cpu, "bfloat16"):
        short = dense_features(trunk, images)
    with_weights_for("bfloat16", trunk)
    with fast_inference(cpu, "bfloat16"):
        rounded = dense_features(trunk, images)

    assert (short.float() - exact).abs().max() > 0
    assert torch.nn.functional.cosine_similarity(short.float(), exact, dim=1).min() > 0.999
    assert torch.equal(rounded, short)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_on_the_gpu_agree_with_those_on_the_cpu() -> None:
    torch.manual_seed(0)
    trunk, images = Trunk().eval(), torch.rand(1, 3, 128, 128)
    with fast_inference(torch.device("cpu")):
        expected = dense_features(trunk, images)
    device = pick_device()
    with fast_inference(device, "bfloat16"):
        found = dense_features(trunk.to(device, memory_format=torch.channels_last), images.to(device)).float().cpu()

    assert device.type == "cuda"
    assert torch.nn.functional.cosine_similarity(found, expected, dim=1).min() > 0.99


def test_a_worker_has_its_threads_back() -> None:
    """Workers that are one of several on a machine must not take all of its cores afterwards."""
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
