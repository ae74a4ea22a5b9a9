"""Classifiers of patches: a trunk, and a linear head on the vectors that a patch covers.

``dense``
    Dense features of a patch in its surroundings; the head sees the k x k vectors that the patch covers, so it
    sees their layout. Over an image it is one convolution, also of classes whose patches differ.
``patchwise``
    The paper's: the pooled vector of an isolated patch, of one size for all classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from simsearch.errors import ConfigError
from simsearch.nn.correlation import correlate
from simsearch.nn.extractor import Extractor
from simsearch.nn.features import ALIGNMENT, gaussian, vectors_of, weighted_mean
from simsearch.nn.trunk import LAYER_STRIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsearch.nn.carried_search import CarriedSearch
    from simsearch.nn.trunk import Trunk

Kind = Literal["dense", "patchwise"]
KINDS: tuple[Kind, ...] = ("dense", "patchwise")

_CONTEXT = 24  # pixels around a patch that dense training sees: most of what its features weigh, at twice the cost


def classifier_extractor(kind: str, patch_shape: tuple[int, int]) -> Extractor:
    """Return how the vectors of a kind of classifier are computed over an image.

    Raises
    ------
    ConfigError
        If there is no such kind, or patches are too small.
    """
    if min(patch_shape) < LAYER_STRIDES[3]:
        raise ConfigError(f"expected patches of at least {LAYER_STRIDES[3]} px, got {patch_shape}: draw larger boxes")
    if kind == "dense":
        return Extractor("template", patch_shape, layers=(2, 3), is_centred=False, is_exact=False)
    if kind == "patchwise":
        return Extractor("patchwise", patch_shape, layers=(3,), is_centred=False)
    raise ConfigError(f"expected a kind of model among {', '.join(KINDS)}, got {kind!r}")


class PatchClassifier(nn.Module):
    """Tells classes of patches apart.

    Parameters
    ----------
    trunk : Trunk
        Becomes part of the classifier.
    extractor : Extractor
        As of `classifier_extractor`.
    n_classes : int
        Number of classes, background included.
    patch_shapes : sequence of (int, int), optional
        Height and width in pixels of the patches of each class but the background, inside those of the extractor, which
        they are by default. What a class is told by lies in its own patch; the background sees the largest.

    Raises
    ------
    ConfigError
        If patches differ, and the kind has one patch for all.
    """

    windows: torch.Tensor
    reach: torch.Tensor
    carried: CarriedSearch | None = None
    """The search that says part of the confidences, where the model carries one."""

    def __init__(
        self, trunk: Trunk, extractor: Extractor, n_classes: int, patch_shapes: Sequence[tuple[int, int]] | None = None
    ) -> None:
        super().__init__()
        self.trunk, self.extractor = trunk, extractor
        self.patch_shapes = tuple(patch_shapes or (extractor.patch_shape,) * (n_classes - 1))
        self.is_one_size = all(shape == extractor.patch_shape for shape in self.patch_shapes)
        if extractor.method == "patchwise" and not self.is_one_size:
            raise ConfigError(
                f"expected one patch for all classes of a patchwise model, got {_listed(self.patch_shapes)}: train "
                "with --kind dense, or draw boxes of one size"
            )
        self.head = nn.Conv2d(extractor.dim, n_classes, extractor.block_shape)
        blocks = [extractor.block_shape, *(replace(extractor, patch_shape=s).block_shape for s in self.patch_shapes)]
        windows = torch.stack([_framed(gaussian(block), extractor.block_shape) for block in blocks])
        reach = torch.stack([_framed(torch.ones(block), extractor.block_shape) for block in blocks])
        self.register_buffer("windows", windows, persistent=False)
        self.register_buffer("reach", reach[:, None], persistent=False)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Height and width in pixels of what it is trained on: patches, with some of their surroundings if dense."""
        if self.extractor.method == "patchwise":
            return self.extractor.patch_shape
        h, w = (-(-(side + 2 * _CONTEXT) // ALIGNMENT) * ALIGNMENT for side in self.extractor.patch_shape)
        return h, w

    def blocks(self, crops: torch.Tensor) -> torch.Tensor:
        """Compute the vectors that patches cover.

        Parameters
        ----------
        crops : (B, C, H, W) tensor
            Intensities in [0, 1] of `input_shape`, a patch in the middle of each.

        Returns
        -------
        (B, D, kh, kw) tensor
        """
        middle = self.trunk.middle(crops)
        return self.blocks_of(middle, self.trunk.layer3(middle))

    def blocks_of(self, middle: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
        """Return the vectors that patches cover, in float32.

        Parameters
        ----------
        middle : (B, 128, H / 8, W / 8) tensor
            What layer2 gives for them.
        deep : (B, 256, H / 16, W / 16) tensor
            What layer3 gives for that.

        Returns
        -------
        (B, D, kh, kw) tensor
        """
        deep = deep.float()
        if self.extractor.method == "patchwise":
            h, w = (-(-side // LAYER_STRIDES[3]) for side in self.extractor.patch_shape)
            return weighted_mean(deep, gaussian((h, w)).to(deep))[:, :, None, None]
        stride = int(self.extractor.grid.stride)
        features = vectors_of({2: middle.float(), 3: deep}, stride, self.extractor.layers)
        (kh, kw), (h, w) = self.extractor.block_shape, self.input_shape
        top, left = h // 2 // stride - kh // 2, w // 2 // stride - kw // 2
        return features[:, :, top : top + kh, left : left + kw]

    def embed(self, blocks: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Average blocks with the Gaussian window of the class of each, as (B, D): what contrastive losses compare."""
        if self.is_one_size:
            return torch.einsum("bdhw,hw->bd", blocks, self.windows[0])
        return torch.einsum("bdhw,bhw->bd", blocks, self.windows[labels])

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Return the (B, classes) logits of patches."""
        return self.logits(self.blocks(crops))

    def logits(self, blocks: torch.Tensor) -> torch.Tensor:
        """Return the (B, classes) logits of blocks of vectors."""
        return functional.conv2d(blocks, self._weight, self.head.bias)[:, :, 0, 0]

    def probability_maps(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return how probable each class is at each position of a feature grid (section 2.5).

        Parameters
        ----------
        vectors : (D, H + 2 m, W + 2 m) tensor
            Vectors around the positions asked for, m being half of the longer side of a block.

        Returns
        -------
        (classes, H, W) tensor
        """
        return torch.softmax(self._logit_maps(vectors), dim=0)

    def log_odds_maps(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the log odds of each class against all others, as `probability_maps` returns probabilities.

        They have their maxima where the probabilities have them, and do not saturate where one is all but 1. Their
        logistic function is the probability, but for classes of which a search says a part of it.
        """
        logits = self._logit_maps(vectors)
        others = torch.stack([torch.cat([logits[:c], logits[c + 1 :]]).logsumexp(dim=0) for c in range(len(logits))])
        found = logits - others
        if self.carried is None:
            return found
        return self.carried.mixed(found, vectors, max(self.extractor.block_shape) // 2)

    def _logit_maps(self, vectors: torch.Tensor) -> torch.Tensor:
        kh, kw = self.extractor.block_shape
        dy, dx = max(kw - kh, 0) // 2, max(kh - kw, 0) // 2
        seen = vectors[:, dy : vectors.shape[1] - dy, dx : vectors.shape[2] - dx]
        assert self.head.bias is not None
        return correlate(seen, self._weight) + self.head.bias[:, None, None]

    @property
    def _weight(self) -> torch.Tensor:
        """Weights of the head, of which those of a class outside its own patch are zero."""
        return self.head.weight if self.is_one_size else self.head.weight * self.reach

    def confine(self) -> None:
        """Set weights of the head to zero that are never looked at."""
        with torch.no_grad():
            self.head.weight *= self.reach


def _framed(window: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Surround a window by zeros; all sides are odd."""
    dy, dx = ((side - own) // 2 for side, own in zip(shape, window.shape, strict=True))
    return functional.pad(window, (dx, dx, dy, dy))


def _listed(shapes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{height} x {width} px" for height, width in dict.fromkeys(shapes))
