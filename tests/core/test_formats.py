"""What a newer simsearch wrote is refused in words, whatever it wrote there."""

from __future__ import annotations

import pytest

from simsearch.core.checks.formats import check_format
from simsearch.errors import AnnotationError


@pytest.mark.parametrize("written", [3, 0, -1, 1.5, True, "2", None, [1], 10**30])
def test_a_format_that_is_not_known_is_refused(written: object) -> None:
    with pytest.raises(AnnotationError, match=r"^a.json: expected format 2 or older, got .*: update simsearch$"):
        check_format({"format": written}, 2, "a.json", AnnotationError)


@pytest.mark.parametrize("content", [{}, {"format": 1}, {"format": 2}])
def test_formats_up_to_the_newest_are_read_and_none_is_the_first(content: dict[str, object]) -> None:
    check_format(content, 2, "a.json")
