"""Tiles are read while another is computed, and split where they do not fit in the memory of a GPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event as Gate
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from simsearch.core.tiles import Region
from simsearch.errors import TaskError
from simsearch.io.ome_zarr.scaled import scaled
from simsearch.nn import extractor as extractor_module
from simsearch.nn.classifier import classifier_extractor
from simsearch.nn.trunk import Trunk
from simsearch.runtime import views
from simsearch.runtime.views import View, window_maps

if TYPE_CHECKING:
    from pathlib import Path

    from simsearch.nn.raw_pixels import RawPixels
    from tests.conftest import SaveImage

WINDOW = Region(1, 10, 2, 8)


@pytest.fixture(autouse=True)
def no_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a machine with a GPU compute as others do, but in tests of the GPU itself."""
    if "gpu" not in request.keywords:
        monkeypatch.setattr(views, "pick_device", lambda: torch.device("cpu"))


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Trunk(1).eval()


@pytest.fixture(params=["dense", "patchwise"])
def view(request: pytest.FixtureRequest, save_image: SaveImage, tmp_path: Path) -> View:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 90, 110), np.uint8)
    image = save_image(tmp_path / "a.ome.zarr", pixels)
    return View(scaled(image), (0,), ((0.0, 255.0),), classifier_extractor(request.param, (32, 32)), "")


class SmallGpu:
    """Stands in for a GPU whose memory ends where the real functions would be given more than so many positions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: object, name: str, largest: int) -> None:
        self.sizes: list[int] = []
        real = getattr(module, name)

        def limited(trunk: Trunk, *values: object) -> torch.Tensor:
            (size,) = [len(v) for v in values if isinstance(v, torch.Tensor) and v.ndim == 4] or [
                v.shape[0] * v.shape[1] for v in values if isinstance(v, Region)
            ][:1]
            self.sizes.append(size)
            if size > largest:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            return real(trunk, *values)

        monkeypatch.setattr(module, name, limited)


@pytest.mark.parametrize("largest", [30, 7, 1])
def test_a_window_that_does_not_fit_is_computed_in_parts(
    trunk: Trunk, view: View, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    expected = window_maps(trunk, view, WINDOW)
    gpu = SmallGpu(monkeypatch, views, "vectors", largest)
    found = window_maps(trunk, view, WINDOW)
    assert found.shape == (view.extractor.dim, *WINDOW.shape)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)
    assert gpu.sizes[:2] == [54, 24]
    assert sum(size for size in gpu.sizes if size <= largest) == 54  # nothing is computed twice


def test_a_margin_is_kept_around_the_parts(trunk: Trunk, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    def difference(found: torch.Tensor) -> torch.Tensor:
        return found[:, 2:, 2:] - found[:, :-2, :-2]

    expected = window_maps(trunk, view, WINDOW, difference, 1)
    SmallGpu(monkeypatch, views, "vectors", 40)
    np.testing.assert_allclose(window_maps(trunk, view, WINDOW, difference, 1), expected, atol=2e-3)


def test_what_follows_on_vectors_may_be_too_large_too(trunk: Trunk, view: View) -> None:
    def large(found: torch.Tensor) -> torch.Tensor:
        if found[0].numel() > 10:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found

    np.testing.assert_allclose(
        window_maps(trunk, view, WINDOW, large), window_maps(trunk, view, WINDOW), rtol=2e-3, atol=1e-3
    )


def test_patches_that_do_not_fit_go_in_smaller_batches(
    trunk: Trunk, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    if view.extractor.method != "patchwise":
        pytest.skip("dense features have no batches")
    expected = window_maps(trunk, view, WINDOW)
    gpu = SmallGpu(monkeypatch, extractor_module, "patch_features", 20)
    np.testing.assert_allclose(window_maps(trunk, view, WINDOW), expected, rtol=2e-3, atol=1e-3)
    assert gpu.sizes == [54, 54, 32, 16, 16, 16, 6]  # batches of 128, 64, 32 and 16: the first two hold all there are


def test_a_position_that_does_not_fit_is_named_with_the_way_out(
    trunk: Trunk, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    SmallGpu(monkeypatch, views, "vectors", 0)
    with pytest.raises(TaskError, match=r"^a y .* on the GPU, got none \(CUDA out of memory.*compute on CPUs"):
        window_maps(trunk, view, WINDOW)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_that_is_nearly_full_gives_the_same(trunk: Trunk, view: View) -> None:
    trunk = trunk.to("cuda", memory_format=torch.channels_last)
    expected = window_maps(trunk, view, WINDOW)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**23) / total)
    try:
        np.testing.assert_allclose(window_maps(trunk, view, WINDOW), expected, atol=0.05)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


# One computation at a time


class Trace:
    """Counts what goes on at once in a process."""

    def __init__(self) -> None:
        self.second_read = Gate()
        self.n_reads = self.n_computing = self.most = self.n_computed = 0
        self.lock = Lock()


def test_the_next_tile_is_read_while_one_is_computed_and_only_one_is(
    trunk: Trunk, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, read = Trace(), views.read_raw

    def reading(view: View, region: Region) -> RawPixels:
        with trace.lock:
            trace.n_reads += 1
            if trace.n_reads == 2:
                trace.second_read.set()
        return read(view, region)

    def compute(found: torch.Tensor) -> torch.Tensor:
        with trace.lock:
            trace.n_computing += 1
            trace.most = max(trace.most, trace.n_computing)
        assert trace.second_read.wait(60)  # another tile is read before this one is done
        with trace.lock:
            trace.n_computing -= 1
            trace.n_computed += 1
        return found

    monkeypatch.setattr(views, "read_raw", reading)
    windows = [Region(y, y + 2, 0, 3) for y in range(0, 8, 2)]
    with ThreadPoolExecutor(4) as worker:
        assert len(list(worker.map(lambda window: window_maps(trunk, view, window, compute), windows))) == 4
    assert (trace.n_reads, trace.n_computed, trace.most) == (4, 4, 1)
