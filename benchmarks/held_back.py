"""What judges trunks, and so is never trained on: BCCD's test split, and what is named here."""

from __future__ import annotations

import hashlib

TISSUE_TILES = ("22_2", "6_2")
"""Of the four tiles with ground truth."""
LABELLED_WELLS = ("A-01", "B-01", "A-12", "B-12")
"""Wells of BBBC013 with cells that experts have labelled."""


def is_held_back(name: str) -> bool:
    """Tell whether a fluorescence image judges: a tenth of them reports, another tenth is there to choose by."""
    return _first_byte(name) < 52


def is_reported_on(name: str) -> bool:
    """Tell whether a fluorescence image is of the tenth that is reported on."""
    return _first_byte(name) < 26


def _first_byte(name: str) -> int:
    return hashlib.sha256(name.removesuffix(".png").encode()).digest()[0]
