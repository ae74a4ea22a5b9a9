"""Trunk files: where they come from, and what is checked before one is used."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import safetensors.torch
import torch
import torchvision

from simsearch.errors import TrunkError
from simsearch.nn.trunk import Trunk, adapt_input_planes

if TYPE_CHECKING:
    from collections.abc import Mapping

BUNDLED_SHA256 = "aea28165fef2612649a34200141d96d410726e99cadd73fc08a9e2d03e14ec25"
"""Identity of the trunk that ships with simsearch; its model card is beside it."""

State = dict[str, torch.Tensor]


def read_trunk(choice: str) -> bytes:
    """Read a trunk, check it and return it as safetensors.

    Parameters
    ----------
    choice : str
        ``bundled``: the one that ships with simsearch. ``imagenet``: torchvision's ResNet-18, downloaded once.
        Otherwise a file with torchvision's parameter names: safetensors, or a PyTorch file of tensors only.

    Returns
    -------
    bytes
        The parameters up to layer3, in safetensors. The same parameters give the same bytes.

    Raises
    ------
    TrunkError
        If there is no such file, it cannot be downloaded, or it is not a ResNet-18 trunk.
    """
    if choice == "bundled":
        return _read_bundled()
    if choice == "imagenet":
        return _serialise(_checked(_download_imagenet(), "imagenet"))
    return _serialise(_checked(_read_file(Path(choice)), choice))


def trunk_from_bytes(blob: bytes, n_channels: int) -> Trunk:
    """Make a trunk ready for inference from what `read_trunk` returned.

    Parameters
    ----------
    blob : bytes
        Parameters in safetensors.
    n_channels : int
        Number of channels of the images.
    """
    state = {name: value.float() for name, value in safetensors.torch.load(blob).items()}
    state["conv1.weight"] = adapt_input_planes(state["conv1.weight"], n_channels)
    trunk = Trunk(n_channels)
    trunk.load_state_dict(state, strict=False)  # without the BatchNorms' step counters, which inference ignores
    return trunk.eval().requires_grad_(False)


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter that an RGB trunk has."""
    state = Trunk().state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _read_bundled() -> bytes:
    blob = files("simsearch.nn").joinpath("bundled/trunk.safetensors").read_bytes()
    digest = hashlib.sha256(blob).hexdigest()
    if digest != BUNDLED_SHA256:
        raise TrunkError(
            f"bundled trunk: expected sha256 {BUNDLED_SHA256[:16]}..., got {digest[:16]}...: reinstall simsearch"
        )
    return blob


def _download_imagenet() -> State:
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    try:
        state: State = weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the hash differs
        raise TrunkError(
            f"imagenet: expected to download {weights.url}, got {type(error).__name__}: {error}. "
            "Use --trunk bundled, or download the file elsewhere and give its path to --trunk"
        ) from error
    return state


def _read_file(path: Path) -> State:
    if not path.is_file():
        raise TrunkError(f"{path}: expected bundled, imagenet or a trunk file, got no such file: check --trunk")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(path.read_bytes())
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers stumble over foreign bytes in many ways
        raise TrunkError(
            f"{path}: expected safetensors, or a PyTorch file of tensors only, got one that does not open "
            f"({(str(error) or type(error).__name__).splitlines()[0]}): export the state_dict again"
        ) from error
    if not isinstance(state, dict):
        raise TrunkError(f"{path}: expected a state_dict, got {type(state).__name__}: save model.state_dict()")
    return state


def _checked(state: Mapping[str, object], name: str) -> State:
    """Return the parameters of the trunk alone, or say what is wrong with them."""
    checked = {}
    for parameter, shape in expected_shapes().items():
        value = state.get(parameter)
        if not isinstance(value, torch.Tensor):
            raise TrunkError(
                f"{name}: expected torchvision's ResNet-18 parameters, got none named {parameter}: "
                "give a file with torchvision's names"
            )
        if tuple(value.shape) != shape:
            raise TrunkError(
                f"{name}: expected {parameter} of shape {shape}, got {tuple(value.shape)}: give a ResNet-18 for RGB"
            )
        if not value.is_floating_point() or not torch.isfinite(value).all():
            raise TrunkError(f"{name}: expected finite numbers in {parameter}, got others: the file is damaged")
        checked[parameter] = value.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory
    return checked


def _serialise(state: State) -> bytes:
    return safetensors.torch.save(state)
