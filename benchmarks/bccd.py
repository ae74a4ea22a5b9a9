"""The BCCD blood smears: images, boxes and their split."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from simsearch.core.boxes import Box

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (480, 640)


@dataclass(frozen=True, slots=True)
class Smear:
    """An annotated image."""

    name: str
    pixels: NDArray[np.uint8]
    """(3, H, W)"""
    boxes: tuple[Box, ...]


def read_split(folder: Path, split: str) -> list[Smear]:
    """Read the images of train, val or test, in the order of the split's list."""
    names = (folder / "ImageSets/Main" / f"{split}.txt").read_text().split()
    return [_read(folder, name) for name in names]


def _read(folder: Path, name: str) -> Smear:
    pixels = np.asarray(Image.open(folder / f"JPEGImages/{name}.jpg").convert("RGB")).transpose(2, 0, 1)
    objects = ET.parse(folder / f"Annotations/{name}.xml").getroot().iter("object")
    boxes = (_box(name, element) for element in objects)
    return Smear(name, pixels, tuple(box for box in boxes if box.height > 0 and box.width > 0))


def _box(image: str, element: ET.Element) -> Box:
    y0, x0, y1, x1 = (float(element.findtext(f"bndbox/{side}") or "nan") for side in ("ymin", "xmin", "ymax", "xmax"))
    return Box(image, element.findtext("name") or "", (y0 + y1) / 2, (x0 + x1) / 2, y1 - y0, x1 - x0)
