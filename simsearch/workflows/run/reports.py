"""Results that were computed before, opened again by their folder."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from simsearch.core.checks.formats import check_format
from simsearch.core.checks.json_text import parse_json
from simsearch.errors import StoreError
from simsearch.io.tables.records.results_folder import RUN_FORMAT, RUN_NAME
from simsearch.workflows.find.search import SearchReport
from simsearch.workflows.run.detect import DetectReport
from simsearch.workflows.run.segment import SegmentedImage, SegmentReport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KINDS: Mapping[str, type[SearchReport | DetectReport | SegmentReport]] = {
    "search": SearchReport,
    "detect": DetectReport,
    "segment": SegmentReport,
}


def read_report(folder: Path) -> SearchReport | DetectReport | SegmentReport:
    """Read what a search, a detection or a segmentation has reported.

    Parameters
    ----------
    folder : Path
        With its results, wherever they are now.

    Raises
    ------
    StoreError
        If there are none, or they are of another version of simsearch.
    """
    path = folder / RUN_NAME
    try:
        run = parse_json(path.read_text(encoding="utf-8"))
        check_format(run, RUN_FORMAT, str(path))
        kind, content = _KINDS[run["workflow"]], run["report"]
        known = {field.name: _plain(field.name, content[field.name]) for field in fields(kind) if field.name in content}
        return kind(**(known | {"folder": folder}))
    except StoreError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder}: expected results of search, detect or segment, got {type(error).__name__}: {error}: "
            "check the path, or compute them again"
        ) from error


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401  whatever JSON holds
    """Give what JSON made of a field its type again."""
    if name == "images":
        return tuple(SegmentedImage(**each) for each in value)
    if name == "failures":
        return tuple((image, message) for image, message in value)
    return tuple(value) if isinstance(value, list) else value
