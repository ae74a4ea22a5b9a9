"""What doctor finds of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simsearch.workflows.doctor.examination import examine

if TYPE_CHECKING:
    from distributed import Client

    from simsearch.io.places import ObjectPath


def test_a_store_is_written_read_and_left_as_it_was(client: Client, bucket: ObjectPath) -> None:
    report = examine(out=str(bucket / "results"), cluster=client)
    assert [each.found for each in report.findings if each.check == "output"] == [
        f"{bucket}/results: is written and seen everywhere"
    ]
    assert list(bucket.rglob("*")) == []


@pytest.mark.parametrize("url", ["s3://no-such-bucket/results", "ftp://server/results"])
def test_a_store_that_commands_cannot_write_is_a_problem(client: Client, bucket: ObjectPath, url: str) -> None:
    problems = [each for each in examine(out=url, cluster=client).problems if each.check == "output"]
    assert len(problems) == 1
    assert url.partition("/results")[0] in problems[0].found
    assert problems[0].remedy
