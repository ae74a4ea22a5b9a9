"""Trunk files: where they come from, and what is checked before one is used."""

from __future__ import annotations

import hashlib
import io
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.error import URLError

import safetensors.torch
import torch
import torchvision

from simsearch.core.checks.formats import check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.core.checks.places import local_path
from simsearch.errors import SimSearchError, TrunkError
from simsearch.nn.model_file import METADATA_KEY, metadata_of
from simsearch.nn.trunk import Trunk, adapt_input_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BUNDLED_SHA256 = "5d153f471ea533f53e282b4d352ea00a6d684592269b4756c80d1a1febc6da81"
"""Identity of the trunk that ships with simsearch; its model card is beside it."""

BUILT_IN = ("bundled", "imagenet")
"""Trunks that have a name and need no file."""

State = dict[str, torch.Tensor]
_FORMAT = 1  # not written: what a trunk is called by is the hash of its parameters


def read_trunk(choice: str | Path) -> bytes:
    """Read a trunk, check it and return it as safetensors.

    Parameters
    ----------
    choice : str or Path
        ``bundled``: the one that ships with simsearch. ``imagenet``: torchvision's ResNet-18, downloaded once.
        Otherwise a file with torchvision's parameter names: safetensors, or a PyTorch file of tensors only.

    Returns
    -------
    bytes
        The parameters up to layer3, in safetensors. The same parameters give the same bytes.

    Raises
    ------
    TrunkError
        If there is no such file, it cannot be downloaded, it is not a ResNet-18 trunk, or it is not the one of which
        ``FILE.sha256`` beside it has the sha256.
    """
    if choice == "bundled":
        return _read_bundled()
    if choice == "imagenet":
        return _serialise(_checked(_download_imagenet(), "imagenet"))
    place = choice if isinstance(choice, PurePath) else local_path(choice)
    return _serialise(_checked(_read_file(place), str(choice)))


def trunk_label(choice: str, digest: str) -> str:
    """Name a trunk in results: by what was chosen, and by the sha256 of what was read.

    Examples
    --------
    >>> trunk_label("bundled", "0123456789abcdef0123")
    'bundled@0123456789abcdef'
    """
    return f"{choice}@{digest[:16]}"


def label_of_digest(digest: str) -> str:
    """Name a trunk of which only the sha256 is known, such as that which a model began with.

    Examples
    --------
    >>> label_of_digest("0123456789abcdef0123")
    'sha256@0123456789abcdef'
    """
    return trunk_label("bundled" if digest == BUNDLED_SHA256 else "sha256", digest)


def trunk_to_bytes(trunk: Trunk, name: str) -> bytes:
    """Serialise a trunk that was trained, in half precision, as `read_trunk` gives it back.

    Parameters
    ----------
    trunk : Trunk
        For RGB.
    name : str
        Of the training, for messages.

    Raises
    ------
    TrunkError
        If it does not fit in half precision: the training went astray.
    """
    return _serialise(_checked({key: value.detach().cpu().half() for key, value in _parameters(trunk).items()}, name))


def write_trunk(blob: bytes, path: Path, write: Callable[[Path, bytes], object]) -> str:
    """Write a trunk, and before it its sha256 as ``sha256sum --check`` reads it: a trunk that is there has one.

    Parameters
    ----------
    blob : bytes
        What `trunk_to_bytes` returned.
    path : Path
        Where to.
    write : callable
        Writes a file, whole or not at all.

    Returns
    -------
    str
        The sha256.
    """
    digest = hashlib.sha256(blob).hexdigest()
    write(_checksum_path(path), f"{digest}  {path.name}\n".encode())
    write(path, blob)
    return digest


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
    return {name: tuple(value.shape) for name, value in _parameters(Trunk()).items()}


def _parameters(trunk: Trunk) -> State:
    state = trunk.state_dict()
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


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
    if not path.exists() or path.is_dir():
        raise TrunkError(f"{path}: expected bundled, imagenet or a trunk file, got no such file: check --trunk")
    try:
        blob = path.read_bytes()
    except SimSearchError:
        raise
    except OSError as error:
        raise TrunkError(f"{path}: expected a file that can be read, got {error.strerror}: check its rights") from error
    _check_sum(blob, path)
    try:
        if path.suffix == ".safetensors":
            check_format(parse_json(metadata_of(blob).get(METADATA_KEY, "{}")), _FORMAT, str(path), TrunkError)
            return safetensors.torch.load(blob)
        state = torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True)
    except TrunkError:
        raise
    except Exception as error:  # both readers stumble over foreign bytes in many ways
        raise TrunkError(
            f"{path}: expected safetensors, or a PyTorch file of tensors only, got one that does not open "
            f"({(str(error) or type(error).__name__).splitlines()[0]}): export the state_dict again"
        ) from error
    if not isinstance(state, dict):
        raise TrunkError(f"{path}: expected a state_dict, got {type(state).__name__}: save model.state_dict()")
    return state


def _check_sum(blob: bytes, path: Path) -> None:
    """Refuse a file that is not the one whose sha256 is beside it."""
    beside = _checksum_path(path)
    if not beside.exists():
        return
    recorded, digest = beside.read_bytes().decode(errors="replace").split(), hashlib.sha256(blob).hexdigest()
    if recorded[:1] != [digest]:
        raise TrunkError(
            f"{path}: expected the sha256 that is in {beside.name}, {(recorded or ['nothing'])[0][:16]}..., got "
            f"{digest[:16]}...: the file is damaged or another one, fetch both again"
        )


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
        if parameter.endswith("running_var") and (value < 0).any():
            raise TrunkError(f"{name}: expected variances of 0 or more in {parameter}, got less: the file is damaged")
        checked[parameter] = value.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory
    return checked


def _serialise(state: State) -> bytes:
    return safetensors.torch.save(state)
