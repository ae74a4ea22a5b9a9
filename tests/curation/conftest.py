"""Curations of two images and two channels."""

from __future__ import annotations

import pytest

from simsearch.curation.state import Curation


@pytest.fixture
def empty() -> Curation:
    """Nothing was said yet."""
    return Curation({"a": (200, 300), "P/A/01/0": (100, 100)}, ("DNA", "GFP"), ("a",), ("DNA", "GFP"))
