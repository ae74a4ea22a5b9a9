"""What a model predicts on displayed images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from simsearch.errors import OtherRunError
from simsearch.workflows.run import predict

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from simsearch.workflows.run.detect import DetectOptions


def test_what_was_stopped_in_another_arithmetic_is_predicted_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bool] = []

    def detect(client: object, images: object, model: object, out: object, options: DetectOptions, **_: object) -> None:
        asked.append(options.overwrite)
        if not options.overwrite:
            raise OtherRunError("others")

    monkeypatch.setattr(predict, "detect", detect)
    monkeypatch.setattr(predict, "study_images", lambda *_: [])
    monkeypatch.setattr(predict, "ImageSet", list)
    monkeypatch.setattr(predict, "predictions_folder", lambda *_: tmp_path)
    nothing: Any = SimpleNamespace(displayed=(), path=tmp_path)
    assert predict.predict_displayed(nothing, nothing, nothing, nothing) == tmp_path
    assert asked == [False, True]
