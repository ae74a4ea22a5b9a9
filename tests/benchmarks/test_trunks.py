"""The judge of trunks: what it counts, and that a run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from benchmarks import trunks
from benchmarks.held_back import is_held_back, is_reported_on
from benchmarks.judges import CELLS, Judge, Scene, _drawn_cells, read_judges, read_mixed
from benchmarks.trunks import Plan, random_trunk, read_results
from benchmarks.variants import VARIANTS, Variant, fit_space, rows_of, similarity_map
from simsearch.core.synthetic import NUCLEUS, cell_field
from simsearch.nn.extractor import make_extractor
from simsearch.nn.similarity import make_query, prototype_maps, similarity_maps

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = Plan(split="val", n_draws=2)


@pytest.fixture(scope="module")
def trunk() -> bytes:
    return random_trunk()


@pytest.fixture(scope="module")
def judges() -> list[Judge]:
    """Cells with GFP in their nucleus: searched for, and told from the others."""
    rng, scenes = np.random.default_rng(0), []
    for name in "abcd":
        field = cell_field(rng, (176, 176), n_cells=10)
        points = {of: [(c.y, c.x) for c in field.cells if (c.class_name == NUCLEUS) is of] for of in (True, False)}
        arrays = [np.array(points[of], np.float64).reshape(-1, 2) for of in (True, False)]
        scenes.append(Scene(name, field.image, *arrays))
    return [Judge(task, task, 48, tuple(scenes), tuple(scenes)) for task in ("search", "retrieval")]


@pytest.fixture(scope="module")
def measured(
    trunk: bytes, judges: list[Judge], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, list[dict[str, object]]]]:
    folder = tmp_path_factory.mktemp("trunks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trunks, "read_judges", lambda *arguments: iter(judges))
        trunks.run(folder, PLAN, {"random": trunk}, [Variant(), Variant(layers=(2, 3))], folder / "results.jsonl")
        yield folder / "results.jsonl", read_results(folder / "results.jsonl")


def test_each_judge_and_variant_has_a_line_of_average_precisions(
    measured: tuple[Path, list[dict[str, object]]], judges: list[Judge]
) -> None:
    _, lines = measured
    assert [(line["judge"], line["variant"]) for line in lines] == [
        ("search", "layer2"), ("search", "layer2+3"), ("retrieval", "layer2"), ("retrieval", "layer2+3"),
    ]  # fmt: skip
    for line in lines:
        assert len(line["precisions"]) == PLAN.n_draws  # type: ignore[arg-type]
        assert all(0 < value <= 1 for value in line["precisions"])  # type: ignore[attr-defined]
    n_right, n_all = (sum(len(getattr(s, n)) for s in judges[1].judged) for n in ("centres", "others"))
    chance = n_right / (n_right + n_all)
    assert np.mean(lines[2]["precisions"]) > chance  # type: ignore[arg-type]  # colours alone tell something


def test_what_has_a_line_is_not_measured_again_and_a_torn_line_is(
    measured: tuple[Path, list[dict[str, object]]], trunk: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, lines = measured
    path, text = tmp_path / "results.jsonl", whole.read_text().splitlines(keepends=True)
    path.write_text("".join(text[:-1]) + text[-1][:20])
    assert read_results(path) == lines[:-1]
    path.write_text("".join(text[:-1]))
    trunks.run(tmp_path, PLAN, {"again": trunk}, [Variant(), Variant(layers=(2, 3))], path)
    after = read_results(path)
    assert after[:-1] == lines[:-1]
    assert {**after[-1], "trunk": "random"} == lines[-1]  # same trunk by its bytes, same draws, same numbers
    monkeypatch.setattr(trunks, "_see", lambda *arguments: pytest.fail("it is measured again"))
    trunks.run(tmp_path, PLAN, {"again": trunk}, [Variant()], path)


def test_prototypes_are_the_same_for_all_trunks_and_no_result_of_a_retrieval(judges: list[Judge]) -> None:
    assert trunks.picks_of(judges[0], 0) == trunks.picks_of(judges[1], 0) != trunks.picks_of(judges[0], 1)
    picks = trunks.picks_of(judges[1], 0)
    assert len(set(picks)) == trunks.N_PROTOTYPES
    for scene, index in picks:
        y, x = judges[1].drawn[scene].centres[index]
        assert min(y, x) >= 24
        assert max(y, x) <= 152


def test_the_default_variant_is_what_simsearch_does() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(448, 12, 12, generator=generator)]
    blocks = list(torch.rand(8, 448, 3, 3, generator=generator))
    space = fit_space(maps, Variant())
    found = similarity_map(space(maps[0]), [space(block) for block in blocks], Variant())
    rows = rows_of(make_extractor("template", (48, 48)).layers)
    turned = [[block[rows] for block in blocks[first : first + 4]] for first in (0, 4)]
    query = make_query([turned], maps[0][rows].flatten(1)[:, ::7].mean(dim=1))
    torch.testing.assert_close(found, similarity_maps(prototype_maps(maps[0][rows], query), query)[0])


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_prototype_is_found_where_it_was_taken_by_all_variants(variant: Variant) -> None:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.rand(448, 21, 21, generator=generator)
    block = vectors[:, 9:12, 4:7]
    space = fit_space([vectors], variant)
    turned = [torch.rot90(block, turns, dims=(1, 2)) for turns in range(4)]
    found = similarity_map(space(vectors), [space(each) for each in turned], variant)
    peak = found.flatten().argmax().item()
    assert divmod(peak, found.shape[1]) == (9, 4)


@pytest.mark.parametrize("n", [1, 5])
def test_a_soft_maximum_lies_between_the_mean_and_the_maximum(n: int) -> None:
    generator = torch.Generator().manual_seed(4)
    vectors, blocks = torch.rand(128, 9, 9, generator=generator) - 0.5, torch.rand(4 * n, 128, 3, 3) - 0.5
    mean, highest = (similarity_map(vectors, list(blocks), Variant(combine=how)) for how in ("mean", "max"))
    for temperature, end in ((1e-4, highest), (1e4, mean)):
        found = similarity_map(vectors, list(blocks), Variant(combine="soft", temperature=temperature))
        torch.testing.assert_close(found, end, atol=1e-2, rtol=0)
    soft = similarity_map(vectors, list(blocks), Variant())
    assert (soft >= mean - 1e-5).all()
    assert (soft <= highest + 1e-5).all()


def test_whitened_components_have_unit_variance() -> None:
    mixed = torch.randn(384, 384, generator=torch.Generator().manual_seed(2))
    sources = torch.randn(384, 400 * 7, generator=torch.Generator().manual_seed(3))
    vectors = (mixed @ sources).view(384, 100, 28)
    space = fit_space([vectors], Variant(n_components=8, whitening=1.0))
    deviation = space(vectors).flatten(1)[:, ::7]
    torch.testing.assert_close(deviation.square().mean(dim=1), torch.ones(8), rtol=1e-3, atol=1e-3)


def test_two_tenths_of_the_images_are_held_back_and_one_is_reported_on() -> None:
    names = [f"{i}.png" for i in range(2000)]
    assert 0.17 < np.mean([is_held_back(name) for name in names]) < 0.24
    assert 0.08 < np.mean([is_reported_on(name) for name in names]) < 0.13
    assert all(is_held_back(name) for name in names if is_reported_on(name))


def test_a_mixed_class_is_of_all_cells_but_one_kind() -> None:
    mixed = list(read_mixed(Path(), "val"))
    for judge, name in zip(mixed, CELLS, strict=True):
        single = _drawn_cells(name)
        assert judge.name == f"drawn cells: all but {name}"
        for scene, other in zip(judge.judged, single.judged, strict=True):
            assert np.array_equal(scene.centres, other.others)
            assert np.array_equal(scene.others, other.centres)


def test_judges_of_the_two_splits_share_no_judged_image(shared_data: Path) -> None:
    names = [
        {(judge.name.split(":")[0], scene.name) for judge in read_judges(shared_data, split) for scene in judge.judged}
        for split in ("test", "val")
    ]
    assert not names[0] & names[1]
    assert {kind for kind, _ in names[0]} == {"blood", "fluorescence", "tissue", "translocation"}


def test_tables_put_trunks_side_by_side(
    measured: tuple[Path, list[dict[str, object]]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, lines = measured
    better = [{**line, "trunk": "imagenet", "precisions": [0.8, 1.0]} for line in lines]
    trunks.print_trunks(json.loads(json.dumps([*lines, *better])), PLAN)
    trunks.print_variants([*lines, *better], PLAN)
    text = capsys.readouterr().out
    assert text.count("0.900 +- 0.100 (100%)") == 2
    assert "| layer2+3 | 2 |" in text
    assert "0.900 (+0.000)" in text
