"""Annotation files of any kind, damaged at random: an error in one line, or regions; never anything else."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from simsearch.errors import SimSearchError
from simsearch.io.annotations.formats import read_regions
from simsearch.io.annotations.regions import Region, as_annotation
from tests.io.annotations.test_formats import ASAP, GEOJSON, IMAGE_SCOPE, NDPA, ROI, TARGET, packed
from tests.io.annotations.test_qupath import GEOMETRIES, feature

if TYPE_CHECKING:
    from pathlib import Path

import json

N_INPUTS = 150  # more by hand
WHOLE = json.dumps([feature(geometry={"type": kind, "coordinates": places}) for kind, places, _ in GEOMETRIES]).encode()
KINDS = {
    "geojson": WHOLE,
    "image_scope": IMAGE_SCOPE.encode(),
    "asap": ASAP.encode(),
    "ndpa": NDPA.encode(),
    "roi": ROI,
    "zip": packed({"a.roi": ROI, "b.roi": ROI}),
    "packed": packed({"a.geojson": GEOJSON}),
}
SNIPPETS = [
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"-1e999",
    b"NaN",
    b"<a>",
    b"\0",
    b"\xff\xff\xff\xff",
    b"9" * 30,
    b'"\\u001b"',
]


def damaged(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(changed))
        snippet = rng.choice([*SNIPPETS, bytes([rng.randrange(256)])])
        changed[start : start + rng.choice([0, 1, len(snippet)])] = snippet
    return bytes(changed[: rng.randint(1, len(changed))] if rng.random() < 0.2 else changed)


@pytest.mark.filterwarnings("ignore")  # numpy's, of floats out of damaged bytes
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_in_one_line(tmp_path: Path, kind: str) -> None:
    rng = random.Random(kind)
    n_read, messages = 0, []
    for _ in range(N_INPUTS):
        (tmp_path / "a").write_bytes(damaged(KINDS[kind], rng))
        try:
            found = read_regions(tmp_path / "a", TARGET)
            n_read += bool(found)
            messages += [str(each) for _, each in found or [] if not isinstance(each, Region)]
            for _, each in found or []:
                if isinstance(each, Region):
                    as_annotation(each, "a", "T")
        except SimSearchError as error:
            messages.append(str(error))
    assert n_read > 0
    assert len(messages) > 0
    assert [each for each in messages if "\n" in each or not each.isprintable() or len(each) > 1000] == []
