"""Steps of convolutions that are as long in what they change as in what they are told: for regression on features.

Inputs of convolutions behind a ReLU are all positive and alike, so that most of what a gradient says is about their
mean, and a step along it changes little else. Here a gradient is multiplied by the inverse of the inputs' second
moments, as in FOOF (Benzing, "Gradient descent on neurons and its link to approximate second-order optimization",
ICML 2022), and scaled so that a convolution's output changes by a given share of its own deviation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOMENTUM = 0.9
_MEMORY = 0.85  # of second moments, each time they are measured
_MEASURE_EVERY, _INVERT_EVERY = 10, 30  # steps
_FIRST = 4  # steps after each of which moments are measured and inverted, since they are few at first
_N_WINDOWS = 3000  # of inputs, drawn at random


class NaturalSteps:
    """An optimizer of convolutions with a bias.

    Parameters
    ----------
    convolutions : mapping of str to Conv2d
        What is optimized; its inputs are looked at by hooks.
    rate : float
        By what share of the deviation of a convolution's output a step changes it.
    damping : float
        Added to second moments, in units of their mean: the larger, the more a step is a plain gradient's.
    """

    def __init__(self, convolutions: Mapping[str, nn.Module], rate: float, damping: float = 0.1) -> None:
        self.rate, self._damping, self._step = rate, damping, 0
        self._convolutions = {name: conv for name, conv in convolutions.items() if isinstance(conv, nn.Conv2d)}
        self._moments: dict[str, torch.Tensor] = {}
        self._inverses: dict[str, torch.Tensor] = {}
        self._averages: dict[str, torch.Tensor] = {}
        self._generator = torch.Generator().manual_seed(0)
        for name, conv in self._convolutions.items():
            conv.register_forward_pre_hook(lambda conv, inputs, name=name: self._look(name, conv, inputs[0]))

    @property
    def is_looking(self) -> bool:
        """Whether inputs of this step are measured."""
        return self._step % _MEASURE_EVERY == 0 or self._step < _FIRST

    @torch.no_grad()
    def step(self) -> None:
        """Change weights and biases along their gradients."""
        for name, conv in self._convolutions.items():
            assert conv.weight.grad is not None
            assert conv.bias is not None
            assert conv.bias.grad is not None
            gradient = torch.cat([conv.weight.grad.flatten(1), conv.bias.grad[:, None]], dim=1)
            average = self._averages.get(name, torch.zeros_like(gradient)).lerp(gradient, 1 - _MOMENTUM)
            self._averages[name], ahead = average, gradient.lerp(average, _MOMENTUM)
            moments = self._moments[name]
            if self._step % _INVERT_EVERY == 0 or self._step < _FIRST:
                eye = torch.eye(len(moments))
                damped = moments + self._damping * moments.diagonal().mean() * eye
                self._inverses[name] = torch.cholesky_inverse(torch.linalg.cholesky(damped))
            direction = ahead @ self._inverses[name]
            weights = torch.cat([conv.weight.flatten(1), conv.bias[:, None]], dim=1)
            deviation = ((weights @ moments) * weights).sum() - (weights @ moments[:, -1]).square().sum()
            change = (direction * ahead).sum().clamp_min(1e-20)
            moved = self.rate * (deviation.clamp_min(1e-12) / change).sqrt() * direction
            conv.weight.sub_(moved[:, :-1].view_as(conv.weight))
            conv.bias.sub_(moved[:, -1])
        self._step += 1

    def _look(self, name: str, conv: nn.Conv2d, inputs: torch.Tensor) -> None:
        """Measure the second moments of windows of the inputs and a constant, while gradients are computed."""
        if not (self.is_looking and torch.is_grad_enabled()):
            return
        side, stride, margin = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        padded = functional.pad(inputs.detach().float(), (margin,) * 4)
        n, _, height, width = padded.shape
        image = torch.randint(n, (_N_WINDOWS, 1, 1), generator=self._generator)
        top, left = (
            stride * torch.randint((size - side) // stride + 1, (_N_WINDOWS, 1, 1), generator=self._generator)
            for size in (height, width)
        )
        at = torch.arange(side)
        windows = padded[image, :, top + at[:, None], left + at].permute(0, 3, 1, 2).flatten(1)
        windows = torch.cat([windows, torch.ones(_N_WINDOWS, 1)], dim=1)
        with torch.autocast("cpu", enabled=False):
            moments = windows.T @ windows / _N_WINDOWS
        before = self._moments.get(name)
        self._moments[name] = moments if before is None else moments.lerp(before, _MEMORY)
