"""Comparison of one image with prototype after prototype: its Fourier transform is made once.

The products that a similarity is made of are a correlation, which costs a hundred times less between spectra (overlap
and save). The spectra of an image take eight times the memory of its features at half precision; where that is much,
or an image is compared once only, `prototype_maps` is the better way. Both give the same, but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from simsearch.errors import ShapeError
from simsearch.nn.features import gaussian

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIDE = 64  # positions along a side of a tile that is transformed: wide beside the margin, which is done twice
_FREQUENCIES = _SIDE * (_SIDE // 2 + 1)
_PASSING_BYTES = 2**28  # of what is made on the way to a result, whatever the size of an image
_TILE_BYTES = 3 * _SIDE**2 * 4 + 2 * _FREQUENCIES * 8  # of these, for a tile of a channel or of a block
_SILENT = 1e-5  # of the longest block: what is shorter is rounding, and similar to nothing


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """Prototypes whose blocks have the same shape, ready to be compared with any image."""

    spectra: torch.Tensor
    """(frequencies, P, D) spectra of their blocks, weighted."""
    window: torch.Tensor
    """(2 m + 1, 2 m + 1) weights of positions."""


def make_kernels(blocks: torch.Tensor, margin: int) -> Kernels:
    """Transform prototypes.

    Parameters
    ----------
    blocks : (P, D, kh, kw) tensor
        Blocks of unit weighted length, as a `Query` has them; sides are odd, and at most 2 m + 1.
    margin : int
        The margin m of the spectra that they will be compared with.
    """
    kh, kw = blocks.shape[-2:]
    window = gaussian((kh, kw)).to(blocks)
    dy, dx = margin - kh // 2, margin - kw // 2
    padded = functional.pad(blocks * window, (dx, dx, dy, dy))
    spectra = torch.fft.rfft2(padded, s=(_SIDE, _SIDE)).conj().resolve_conj().flatten(2)
    return Kernels(spectra.permute(2, 0, 1).contiguous(), functional.pad(window, (dx, dx, dy, dy)))


def _n_tiles(shape: Sequence[int], margin: int) -> int:
    core = _SIDE - 2 * margin
    return -(-shape[0] // core) * -(-shape[1] // core)


class Spectra:
    """The spectra of an image's vectors, ready to be compared.

    Parameters
    ----------
    vectors : (D, H + 2 m, W + 2 m) tensor
        Vectors with a margin around the positions asked for.
    centre : (D,) tensor
        Is subtracted from them.
    margin : int
        The margin m: half of the largest block, which is odd.
    """

    def __init__(self, vectors: torch.Tensor, centre: torch.Tensor, margin: int) -> None:
        d, height, width = vectors.shape
        if min(height, width) <= 2 * margin:
            raise ShapeError(f"expected vectors with a margin of {margin}, got {tuple(vectors.shape)}")
        self._margin, self.shape = margin, (height - 2 * margin, width - 2 * margin)
        self._core = _SIDE - 2 * margin
        self._tiles = tuple(-(-side // self._core) for side in self.shape)
        rows, columns = self._tiles
        padding = (0, columns * self._core - self.shape[1], 0, rows * self._core - self.shape[0])
        self._energy = torch.zeros(1, 1, height, width, device=vectors.device)
        self._spectra = torch.empty(_FREQUENCIES, d, rows * columns, dtype=torch.complex64, device=vectors.device)
        n_channels = self._n_at_once
        for first in range(0, d, n_channels):
            some = vectors[first : first + n_channels].float() - centre[first : first + n_channels, None, None]
            self._energy[0, 0] += some.square().sum(dim=0)
            tiles = functional.pad(some, padding).unfold(1, _SIDE, self._core).unfold(2, _SIDE, self._core)
            found = torch.fft.rfft2(tiles).reshape(len(some), rows * columns, -1)
            self._spectra[:, first : first + n_channels] = found.permute(2, 0, 1)

    @staticmethod
    def n_bytes(shape: Sequence[int], dim: int, margin: int) -> int:
        """Tell how much memory the spectra of so many positions along y and x take."""
        return _FREQUENCIES * dim * _n_tiles(shape, margin) * 8

    @staticmethod
    def passing_bytes(shape: Sequence[int], dim: int, margin: int) -> int:
        """Tell how much more it takes for a while to make them of vectors at half precision, or to compare them."""
        vectors = 2 * dim * (shape[0] + 2 * margin) * (shape[1] + 2 * margin)
        return vectors + max(_PASSING_BYTES, _n_tiles(shape, margin) * _TILE_BYTES)

    @property
    def _n_at_once(self) -> int:
        """Of channels, or of blocks."""
        rows, columns = self._tiles
        return max(1, _PASSING_BYTES // (rows * columns * _TILE_BYTES))

    def compare(self, kernels: Kernels) -> torch.Tensor:
        """Find how similar each position is to prototypes.

        Parameters
        ----------
        kernels : Kernels
            Prototypes, for the margin of this.

        Returns
        -------
        (P, H, W) tensor
            What `prototype_maps` gives for these prototypes.
        """
        lengths = functional.conv2d(self._energy, kernels.window[None, None])[0, 0].clamp_min(0).sqrt()
        is_heard = lengths > _SILENT * lengths.max()
        lengths = lengths.clamp_min(torch.finfo(lengths.dtype).tiny)
        some = kernels.spectra.split(self._n_at_once, dim=1)
        return torch.cat(
            [torch.where(is_heard, self._products(spectra) / lengths, 0.0).clamp(-1, 1) for spectra in some]
        )

    def _products(self, spectra: torch.Tensor) -> torch.Tensor:
        """Correlate each position with (frequencies, P, D) blocks, as (P, H, W)."""
        return self._mosaic(torch.fft.irfft2(self._unfolded(torch.bmm(spectra, self._spectra)), s=(_SIDE, _SIDE)))

    def _unfolded(self, products: torch.Tensor) -> torch.Tensor:
        """Bring (frequencies, P, tiles) into the order of (P, tiles, y, x)."""
        unfolded: torch.Tensor = products.permute(1, 2, 0).unflatten(2, (_SIDE, _SIDE // 2 + 1))
        return unfolded

    def _mosaic(self, products: torch.Tensor) -> torch.Tensor:
        """Put the cores of (P, tiles, y, x) side by side, as (P, H, W)."""
        (rows, columns), core = self._tiles, self._core
        tiles: torch.Tensor = products[..., :core, :core].unflatten(1, (rows, columns))
        whole = tiles.transpose(2, 3).reshape(len(products), rows * core, columns * core)
        return whole[:, : self.shape[0], : self.shape[1]]
