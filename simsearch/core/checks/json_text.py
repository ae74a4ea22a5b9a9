"""JSON from outside, of which nothing but a value or a ValueError comes."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401  whatever JSON holds
    """Read JSON.

    Raises
    ------
    ValueError
        If it is none, or is nested deeper than Python follows, where `json` has an error that nobody expects.

    Examples
    --------
    >>> parse_json('{"loss": null}')
    {'loss': None}
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: expected JSON, got one that is nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("expected JSON, got one that is nested too deeply") from None
