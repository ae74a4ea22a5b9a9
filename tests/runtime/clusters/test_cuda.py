"""Each process has a GPU of its own; devices here are stand-ins but where a test is marked `gpu`."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import torch

from simsearch.errors import ClusterError
from simsearch.runtime import open_cluster
from simsearch.runtime.clusters import cuda, devices, local
from simsearch.runtime.clusters.devices import VARIABLE, find_devices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

STAND_INS = ["GPU-aaaa", "MIG-bbbb"]
LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77aab2c5-1f2e-4b6c-8a6e-1c1f4a4f3b11)
"""


def device() -> str | None:
    return os.environ.get(VARIABLE)


@pytest.fixture(scope="module")
def gpus() -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "find_devices", lambda: STAND_INS)
        with open_cluster("local:3") as client:
            yield client


@pytest.mark.cluster
def test_processes_are_spread_over_the_gpus_and_read_beside_computing(gpus: Client) -> None:
    assert sorted(map(str, gpus.run(device).values())) == ["GPU-aaaa", "GPU-aaaa", "MIG-bbbb"]
    assert set(gpus.nthreads().values()) == {4}


@pytest.mark.cluster
def test_a_process_that_was_lost_comes_back_with_its_gpu(gpus: Client) -> None:
    def by_name() -> dict[str, str | None]:
        names = {address: worker["name"] for address, worker in gpus.scheduler_info(-1)["workers"].items()}
        return {names[address]: found for address, found in gpus.run(device).items()}

    before = by_name()
    (victim,) = [address for address, found in gpus.run(device).items() if found == "MIG-bbbb"]
    os.kill(gpus.run(os.getpid, workers=[victim])[victim], signal.SIGKILL)
    while victim in gpus.nthreads():
        time.sleep(0.01)
    gpus.wait_for_workers(3)
    assert by_name() == before


def test_as_many_processes_as_gpus_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def note(environments: list[dict[str, str]], *others: object) -> None:
        started.append([environment[VARIABLE] for environment in environments])
        raise ClusterError("enough")

    monkeypatch.setattr(cuda, "open_processes", note)
    for module, kind in ((cuda, "cuda"), (local, "local")):
        monkeypatch.setattr(module, "find_devices", lambda: STAND_INS)
        with pytest.raises(ClusterError, match="enough"), open_cluster(kind):
            pass
    assert started == [STAND_INS, STAND_INS]


def test_no_gpu_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "find_devices", list)
    with pytest.raises(ClusterError, match=r"^expected a GPU for --cluster cuda, got none .*: mend .*$"):
        open_cluster("cuda").__enter__()


@pytest.mark.parametrize(
    ("chosen", "n_seen", "found"),
    [
        (None, 2, ["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb",
                   "GPU-77aab2c5-1f2e-4b6c-8a6e-1c1f4a4f3b11"]),
        (None, 0, []),  # a torch without CUDA
        ("1,0", 2, ["1", "0"]),
        ("0,7", 1, ["0"]),  # there is no 7
        ("MIG-c6d4, MIG-cba6", 1, ["MIG-c6d4", "MIG-cba6"]),
        ("0", 0, []),
        ("", 0, []),
        ("NoDevFiles", 0, []),  # what Slurm says for none
        ("0,-1,1", 1, ["0"]),
    ],
)  # fmt: skip
def test_devices_are_those_that_a_process_may_use(
    chosen: str | None, n_seen: int, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_listing", lambda: LISTING)
    monkeypatch.setattr(devices, "_count_seen", lambda: n_seen)
    assert find_devices({} if chosen is None else {VARIABLE: chosen}) == found


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_each_process_computes_on_its_gpu() -> None:
    def name() -> tuple[int, str]:
        import torch

        return torch.cuda.device_count(), str(torch.ones(1, device="cuda").device)

    with open_cluster("cuda") as client:
        assert set(client.run(name).values()) == {(1, "cuda:0")}
        assert len(set(client.run(device).values())) == len(client.nthreads()) == len(find_devices())
