"""Scores of peaks against ground truth."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from simsearch.core.accuracy.metrics import best_f1, bootstrap_interval, precision_recall
from simsearch.core.peaks import Peak
from simsearch.errors import AnnotationError, StoreError
from simsearch.io.ome_zarr.image import ImageMeta, Level
from simsearch.io.tables.peaks import write_peaks
from simsearch.io.tables.records.results_folder import only_writer
from simsearch.workflows.learn.evaluate import evaluate

if TYPE_CHECKING:
    from pathlib import Path


def meta_of(name: str) -> ImageMeta:
    return ImageMeta(
        path=f"{name}.ome.zarr",
        name=name,
        n_channels=1,
        channel_names=("c",),
        channel_colors=("FFFFFF",),
        dtype="uint8",
        levels=(Level("0", (512, 512), (1.0, 1.0)),),
        pixel_size_um=None,
        spacing=(1.0, 1.0),
        origin=(0.0, 0.0),
        axes="cyx",
    )


def save(tmp_path: Path, peaks: list[Peak], truth: str) -> tuple[Path, Path]:
    write_peaks(peaks, {peak.image: meta_of(peak.image) for peak in peaks}, tmp_path)
    (tmp_path / "truth.csv").write_text("image,class,y,x\n" + truth)
    return tmp_path / "peaks.parquet", tmp_path / "truth.csv"


def peak(image: str, y: float, x: float, similarity: float, class_name: str = "cell") -> Peak:
    return Peak(image, class_name, y, x, (40.0, 40.0), similarity)


def test_peaks_within_three_strides_of_an_object_find_it(tmp_path: Path) -> None:
    peaks = [peak("a", 100, 100, 0.9), peak("a", 100, 111.9, 0.8), peak("a", 300, 312.1, 0.7), peak("b", 50, 50, 0.6)]
    table, truth = save(tmp_path, peaks, "a,cell,100,100\na,cell,300,300\nb,cell,50,50\n")

    (score,) = evaluate(table, truth, tmp_path / "out").classes

    # 12 px are three strides of 4 px: the second finds nothing new, the third is just too far, the fourth is there.
    assert score.distance == pytest.approx(12)
    assert score.n_objects == 3
    assert score.average_precision == pytest.approx((1 / 1 + 2 / 4) / 3)


def test_a_larger_distance_finds_more(tmp_path: Path) -> None:
    table, truth = save(tmp_path, [peak("a", 0, 30, 0.9)], "a,cell,0,0\n")

    assert evaluate(table, truth, tmp_path / "out").classes[0].average_precision == 0
    assert evaluate(table, truth, tmp_path / "out", distance=31).classes[0].average_precision == 1


def test_each_class_is_judged_alone_and_images_without_truth_are_not(tmp_path: Path) -> None:
    peaks = [peak("a", 5, 5, 0.9), peak("a", 5, 5, 0.8, "other"), peak("unseen", 9, 9, 0.95)]
    table, truth = save(tmp_path, peaks, "a,cell,5,5\na,other,90,90\n")

    cell, other = evaluate(table, truth, tmp_path / "out").classes

    assert (cell.class_name, cell.n_found, cell.average_precision) == ("cell", 1, 1.0)
    assert (other.class_name, other.n_found, other.average_precision) == ("other", 1, 0.0)


def test_a_class_that_was_never_found_scores_zero(tmp_path: Path) -> None:
    table, truth = save(tmp_path, [peak("a", 5, 5, 0.9)], "a,cell,5,5\na,missing,50,50\n")

    assert [score.average_precision for score in evaluate(table, truth, tmp_path / "out").classes] == [1.0, 0.0]


def test_scores_and_curves_are_written(tmp_path: Path) -> None:
    table, truth = save(tmp_path, [peak("a", 5, 5, 0.9), peak("b", 5, 5, 0.4)], "a,cell,5,5\nb,cell,90,90\n")

    evaluate(table, truth, tmp_path / "out")

    with (tmp_path / "out/scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["class"], row["objects"], row["average_precision"]) == ("cell", "2", "0.5000")
    with (tmp_path / "out/curves.csv").open() as file:
        points = [(float(r["score"]), float(r["precision"]), float(r["recall"])) for r in csv.DictReader(file)]
    assert points == [(0.9, 1.0, 0.5), (0.4, 0.5, 0.5)]
    assert np.asarray(Image.open(tmp_path / "out/curves.png").convert("L")).std() > 1


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("a,cell,nan,5\n", "row 2: column y: expected a number"),
        ("a,cell,1,5\na,cell,x,5\n", "row 3: column y: expected a number"),
        ("elsewhere,cell,1,5\n", "same names"),
        ("a,unknown,1,5\n", "same names"),
    ],
)
def test_a_wrong_truth_is_refused(tmp_path: Path, truth: str, message: str) -> None:
    table, path = save(tmp_path, [peak("a", 5, 5, 0.9)], truth)

    with pytest.raises(AnnotationError, match=message):
        evaluate(table, path, tmp_path / "out")


def test_a_file_that_is_no_table_of_peaks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "peaks.parquet").write_text("no")
    (tmp_path / "truth.csv").write_text("image,class,y,x\na,cell,1,1\n")

    with pytest.raises(AnnotationError, match=r"peaks\.parquet: expected a Parquet table"):
        evaluate(tmp_path / "peaks.parquet", tmp_path / "truth.csv", tmp_path / "out")


def test_the_best_f1_is_the_highest_of_all_thresholds() -> None:
    rng = np.random.default_rng(0)
    hits, scores = rng.random(30) < 0.5, rng.random(30)
    curve = precision_recall([hits], [scores], 20)

    by_hand = []
    for threshold in scores:
        kept = scores >= threshold
        by_hand.append(2 * hits[kept].sum() / (kept.sum() + 20))

    assert best_f1(curve)[0] == pytest.approx(max(by_hand))


def test_the_bootstrap_interval_holds_the_estimate_and_narrows_with_more_images() -> None:
    rng = np.random.default_rng(1)

    def interval(n_images: int) -> tuple[float, float, float]:
        scores = [rng.random(20) for _ in range(n_images)]
        hits = [rng.random(20) < s for s in scores]
        n_objects = [int(h.sum()) + 3 for h in hits]
        low, high = bootstrap_interval(hits, scores, n_objects, n_draws=200)
        return low, precision_recall(hits, scores, sum(n_objects)).average_precision, high

    few, many = interval(5), interval(80)

    assert few[0] < few[1] < few[2]
    assert many[2] - many[0] < (few[2] - few[0]) / 2


def test_one_image_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval([np.array([True])], [np.array([1.0])], [1])).all()


def test_a_picture_that_cannot_be_drawn_costs_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: 1 / 0)
    table, truth = save(tmp_path, [peak("a", 100, 100, 0.9)], "a,cell,100,100\n")
    evaluation = evaluate(table, truth, tmp_path / "out")
    assert len(evaluation.scores()) == len(evaluation.curves()) == 1
    assert evaluation.notes == ("curves.png was not drawn: ZeroDivisionError: division by zero; all else was written",)


def test_what_was_guessed_in_the_truth_is_told(tmp_path: Path) -> None:
    table, truth = save(tmp_path, [peak("a", 100, 100, 0.9)], "")
    truth.write_bytes("image,class,y,x,remark\na,cell,100,100,schön\n".encode("cp1252"))
    (note,) = evaluate(table, truth, tmp_path / "out").notes
    assert note.startswith("truth.csv: ")
    assert "Windows-1252" in note


def test_a_folder_that_another_command_writes_is_refused(tmp_path: Path) -> None:
    table, truth = save(tmp_path, [peak("a", 100, 100, 0.9)], "a,cell,100,100\n")
    with only_writer(tmp_path / "out"), pytest.raises(StoreError):
        evaluate(table, truth, tmp_path / "out")
    assert not (tmp_path / "out" / "scores.csv").exists()
