"""Images as other people's tools write them, of all versions and in any units, and metadata that make no sense."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from simsearch.core.tiles import Region
from simsearch.errors import SimSearchError, SourceError
from simsearch.io.ome_zarr.image import describe_image, open_image, read_region
from simsearch.io.ome_zarr.plates.hierarchy import find_locations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_STACK = np.random.default_rng(3).integers(0, 4000, (2, 3, 4, 50, 41), dtype=np.uint16)
_DICTS = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
]


def write_levels(path: Path, levels: list[NDArray[Any]], zarr_format: int = 2, **options: object) -> zarr.Group:
    group = zarr.create_group(path, zarr_format=2 if zarr_format == 2 else 3, overwrite=True)
    for name, pixels in enumerate(levels):
        chunks = (*(1 for _ in pixels.shape[:-2]), 32, 32)
        group.create_array(str(name), data=pixels, chunks=options.get("chunks", chunks), compressors=None)
    return group


def write_cyx(
    path: Path, *, scale: Sequence[float] = (1, 0.5, 0.5), unit: object = "micrometer", **more: object
) -> Path:
    """Write two channels as OME-Zarr 0.4 with a scale and a unit, and more attributes."""
    group = write_levels(path, [_STACK[0, :2, 0]])
    space = [{"name": name, "type": "space", **({} if unit is None else {"unit": unit})} for name in "yx"]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    axes = [{"name": "c", "type": "channel"}, *space]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    group.attrs.update(more)
    return path


@pytest.mark.parametrize(
    "multiscale",
    [
        {},
        {"version": "0.1"},
        {"version": "0.2"},
        {"version": "0.3", "axes": list("tczyx")},
        {"version": "0.4", "axes": _DICTS},
    ],
)
def test_images_of_all_versions_of_zarr_2_are_read(tmp_path: Path, multiscale: dict[str, Any]) -> None:
    group = write_levels(tmp_path / "a.zarr", [_STACK, _STACK[..., ::2, ::2], _STACK[..., ::4, ::4]])
    scaled = {"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 0.5, 0.5]}]}
    datasets = [{"path": str(i), **(scaled if multiscale.get("version") == "0.4" else {})} for i in range(3)]
    group.attrs["multiscales"] = [{**multiscale, "datasets": datasets}]
    image = describe_image(tmp_path / "a.zarr", z=1, t=1)

    assert (image.axes, image.shape, image.n_channels) == ("tczyx", (50, 41), 3)
    assert [level.downsampling for level in image.levels] == [(1, 1), (2, 2), (4, 4)]
    assert image.pixel_size_um == ((0.5, 0.5) if multiscale.get("version") == "0.4" else None)
    assert bool(image.notes) == (multiscale.get("version") == "0.4")  # where all levels have the same scale
    np.testing.assert_array_equal(read_region(image, 1, Region(0, 25, 0, 21)), _STACK[1, :, 1, ::2, ::2])


def write_06(path: Path, version: str, *, text: bool, names: str = "cyx") -> Path:
    group = write_levels(path, [_STACK[0, :2, 0], _STACK[0, :2, 0, ::2, ::2]], 3)

    def system(name: str, unit: str) -> dict[str, Any]:
        axes = [{"name": names[0], "type": "channel", "discrete": True}]
        return {"name": name, "axes": [*axes, *({"name": n, "type": "space", "unit": unit} for n in names[1:])]}

    def place(name: str) -> object:
        return name if text else {"name": name}

    first = {"type": "scale", "scale": [1, 500, 250], "input": {"path": "0"}, "output": place("intrinsic")}
    second = {
        "type": "sequence",
        "input": {"path": "1"},
        "output": place("intrinsic"),
        "transformations": [
            {"type": "scale", "scale": [1, 1000, 500]},
            {"type": "translation", "translation": [0, 250, 125]},
        ],
    }
    multiscale = {
        "coordinateSystems": [system("world", "millimeter"), system("intrinsic", "nanometer")],
        "datasets": [{"path": str(i), "coordinateTransformations": [each]} for i, each in enumerate((first, second))],
        "coordinateTransformations": [
            {"type": "scale", "scale": [1, 9, 9], "input": place("intrinsic"), "output": place("world")}
        ],
    }
    group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    return path


@pytest.mark.parametrize(("version", "text"), [("0.6", False), ("0.6.dev2", True), ("0.6rc0", False)])
def test_images_of_0_6_are_read_in_the_system_that_their_levels_lie_in(
    tmp_path: Path, version: str, text: bool
) -> None:
    image = describe_image(write_06(tmp_path / "a.zarr", version, text=text))

    assert (image.axes, image.pixel_size_um, image.origin, image.notes) == ("cyx", (0.5, 0.25), (0, 0), ())
    assert [level.downsampling for level in image.levels] == [(1, 1), (2, 2)]
    np.testing.assert_array_equal(read_region(image, 0, Region(0, 50, 0, 41)), _STACK[0, :2, 0])


def test_axes_of_0_6_with_names_of_their_own_are_known_by_type_and_place(tmp_path: Path) -> None:
    assert describe_image(write_06(tmp_path / "a.zarr", "0.6", text=False, names="kvu")).axes == "cyx"


def test_what_0_6_has_beyond_scale_and_translation_is_refused(tmp_path: Path) -> None:
    path = write_06(tmp_path / "a.zarr", "0.6", text=False)
    metadata = json.loads((path / "zarr.json").read_text())
    ((first, _),) = (each["datasets"] for each in metadata["attributes"]["ome"]["multiscales"])
    first["coordinateTransformations"][0]["type"] = "rotation"
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(SourceError, match="got 'rotation' at '0'"):
        describe_image(path)
    zarr.open_group(path, attributes={"ome": {"version": "0.6", "scene": {}}}, mode="w")
    with pytest.raises(SourceError, match="a scene: point to one of its images"):
        describe_image(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4"])
def test_big_endian_pixels_are_read_as_values_of_this_machine(tmp_path: Path, zarr_format: int, dtype: str) -> None:
    group = write_levels(tmp_path / "a.zarr", [_STACK[0, :2, 0].astype(dtype)], zarr_format)
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
    axes = [_DICTS[1], *_DICTS[3:]]
    multiscales = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    group.attrs.update(
        {"multiscales": multiscales} if zarr_format == 2 else {"ome": {"version": "0.5", "multiscales": multiscales}}
    )
    image = describe_image(tmp_path / "a.zarr")
    block = read_region(image, 0, Region(3, 40, 0, 41))

    assert image.dtype == np.dtype(dtype).newbyteorder("=").name
    assert block.dtype == open_image(image).dtype == np.dtype(image.dtype)
    np.testing.assert_array_equal(block, _STACK[0, :2, 0, 3:40])
    np.testing.assert_array_equal(open_image(image).values, _STACK[0, :2, 0])


@pytest.mark.parametrize(
    ("unit", "scale", "size", "spacing", "note"),
    [
        ("\u00b5m", 0.5, 0.5, 0.5, None),
        ("\u03bcm", 0.5, 0.5, 0.5, None),
        ("angstrom", 3250, 0.325, 0.325, None),
        ("picometer", 325000, 0.325, 0.325, None),
        ("millimeter", 0.0005, 0.5, 0.5, None),
        (None, 1, None, 1.0, None),
        (None, 0.5, None, 0.5, "0.5 x 0.5 has no unit"),
        ("pixel", 0.5, None, 0.5, "0.5 x 0.5 has no unit"),
        ("furlong", 0.5, None, 0.5, "furlong has a unit that is not known"),
        (["um"], 0.5, None, 0.5, "a unit that is not known"),
        ("micrometer", 0.0, None, 1.0, "not believed"),
        ("micrometer", -0.5, None, 1.0, "not believed"),
        ("micrometer", math.nan, None, 1.0, "not believed"),
        ("micrometer", math.inf, None, 1.0, "not believed"),
        (None, -0.5, None, 1.0, "not believed"),
        ("meter", 0.5, None, 1.0, "not believed"),
    ],
)
def test_pixel_sizes_are_known_in_any_unit_or_told_to_be_unknown(
    tmp_path: Path, unit: object, scale: float, size: float | None, spacing: float, note: str | None
) -> None:
    image = describe_image(write_cyx(tmp_path / "a.zarr", unit=unit, scale=[1, scale, scale]))

    assert image.pixel_size_um == (None if size is None else pytest.approx((size, size)))
    assert image.spacing == pytest.approx((spacing, spacing))
    assert [note in each for each in image.notes] == [True] if note else image.notes == ()


def test_levels_whose_scale_does_not_fit_are_placed_by_their_size(tmp_path: Path) -> None:
    group = write_levels(tmp_path / "a.zarr", [_STACK[0, :2, 0], _STACK[0, :2, 0, ::2, ::2]])
    same = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
    datasets = [{"path": str(i), "coordinateTransformations": same} for i in range(2)]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": [_DICTS[1], *_DICTS[3:]], "datasets": datasets}]
    image = describe_image(tmp_path / "a.zarr")

    assert [level.downsampling for level in image.levels] == [(1, 1), (2, 2)]
    assert "scale of level 1 does not fit" in image.notes[0]


def test_levels_of_other_planes_are_left_out(tmp_path: Path) -> None:
    group = write_levels(tmp_path / "a.zarr", [_STACK, _STACK[:, :, ::2, ::2, ::2]])
    datasets = [
        {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, k, k, k]}]}
        for i, k in enumerate((1, 2))
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": _DICTS, "datasets": datasets}]
    image = describe_image(tmp_path / "a.zarr", z=3, t=0)

    assert len(image.levels) == 1
    assert "1 levels are left out" in image.notes[0]


@pytest.mark.parametrize(
    ("color", "kept"),
    [
        ("#FF8000", "FF8000"),
        ("ff8000", "FF8000"),
        ("FF800080", "FF8000"),
        ("orange", "FFA500"),
        (0xFF8000, "FF8000"),
        *((bad, "0000FF") for bad in ("#12", "GG0000", "", None, -5, 2**40, True, {}, ["a"], 1.5, "x" * 10**5)),
    ],
)
def test_colours_are_understood_or_chosen(tmp_path: Path, color: object, kept: str) -> None:
    omero = {"channels": [{"label": "DAPI", "color": color}, {"label": "GFP"}]}
    assert describe_image(write_cyx(tmp_path / "a.zarr", omero=omero)).channel_colors == (kept, "00FF00")


@pytest.mark.parametrize(
    ("omero", "names"),
    [
        ({"channels": [{"label": "GFP"}, {"label": "GFP"}]}, ("GFP", "GFP (2)")),
        ({"channels": [{"label": {}}, {"label": 488}]}, ("Channel 1", "488")),
        ({"channels": "GFP"}, ("Channel 1", "Channel 2")),
        ([], ("Channel 1", "Channel 2")),
        ({"channels": [None, 3, {}]}, ("Channel 1", "Channel 2")),
    ],
)
def test_channels_have_names_no_two_alike(tmp_path: Path, omero: object, names: tuple[str, str]) -> None:
    assert describe_image(write_cyx(tmp_path / "a.zarr", omero=omero)).channel_names == names


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def _image(**changes: str) -> str:
    """Write multiscales as text, which can be no JSON."""
    parts = {"version": '"0.4"', "axes": '["c", "y", "x"]', "path": '"0"', "scale": "[1, 1, 1]", **changes}
    transforms = f'[{{"type": "scale", "scale": {parts["scale"]}}}]'
    datasets = f'[{{"path": {parts["path"]}, "coordinateTransformations": {transforms}}}]'
    rest = {"version": parts["version"], "axes": parts["axes"], "datasets": parts.get("datasets", datasets)}
    return f'{{"multiscales": [{{{", ".join(f"{chr(34)}{key}{chr(34)}: {value}" for key, value in rest.items())}}}]}}'


@pytest.mark.parametrize(
    "attributes",
    [
        '{"multiscales": true}',
        '{"multiscales": [null]}',
        '{"multiscales": {"0": 1}}',
        '{"multiscales": [{"version": "0.4"}]}',
        _image(version='"0.9"'),
        _image(version='{"a": 1}'),
        _image(axes="null"),
        _image(axes="5"),
        _image(axes='["c", "y", "y"]'),
        _image(axes='["c", "x", "y"]'),
        _image(axes='["y", "x"]'),
        _image(axes=_nested(400)),
        _image(datasets="[]"),
        _image(datasets='[{"path": "0"}]'),
        _image(scale="[1, 1]"),
        _image(scale="[1, {}, []]"),
        _image(scale=f"[1, {'9' * 5000}, 1]"),
        _image(scale=f"[1, 1{'0' * 400}, 1]"),
        _image(path="[0]"),
        _image(path='"../b"'),
        _image(path='"7"'),
        '{"plate": {"wells": [{"path": 5.5}]}}',
        '{"plate": {"wells": [{"path": "../../etc/1"}]}}',
        '{"plate": {"wells": "A/1"}}',
        '{"plate": []}',
        '{"plate": {"wells": []}}',
        '{"well": {"images": [{"path": ".."}]}}',
        '{"well": {"images": {"path": "0"}}}',
        _nested(100_000),
        "[1, 2]",
        "{",
        "",
    ],
    ids=lambda text: text[:60],
)
def test_metadata_that_make_no_sense_end_in_one_line(tmp_path: Path, attributes: str) -> None:
    path = write_cyx(tmp_path / "a.zarr")
    (path / ".zattrs").write_text(attributes)
    with pytest.raises(SimSearchError, match=r"a\.zarr.*: expected .* got") as caught:  # noqa: PT012  all that is read
        for location in find_locations(str(path)).images:
            describe_image(location)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


def _change(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2, 10**9, 10**9]},
        {"shape": [2, 0, 10]},
        {"shape": [10**7, 50, 41]},
        {"shape": [2, 50]},
        {"shape": "50"},
        {"shape": [2, -5, 41]},
        {"chunks": [1, 60_000, 60_000]},
        {"chunks": [1, 0, 10]},
        {"chunks": None},
        {"dtype": "<c16"},
        {"dtype": "|O"},
        {"dtype": "<M8[ns]"},
        {"dtype": [["a", "<u2"]]},
        {"dtype": 5},
        {"compressor": {"id": "nothing"}},
        {"compressor": []},
        {"zarr_format": 9},
        {"order": "Q"},
        {"dimension_separator": "?"},
    ],
    ids=str,
)
def test_arrays_that_make_no_sense_are_refused_before_a_pixel_is_read(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_cyx(tmp_path / "a.zarr")
    _change(path / "0" / ".zarray", lambda metadata: metadata.update(change))
    with pytest.raises(SourceError, match=r"a\.zarr: expected an array at '0'") as caught:
        describe_image(path)
    assert "\n" not in str(caught.value)


def test_a_projection_is_read_a_few_planes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = write_levels(tmp_path / "a.zarr", [_STACK], chunks=(1, 1, 3, 32, 32))
    group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}]}]
    monkeypatch.setattr("simsearch.io.ome_zarr.planes._PROJECTION_BYTES", 1)
    for z, t, expected in (
        ("max", 1, _STACK[1].max(1)),
        ("max", "max", _STACK.max((0, 2))),
        (2, "max", _STACK[:, :, 2].max(0)),
    ):
        image = describe_image(tmp_path / "a.zarr", z=z, t=t)  # type: ignore[arg-type]  # a choice is one of two types
        np.testing.assert_array_equal(read_region(image, 0, Region(0, 50, 0, 41), [2, 0]), expected[[2, 0]])
        np.testing.assert_array_equal(open_image(image).values, expected)
