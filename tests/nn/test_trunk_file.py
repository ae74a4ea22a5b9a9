from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import pytest
import safetensors.torch
import torch

import simsearch.nn
from simsearch.errors import TrunkError
from simsearch.io.places import write_whole
from simsearch.nn import trunk_file as module
from simsearch.nn.trunk import Trunk
from simsearch.nn.trunk_file import expected_shapes, read_trunk, trunk_from_bytes, trunk_to_bytes, write_trunk

if TYPE_CHECKING:
    from torchvision.models import ResNet

BUNDLED = Path(simsearch.nn.__file__).parent / "bundled" / "trunk.safetensors"

State = dict[str, torch.Tensor]
Spoil = Callable[[State], object]


@pytest.fixture
def state(resnet: ResNet) -> State:
    """Return the parameters of a trunk, in half precision: files are written faster."""
    shapes = expected_shapes()
    return {name: value.half() for name, value in resnet.state_dict().items() if name in shapes}


def save(state: State, path: Path) -> str:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.fixture(scope="module")
def as_pth(resnet: ResNet) -> bytes:
    buffer = io.BytesIO()
    torch.save(resnet.state_dict(), buffer)
    return buffer.getvalue()


def test_a_full_resnet_is_cut_to_the_trunk(resnet: ResNet, tmp_path: Path) -> None:
    state = resnet.state_dict()
    parameters = safetensors.torch.load(read_trunk(save(state, tmp_path / "a.pth")))
    assert {name: tuple(value.shape) for name, value in parameters.items()} == expected_shapes()
    assert not any(name.startswith(("layer4", "fc")) for name in parameters)
    for name, value in parameters.items():
        assert torch.equal(value, state[name])


def test_the_same_parameters_give_the_same_bytes(state: State, tmp_path: Path) -> None:
    backwards = dict(reversed(state.items()))
    blobs = {
        read_trunk(save(state, tmp_path / "a.safetensors")),
        read_trunk(save(state, tmp_path / "a.pth")),
        read_trunk(save(backwards, tmp_path / "b.pt")),
        read_trunk(save({**state, "fc.bias": torch.zeros(9)}, tmp_path / "more.safetensors")),
    }
    assert len(blobs) == 1
    assert read_trunk(save({**state, "bn1.bias": state["bn1.bias"] + 1}, tmp_path / "c.pth")) not in blobs


def test_parameters_that_share_memory_are_read(state: State, tmp_path: Path) -> None:
    flat = torch.cat([value.flatten() for value in state.values()])
    views = torch.split(flat, [value.numel() for value in state.values()])
    shared = {name: view.view(value.shape) for (name, value), view in zip(state.items(), views, strict=True)}
    assert read_trunk(save(shared, tmp_path / "flat.pth")) == read_trunk(save(state, tmp_path / "apart.pth"))


def test_what_was_read_makes_a_trunk_with_these_parameters(state: State, tmp_path: Path) -> None:
    trunk = trunk_from_bytes(read_trunk(save(state, tmp_path / "a.pth")), n_channels=3)
    for name, value in trunk.state_dict().items():
        if name in state:
            assert torch.equal(value, state[name].float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_float32(state: State, tmp_path: Path, dtype: torch.dtype) -> None:
    rounded = {name: value.to(dtype) for name, value in state.items()}
    trunk = trunk_from_bytes(read_trunk(save(rounded, tmp_path / "a.safetensors")), n_channels=3)
    assert trunk.conv1.weight.dtype == torch.float32
    assert torch.equal(trunk.conv1.weight, rounded["conv1.weight"].float())


def spoilt(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Spoil:
    return lambda state: state.update({name: change(state[name])})


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("layer2.0.conv1.weight"), r"none named layer2\.0\.conv1\.weight"),
        (spoilt("conv1.weight", lambda w: w[:, :1].clone()), r"\(64, 3, 7, 7\), got \(64, 1, 7, 7\)"),
        (spoilt("layer3.1.bn2.bias", lambda b: b * torch.nan), r"finite numbers in layer3\.1\.bn2\.bias"),
        (spoilt("bn1.running_var", lambda v: v / 0), r"finite numbers in bn1\.running_var"),
        (spoilt("layer1.0.bn1.running_var", lambda v: -v), r"variances of 0 or more in layer1\.0\.bn1\.running_var"),
        (spoilt("bn1.weight", lambda w: w.to(torch.int32)), r"finite numbers in bn1\.weight"),
    ],
    ids=["missing", "one channel", "nan", "infinite", "negative", "integers"],
)
def test_wrong_parameters_are_refused_by_name(
    state: State, tmp_path: Path, suffix: str, spoil: Spoil, message: str
) -> None:
    spoil(state)
    path = save(state, tmp_path / f"spoilt{suffix}")
    with pytest.raises(TrunkError, match=message) as caught:
        read_trunk(path)
    assert str(caught.value).startswith(f"{path}: expected ")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_differs_from_its_checksum_is_refused(state: State, tmp_path: Path, suffix: str) -> None:
    path = Path(save(state, tmp_path / f"a{suffix}"))
    beside = tmp_path / f"{path.name}.sha256"
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    read_trunk(str(path))
    state["bn1.bias"] += 1  # as good a trunk, but another
    save(state, path)
    with pytest.raises(TrunkError, match=rf"expected the sha256 that is in a{suffix}\.sha256, .* fetch both again"):
        read_trunk(str(path))
    beside.write_text("")
    with pytest.raises(TrunkError, match=r"nothing\.\.\., got "):
        read_trunk(str(path))


def test_a_trunk_that_was_trained_is_written_as_it_is_read(tmp_path: Path) -> None:
    trunk = Trunk()
    blob = trunk_to_bytes(trunk, "training")
    path = tmp_path / "own.safetensors"
    digest = write_trunk(blob, path, write_whole)
    assert read_trunk(str(path)) == path.read_bytes() == blob
    assert hashlib.sha256(blob).hexdigest() == digest
    assert (tmp_path / "own.safetensors.sha256").read_text() == f"{digest}  own.safetensors\n"
    assert torch.equal(trunk_from_bytes(blob, 3).conv1.weight, trunk.conv1.weight.half().float())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["own.safetensors", "own.safetensors.sha256"]


def test_a_trunk_that_is_there_has_its_sha256_also_where_writing_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    n_moved, replace = 0, Path.replace

    def kill(path: Path, target: Path) -> Path:
        nonlocal n_moved
        n_moved += 1
        if n_moved == 2:
            raise KilledError
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", kill)
    with pytest.raises(KilledError):
        write_trunk(b"trunk", tmp_path / "own.safetensors", write_whole)
    assert (tmp_path / "own.safetensors.sha256").exists()
    assert not (tmp_path / "own.safetensors").exists()


def test_a_trunk_that_went_astray_is_not_written() -> None:
    trunk = Trunk()
    trunk.bn1.running_var.fill_(1e6)  # more than half precision holds
    with pytest.raises(TrunkError, match=r"^training: expected finite numbers in bn1\.running_var"):
        trunk_to_bytes(trunk, "training")


def test_a_larger_resnet_is_refused(tmp_path: Path, state: State) -> None:
    deeper = {**state, "layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}
    with pytest.raises(TrunkError, match="give a ResNet-18 for RGB"):
        read_trunk(save(deeper, tmp_path / "resnet50.pth"))


def text(path: Path, whole: bytes) -> None:
    path.write_text("these are not the weights\nyou are looking for\n")


def empty(path: Path, whole: bytes) -> None:
    path.touch()


def truncated(path: Path, whole: bytes) -> None:
    path.write_bytes(whole[: len(whole) // 2])


def zeros(path: Path, whole: bytes) -> None:
    path.write_bytes(bytes(1000))


def picture(path: Path, whole: bytes) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


def headless(path: Path, whole: bytes) -> None:
    path.write_bytes(whole[100:])


def plain_pickle(path: Path, whole: bytes) -> None:
    path.write_bytes(pickle.dumps(["conv1.weight"], protocol=2))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".bin"])
@pytest.mark.parametrize("make", [text, empty, truncated, zeros, picture, headless, plain_pickle])
def test_a_file_that_is_no_trunk_is_refused_in_one_line(
    trunk_file: Path, as_pth: bytes, tmp_path: Path, suffix: str, make: Callable[[Path, bytes], None]
) -> None:
    path = tmp_path / f"damaged{suffix}"
    make(path, trunk_file.read_bytes() if suffix == ".safetensors" else as_pth)
    with pytest.raises(TrunkError) as caught:
        read_trunk(str(path))
    assert str(caught.value).startswith(f"{path}: expected ")
    assert "\n" not in str(caught.value)


def test_a_file_of_the_other_kind_is_refused(trunk_file: Path, state: State, tmp_path: Path) -> None:
    safetensors_as_pth = tmp_path / "a.pth"
    safetensors_as_pth.write_bytes(trunk_file.read_bytes())
    pth_as_safetensors = tmp_path / "a.safetensors"
    torch.save(state, pth_as_safetensors)
    for path in (safetensors_as_pth, pth_as_safetensors):
        with pytest.raises(TrunkError, match="one that does not open"):
            read_trunk(str(path))


class Touch:
    """Creates a file when it is unpickled, as malware would do worse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        """Call `Path.touch`."""
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_pickle_is_refused_and_not_run(state: State, tmp_path: Path, writer: str) -> None:
    path, victim = tmp_path / "evil.pth", tmp_path / "victim"
    content = {**state, "fc.bias": Touch(victim)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(TrunkError, match="PyTorch file of tensors only"):
        read_trunk(str(path))
    assert not victim.exists()
    torch.load(path, weights_only=False) if writer == "torch" else pickle.loads(path.read_bytes())
    assert victim.exists()  # it would have


def test_a_file_of_another_object_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(TrunkError, match="expected a state_dict, got list"):
        read_trunk(str(tmp_path / "list.pth"))


def test_a_state_dict_inside_something_else_is_refused(state: State, tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "lightning.pth")
    with pytest.raises(TrunkError, match=r"none named conv1\.weight: give a file with torchvision's names"):
        read_trunk(str(tmp_path / "lightning.pth"))


@pytest.mark.parametrize("name", ["missing.pth", "bundeld", "."])
def test_what_is_no_file_is_refused_with_the_choices(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrunkError, match="expected bundled, imagenet or a trunk file"):
        read_trunk(str(tmp_path / name))


@pytest.mark.parametrize("error", [URLError("no route"), ConnectionResetError(), RuntimeError("invalid hash value")])
def test_imagenet_without_a_network_tells_the_way_out(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args: object, **options: object) -> None:
        assert options["check_hash"]
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(TrunkError, match=r"https://download\.pytorch\.org/.*Use --trunk bundled, or download"):
        read_trunk("imagenet")


def test_imagenet_with_a_network_is_read(monkeypatch: pytest.MonkeyPatch, state: State, tmp_path: Path) -> None:
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *args, **options: state)
    assert read_trunk("imagenet") == read_trunk(save(state, tmp_path / "a.pth"))


@pytest.mark.skipif(not BUNDLED.exists(), reason=f"no trunk at {BUNDLED} yet")
def test_the_bundled_trunk_is_the_one_that_was_recorded() -> None:
    blob = read_trunk("bundled")
    assert hashlib.sha256(blob).hexdigest() == module.BUNDLED_SHA256
    assert {name: tuple(v.shape) for name, v in safetensors.torch.load(blob).items()} == expected_shapes()
    assert trunk_from_bytes(blob, n_channels=2)(torch.rand(1, 2, 48, 48)).isfinite().all()


@pytest.mark.skipif(not BUNDLED.exists(), reason=f"no trunk at {BUNDLED} yet")
def test_a_damaged_bundled_trunk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUNDLED_SHA256", "0" * 64)
    with pytest.raises(TrunkError, match="reinstall simsearch"):
        read_trunk("bundled")


def test_the_papers_trunk_is_read(shared_data: Path) -> None:
    path = shared_data / "resnet18_imagenet_trunk.safetensors"
    if not path.exists():
        pytest.skip(f"no {path.name} in {path.parent}")
    assert trunk_from_bytes(read_trunk(str(path)), 1)(torch.rand(1, 1, 48, 48)).isfinite().all()


def test_a_trunk_of_a_newer_simsearch_is_refused(state: State, tmp_path: Path) -> None:
    path = tmp_path / "newer.safetensors"
    safetensors.torch.save_file(state, path, metadata={"simsearch": '{"format": 2}'})
    with pytest.raises(TrunkError, match=r"newer.safetensors: expected format 1 or older, got 2: update simsearch"):
        read_trunk(str(path))
