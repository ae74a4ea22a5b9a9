"""Where and how precisely networks run on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def pick_device() -> torch.device:
    """Return the GPU of this process if it has one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def fast_inference(device: torch.device) -> Iterator[None]:
    """Run without gradients, and on a GPU in bfloat16 where that is safe."""
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        yield
