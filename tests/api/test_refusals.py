"""What the command line refuses before a command runs, a function refuses before anything is read."""

from __future__ import annotations

import inspect

import click
import pytest

import simsearch
from tests.api.test_words import FUNCTIONS, function_of

WRONG = [
    (name, str(each.name), value)
    for name, command in FUNCTIONS.items()
    for each in command.params
    for value in (
        ["wrong"]
        if isinstance(each.type, click.Choice)
        else [each.type.min - 1, *([] if each.type.max is None else [each.type.max + 1])]
        if isinstance(each.type, click.IntRange | click.FloatRange)
        else []
    )
]


def test_there_is_something_to_refuse() -> None:
    assert ("search", "method", "wrong") in WRONG
    assert ("detect", "floor", 2) in WRONG


@pytest.mark.parametrize(("name", "keyword", "value"), WRONG)
def test_a_wrong_value_is_refused_before_anything_is_read(name: str, keyword: str, value: object) -> None:
    function = function_of(name)
    required = [each for each, p in inspect.signature(function).parameters.items() if p.default is p.empty]
    with pytest.raises(simsearch.SimSearchError, match=rf"^({keyword}: )?expected .*, got '?{value}'?: choose"):
        function(*("nothing there" for _ in required), **{keyword: value})
