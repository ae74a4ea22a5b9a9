"""Comparison between spectra gives what the direct one gives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from simsearch.errors import ShapeError
from simsearch.nn.similarity import make_query, prototype_maps
from simsearch.nn.spectra import Spectra, make_kernels

D = 40


@pytest.mark.parametrize("shape", [(5, 9), (58, 58), (70, 131)])
@pytest.mark.parametrize("block", [(7, 7), (3, 7), (13, 9), (1, 1)])
def test_spectra_give_what_the_direct_comparison_gives(shape: tuple[int, int], block: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(1)
    margin = max(block) // 2
    vectors = torch.rand(D, shape[0] + 2 * margin, shape[1] + 2 * margin, generator=rng)
    centre = vectors.mean(dim=(1, 2))
    blocks = [torch.rand(D, *block, generator=rng) for _ in range(3)]
    query = make_query([[blocks]], centre)
    expected = prototype_maps(vectors, query)[0]
    found = Spectra(vectors, centre, margin).compare(make_kernels(query.blocks[0][0], margin))
    assert found.shape == expected.shape == (3, *shape)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_a_place_without_features_is_similar_to_nothing() -> None:
    vectors = torch.rand(D, 30, 30)
    vectors[:, 5:25, 5:25] = 0.5
    found = Spectra(vectors, torch.full((D,), 0.5), 3).compare(make_kernels(torch.rand(1, D, 7, 7), 3))
    assert found[0, 10, 10] == 0
    assert found.abs().max() > 0


def test_memory_is_told_before_it_is_taken() -> None:
    spectra = Spectra(torch.rand(D, 100 + 6, 60 + 6), torch.zeros(D), 3)
    held = spectra._spectra
    assert Spectra.n_bytes((100, 60), D, 3) == held.numel() * held.element_size()


PEAK = """
import re, torch
from pathlib import Path
from simsearch.nn import spectra

def most_bytes():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

torch.set_num_threads(1)
spectra._PASSING_BYTES = 2**24
shape, dim, margin = (1000, 1000), 32, 3
torch.fft.irfft2(torch.fft.rfft2(torch.rand(64, 64)))  # what is loaded at the first use is not counted
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
begin = most_bytes()
vectors = torch.rand(dim, *(side + 2 * margin for side in shape), dtype=torch.float16)
made = spectra.Spectra(vectors, torch.zeros(dim), margin)
made.compare(spectra.make_kernels(torch.rand(8, dim, 7, 7), margin))
maps = 8 * 4 * shape[0] * shape[1]  # the result, beside the parts that it is joined from
told = made.n_bytes(shape, dim, margin) + made.passing_bytes(shape, dim, margin) + 2 * maps
print((most_bytes() - begin) / told)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells a peak")
def test_no_more_memory_is_taken_than_was_told() -> None:
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is given back is not counted again
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, env=environment)
    assert 0.5 < float(done.stdout) < 1.1


def test_vectors_that_are_all_margin_are_refused() -> None:
    with pytest.raises(ShapeError, match="margin of 3"):
        Spectra(torch.rand(D, 6, 20), torch.zeros(D), 3)
