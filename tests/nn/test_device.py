"""A GPU gives what the CPU gives, as far as bfloat16 can tell."""

from __future__ import annotations

import pytest
import torch

from simsearch.nn.device import fast_inference, pick_device
from simsearch.nn.features import dense_features
from simsearch.nn.trunk import Trunk


def test_inference_on_the_cpu_is_in_full_precision() -> None:
    with fast_inference(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)

    assert product.dtype == torch.float32
    assert product.is_inference()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_on_the_gpu_agree_with_those_on_the_cpu() -> None:
    torch.manual_seed(0)
    trunk, images = Trunk().eval(), torch.rand(1, 3, 128, 128)
    with fast_inference(torch.device("cpu")):
        expected = dense_features(trunk, images)
    device = pick_device()
    with fast_inference(device):
        found = dense_features(trunk.to(device, memory_format=torch.channels_last), images.to(device)).float().cpu()

    assert device.type == "cuda"
    assert torch.nn.functional.cosine_similarity(found, expected, dim=1).min() > 0.99
