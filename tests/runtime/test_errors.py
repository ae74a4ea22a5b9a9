from __future__ import annotations

import pickle

import pytest

from simsearch import errors

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_survives_the_way_from_a_worker(error: type[errors.SimSearchError]) -> None:
    original = error("a.tif: expected pixels, got none: scan again")
    again = pickle.loads(pickle.dumps(original))
    assert type(again) is error
    assert str(again) == str(original) == "a.tif: expected pixels, got none: scan again"


def test_all_errors_are_told_from_bugs_by_one_class() -> None:
    assert len(CLASSES) >= 9
    assert all(issubclass(error, errors.SimSearchError) for error in CLASSES)
