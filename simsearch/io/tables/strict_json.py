"""JSON that every program reads: NaN and infinity, which JSON has not, become null."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def strict(value: object, default: Callable[[object], object] | None = None) -> Any:  # noqa: ANN401  what JSON holds
    """Return what JSON can hold of a value.

    Parameters
    ----------
    value : object
        Of dictionaries, lists, texts and numbers.
    default : callable, optional
        Turns other things into these, as for `json.dumps`.

    Examples
    --------
    >>> strict({"loss": float("nan"), "limits": (0.5, float("inf"))})
    {'loss': None, 'limits': [0.5, None]}
    """
    return json.loads(json.dumps(value, default=default), parse_constant=lambda _: None)
