"""Trunks that are chosen by name, by path or by URL."""

from __future__ import annotations

from simsearch.io.places import input_place
from simsearch.nn.trunk_file import BUILT_IN, read_trunk


def read_chosen_trunk(choice: str) -> bytes:
    """Read a trunk as `read_trunk` does, which may lie in an object store or on a server as well.

    Raises
    ------
    TrunkError
        If there is no such file, or it is no trunk.
    StoreError
        If the store or server does not answer.
    """
    return read_trunk(choice if choice in BUILT_IN else input_place(choice))
