"""Where and how precisely networks run on this machine."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

Arithmetic = Literal["bfloat16", "float32"]
"""What a trunk multiplies. With bfloat16 it adds up in float32 all the same, and heads and similarities are float32."""


def pick_device() -> torch.device:
    """Return the GPU of this process if it has one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def native_arithmetic() -> Arithmetic:
    """Tell what a trunk is fastest with here: bfloat16 on GPUs, and on CPUs with instructions for it.

    Other CPUs can compute with bfloat16 as well, but slower than with float32.
    """
    told = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of later versions of torch, or of x86 alone
    is_native = pick_device().type == "cuda" or any(getattr(torch.cpu, name, bool)() for name in told)
    return "bfloat16" if is_native else "float32"


@contextmanager
def fast_inference(device: torch.device, arithmetic: Arithmetic = "float32") -> Iterator[None]:
    """Run a trunk without gradients, in an arithmetic."""
    is_short = arithmetic == "bfloat16"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=is_short), whole_float32(device):
        yield


@contextmanager
def whole_float32(device: torch.device) -> Iterator[None]:
    """Let float32 be float32: by default, GPUs round what they convolve to 10 bits (TF32)."""
    is_rounded = device.type == "cuda"
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if is_rounded else nullcontext():
        yield


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Have torch compute with so many threads: what it adds up depends on that in its last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_weights_for(arithmetic: Arithmetic, trunk: nn.Module) -> None:
    """Round the weights of a trunk once, which `fast_inference` would otherwise do for each tile."""
    if arithmetic == "bfloat16":
        for module in trunk.modules():
            if isinstance(module, nn.Conv2d):
                module.to(torch.bfloat16)
