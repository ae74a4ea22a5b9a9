"""Correlation of feature maps with blocks of vectors: what heads and similarities are made of.

Libraries compute convolutions for sixteen outputs at once, whether there are as many or not. Of fewer blocks each
column is made an output of its own, and what columns give is added up: the same but for rounding, several times sooner.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from simsearch.nn.windowed import CONVOLVED_OTHERWISE

_AT_ONCE = 16  # outputs


def correlate(maps: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Correlate a feature map with blocks.

    Parameters
    ----------
    maps : (D, H, W) tensor
        Vectors, of float32 or bfloat16.
    blocks : (P, D, kh, kw) tensor
        What they are multiplied with, of the same type.

    Returns
    -------
    (P, H - kh + 1, W - kw + 1) float32 tensor
        Bit for bit the same for a position whatever is computed beside it.
    """
    n, d, kh, kw = blocks.shape
    height, width = maps.shape[1] - kh + 1, maps.shape[2] - kw + 1
    missing = max(0, CONVOLVED_OTHERWISE // (d * maps.shape[2]) + 1 - maps.shape[1])
    enough = functional.pad(maps[None], (0, 0, 0, missing)) if missing else maps[None]
    if n >= _AT_ONCE:
        return functional.conv2d(enough, blocks)[0, :, :height].float()
    columns = blocks.permute(3, 0, 1, 2).reshape(kw * n, d, kh, 1).contiguous(memory_format=torch.channels_last)
    by_column = functional.conv2d(enough, columns)[0, :, :height].unflatten(0, (kw, n)).float()
    return _sum_of_shifted([each[:, :, column : column + width] for column, each in enumerate(by_column)])


def smooth(values: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Weigh and add up what surrounds each position.

    Parameters
    ----------
    values : (H, W) tensor
        One number for each position.
    window : (kh, kw) tensor
        A product of what it has along y and along x, that sums to one.

    Returns
    -------
    (H - kh + 1, W - kw + 1) tensor
    """
    along_y, along_x = window.sum(dim=1), window.sum(dim=0)
    height, width = values.shape[0] - len(along_y) + 1, values.shape[1] - len(along_x) + 1
    rows = _sum_of_shifted([weight * values[i : i + height] for i, weight in enumerate(along_y)])
    return _sum_of_shifted([weight * rows[:, i : i + width] for i, weight in enumerate(along_x)])


def _sum_of_shifted(parts: list[torch.Tensor]) -> torch.Tensor:
    found = parts[0].clone()
    for part in parts[1:]:
        found += part
    return found
