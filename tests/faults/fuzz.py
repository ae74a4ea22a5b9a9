"""Files that are damaged at random, read by whatever reads them: each is understood, or refused in words.

    python -m tests.faults.fuzz --seed 0 --inputs 2000 --folder /tmp/fuzz

prints a line of figures; what broke stays in the folder. Memory of the process is limited.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from PIL import Image

from simsearch.core.tiles import Region
from simsearch.curation.actions import AddClass
from simsearch.curation.journal import create_journal
from simsearch.curation.marks import AddPrototypes
from simsearch.curation.state import Patch
from simsearch.errors import SimSearchError
from simsearch.io.annotations.formats import Target, read_regions
from simsearch.io.annotations.ndpa import SlideFrame
from simsearch.io.ome_zarr.image import describe_image, read_region
from simsearch.io.ome_zarr.plates.hierarchy import find_images, read_plate_map, write_plate
from simsearch.io.ome_zarr.plates.wells import Well
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image, finish_image, write_region
from simsearch.io.sources.formats import list_series, open_source
from simsearch.io.sources.plates.cellprofiler_table import read_cellprofiler_table
from simsearch.io.sources.protocol import SourceSpec
from simsearch.io.tables.boxes import read_boxes
from simsearch.io.tables.curation import read_annotations
from simsearch.io.tables.plate_maps.file import load_plate_map
from simsearch.workflows.curate.study import open_curation, open_study, read_curation
from simsearch.workflows.find.measure import read_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHAPE = (48, 64)
TARGET = Target(lambda: SHAPE, lambda: SlideFrame(SHAPE, (0.5, 0.5), (0.0, 0.0)))
_MOST_READ_PX = 256  # along a side, of what a damaged file says that it has
_NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, float("nan"), float("inf"), "", "x", "../../x", "\u202egnp.exe", "a\x00b", "1e400", [],
    {},     [[]], {"a": 1}, ["y"] * 40,
)  # fmt: skip


@dataclass
class Tally:
    """What came of damaged files."""

    understood: int = 0
    refused: int = 0
    broke: list[str] = field(default_factory=list)
    """What was read, and the end of its traceback."""


def save_image(path: Path, version: str = "0.5") -> None:
    """Write a small OME-Zarr image of two channels."""
    pixels = np.random.default_rng(1).integers(0, 4095, (2, *SHAPE)).astype(np.uint16)
    template = ImageTemplate(
        n_channels=2, shape=SHAPE, dtype="uint16", channel_names=("DNA", "GFP"), channel_colors=("0000FF", "00FF00"),
        pixel_size_um=(0.5, 0.5), chunk=16, shard=32, n_levels=1, ome_version=version,  # type: ignore[arg-type]
    )  # fmt: skip
    create_image(path, template)
    for region in template.regions(0):
        write_region(path, 0, region, pixels[(slice(None), *region.slices)])
    finish_image(path, template)


def save_plate(path: Path) -> None:
    """Write a plate of one well."""
    zarr.create_group(path, zarr_format=3)
    save_image(path / "A/01/0")
    rows = [{"well": "A01", "drug": "a", "dose": 1.5}]
    write_plate(str(path), {Well(0, 0): ["0"]}, name="p", version="0.5", provenance={"plate_map": rows})


def save_rasters(folder: Path) -> None:
    """Write small files of the formats that are read."""
    grey = np.random.default_rng(2).integers(0, 255, SHAPE).astype(np.uint8)
    rgb = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)
    for suffix in ("png", "jpg", "bmp"):
        Image.fromarray(rgb).save(folder / f"rgb.{suffix}")
    np.save(folder / "grey.npy", grey)
    tifffile.imwrite(folder / "plain.tif", grey.astype(np.uint16) * 16, resolution=(20000, 20000))
    tifffile.imwrite(folder / "tiled.tif", rgb, photometric="rgb", tile=(16, 16), compression="zlib")
    tifffile.imwrite(folder / "strips.tif", grey, compression="lzw", rowsperstrip=8)
    axes = {"axes": "CYX", "Channel": {"Name": ["a", "b"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(folder / "set.ome.tif", np.stack([grey, grey]), metadata=axes, photometric="minisblack")
    tifffile.imwrite(folder / "imagej.tif", np.stack([grey, grey]), imagej=True, metadata={"axes": "ZYX"})


def save_tables(folder: Path) -> None:
    """Write tables and annotations."""
    boxes = "image,class,y,x,height,width\na,nucleus,20,20,12,12\na,cell,30,40,12,12\n"
    (folder / "boxes.csv").write_text(boxes)
    (folder / "curation.csv").write_text(boxes.replace("image,", "role,image,").replace("\na,", "\nprototype,a,"))
    (folder / "map.csv").write_text("well,drug,dose,unit,role\nA01,a,1.5,nM,\nA02,DMSO,0,nM,negative control\n")
    (folder / "load.csv").write_text(
        "FileName_DNA,PathName_DNA,Metadata_Well,Metadata_Site\na.tif,.,A01,1\nb.tif,.,A02,1\n"
    )
    ring = [[10, 10], [30, 10], [30, 30], [10, 30], [10, 10]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor", "color": [255, 0, 0]}},
    }
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (folder / "aperio.xml").write_text(
        '<Annotations><Annotation Id="1" Name="Tumor" LineColor="255"><Regions><Region Id="1"><Vertices>'
        + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ring)
        + "</Vertices></Region></Regions></Annotation></Annotations>"
    )
    measured = {"downsampling": 1, "channels": [{"name": n, "low": 0, "high": 9} for n in "ab"], "images": []}
    (folder / "measure.json").write_text(json.dumps(measured))


def save_study(folder: Path) -> None:
    """Write a study and its journal, as they stand on a disk."""
    folder.mkdir()
    image = {"name": "a", "path": "/nowhere/a.ome.zarr", "shape": [48, 64]}
    content = {
        "version": 1, "images": [image], "channel_names": ["DNA"], "dtype": "uint16", "channels": ["DNA"],
        "displayed": ["a"], "seed": 0, "trunk": "bundled", "z": None, "t": None, "created": "2026-01-01",
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(content))
    create_journal(folder / "curation.jsonl")
    said = (AddClass("cell", "#e69f00"), AddPrototypes("cell", (Patch.at("a", 20, 20),), (12.0, 12.0)))
    with open_curation(open_study(folder)) as journal:
        for action in said:
            journal.append("ada", action)


def read_source(path: Path) -> None:
    """Read an image of any format, as far as it is small."""
    list_series(str(path))
    with open_source(SourceSpec(str(path), z="max", t="max")) as source:
        height, width = source.meta.shape
        source.read(Region(0, min(height, _MOST_READ_PX), 0, min(width, _MOST_READ_PX)))


def read_zarr(path: Path) -> None:
    """Read an OME-Zarr image as commands do."""
    meta = describe_image(path, z="max", t="max")
    height, width = meta.shape
    read_region(meta, 0, Region(0, min(height, _MOST_READ_PX), 0, min(width, _MOST_READ_PX)))


def read_plate_of(path: Path) -> None:
    """Read a plate as commands do."""
    read_plate_map(path)
    for meta in find_images([path], z="max", t="max"):
        read_region(meta, 0, Region(0, min(meta.shape[0], 64), 0, min(meta.shape[1], 64)))


def read_study(path: Path) -> None:
    """Read a study and what was said in it."""
    read_curation(open_study(path))


RASTERS = (
    "rgb.png", "rgb.jpg", "rgb.bmp", "grey.npy", "plain.tif", "tiled.tif", "strips.tif", "set.ome.tif", "imagej.tif"
)  # fmt: skip
SEEDS: dict[str, tuple[Callable[[Path], None], dict[str, Callable[[Path], object]]]] = {
    "rasters": (save_rasters, dict.fromkeys(RASTERS, read_source)),
    "tables": (save_tables, {
        "boxes.csv": lambda path: read_boxes(path, {"a": SHAPE}),
        "curation.csv": read_annotations,
        "map.csv": load_plate_map,
        "load.csv": read_cellprofiler_table,
        "a.geojson": lambda path: read_regions(path, TARGET),
        "aperio.xml": lambda path: read_regions(path, TARGET),
        "measure.json": lambda path: read_ranges(path, ["a", "b"]),
    }),
    "zarr": (lambda folder: [save_image(folder / f"v{v}.ome.zarr", v) for v in ("0.4", "0.5")] and None, {
        "v0.4.ome.zarr": read_zarr, "v0.5.ome.zarr": read_zarr,
    }),
    "plate": (lambda folder: save_plate(folder / "p.ome.zarr"), {"p.ome.zarr": read_plate_of}),
    "study": (lambda folder: save_study(folder / "study"), {"study": read_study}),
}  # fmt: skip
"""What is written, and what reads each of it."""


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file, or one of a folder, and tell how."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    chosen = chance.choice(files)
    content = chosen.read_bytes()
    is_json = chosen.suffix in (".json", ".geojson") or chosen.name.startswith(".z")
    if is_json and chance.random() < 0.8:
        return f"{chosen.name}: {_damage_json(chosen, chance)}"
    kind = chance.choice(("cut", "bytes", "bytes", "bytes", "repeat", "empty", "delete", "text"))
    if kind == "delete" and path.is_dir():
        chosen.unlink()
    else:
        chosen.write_bytes(_damaged(content, kind, chance))
    return f"{chosen.name}: {kind}"


def _damaged(content: bytes, kind: str, chance: random.Random) -> bytes:
    if kind == "empty" or not content:
        return b""
    where = chance.randrange(len(content))
    if kind == "cut":
        return content[:where]
    if kind == "repeat":
        return content[:where] + content[where : where + 40] * chance.randrange(2, 50) + content[where:]
    if kind == "text":
        words = str(chance.choice(_NASTY)).encode("utf-8", "replace")
        return content[:where] + words + content[where + chance.randrange(1, 12) :]
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 2, 8, 64))):
        # The head of a file says most of what it is.
        end = chance.choice((len(damaged), min(len(damaged), 512)))
        damaged[chance.randrange(end)] = chance.choice((0, 1, 255, chance.randrange(256)))
    return bytes(damaged)


def _places(value: object) -> Iterator[tuple[Any, Any]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _damage_json(path: Path, chance: random.Random) -> str:
    content = json.loads(path.read_text())
    places = list(_places(content))
    if not places or chance.random() < 0.03:
        path.write_text("[" * 100_000)
        return "nested"
    holder, key = chance.choice(places)
    if chance.random() < 0.2:
        del holder[key]
        what = "gone"
    else:
        holder[key] = chance.choice(_NASTY)
        what = repr(holder[key])
    path.write_text(json.dumps(content))
    return f"{key}: {what}"


def run(seed: int, n_inputs: int, folder: Path) -> Tally:
    """Damage and read so many inputs, and keep in the folder what broke."""
    chance, tally = random.Random(seed), Tally()
    fresh = folder / "fresh"
    for name, (save, _) in SEEDS.items():
        (fresh / name).mkdir(parents=True)
        save(fresh / name)
    subjects = [(fresh / name / item, read) for name, (_, readers) in SEEDS.items() for item, read in readers.items()]
    for subject, read in subjects:
        read(subject)  # whole, it is understood
    for number in range(n_inputs):
        subject, read = subjects[number % len(subjects)]
        copy = folder / f"{number:06d}" / subject.name
        copy.parent.mkdir()
        (shutil.copytree if subject.is_dir() else shutil.copy)(subject, copy)
        how = damage(copy, chance)
        if _try(lambda copy=copy, read=read: read(copy), f"{copy}: {how}", tally):  # type: ignore[misc]
            shutil.rmtree(copy.parent)
    return tally


def _try(read: Callable[[], object], what: str, tally: Tally) -> bool:
    try:
        read()
    except SimSearchError as error:
        tally.refused += 1
        if "\n" in str(error).strip():
            tally.broke.append(f"{what}: more than a line: {error}")
            return False
    except BaseException:  # noqa: BLE001  that is what is looked for
        tally.broke.append(f"{what}\n{''.join(traceback.format_exc(limit=-4))}")
        return False
    else:
        tally.understood += 1
    return True


def main() -> None:
    """Run it as a command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--inputs", type=int, default=2000)
    options.add_argument("--folder", type=Path, default=None)
    options.add_argument("--memory-gib", type=int, default=6)
    chosen = options.parse_args()
    limit = chosen.memory_gib * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tally = run(chosen.seed, chosen.inputs, folder)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) // 1024
    figures = {"understood": tally.understood, "refused": tally.refused, "broke": len(tally.broke)}
    print(json.dumps(figures | {"seed": chosen.seed, "grown_mib": grown_mib}))  # noqa: T201
    if tally.broke:
        print("\n\n".join(tally.broke), file=sys.stderr)  # noqa: T201
    sys.exit(bool(tally.broke))


if __name__ == "__main__":
    main()
