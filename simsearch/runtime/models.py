"""Trunks, models and queries on workers: made once in a process from the bytes that were broadcast."""

from __future__ import annotations

from functools import lru_cache, wraps
from threading import RLock
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import torch

from simsearch.nn.device import Arithmetic, pick_device, with_weights_for
from simsearch.nn.model_file import model_from_bytes
from simsearch.nn.similarity import Query, query_from_bytes
from simsearch.nn.trunk import Trunk, fused
from simsearch.nn.trunk_file import trunk_from_bytes
from simsearch.runtime.worker import fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Future

    from simsearch.nn.classifier import PatchClassifier

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")
_making = RLock()


def _once(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """Make each of the last two once, also where several tasks of a process want it at the same moment."""
    cached = lru_cache(maxsize=2)(make)

    @wraps(make)
    def get(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        with _making:
            return cached(*args, **kwargs)  # type: ignore[arg-type]  # digests and numbers are hashable

    return get


@_once
def trunk_on_worker(digest: str, n_channels: int, arithmetic: Arithmetic) -> Trunk:
    """Return the broadcast trunk of a digest on this worker's device, ready for inference in an arithmetic."""
    trunk = fused(trunk_from_bytes(fetch(digest), n_channels)).to(pick_device())
    with_weights_for(arithmetic, trunk)
    return trunk.to(memory_format=torch.channels_last)  # twice as fast on CPUs, and what GPUs want in bfloat16


def make_trunks(client: Client, digest: str, n_channels: int, arithmetic: Arithmetic) -> tuple[Future[None], ...]:
    """Have each worker make a broadcast trunk, so that the first task that wants it finds it.

    Returns
    -------
    tuple of distributed.Future
        To be kept until they are made; nobody needs to wait.
    """
    return tuple(
        client.submit(_make_trunk, digest, n_channels, arithmetic, workers=[worker], pure=False)
        for worker in client.nthreads()
    )


def _make_trunk(digest: str, n_channels: int, arithmetic: Arithmetic) -> None:
    trunk_on_worker(digest, n_channels, arithmetic)


@_once
def model_on_worker(digest: str, arithmetic: Arithmetic) -> PatchClassifier:
    """Return the broadcast model of a digest on this worker's device, ready for inference in an arithmetic."""
    model, _ = model_from_bytes(fetch(digest))
    model.trunk = fused(model.trunk)
    with_weights_for(arithmetic, model.trunk)
    if model.carried is not None:
        model.carried = model.carried.to(pick_device())
    return model.to(pick_device()).to(memory_format=torch.channels_last)


@_once
def query_on_worker(digest: str) -> Query:
    """Return the broadcast query of a digest on this worker's device."""
    return query_from_bytes(fetch(digest)).to(pick_device())
