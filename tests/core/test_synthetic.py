from __future__ import annotations

import numpy as np
import pytest

from simsearch.core.synthetic import CYTOPLASM, NO_GFP, NUCLEUS, Cell, CellField, cell_field, hill

GFP, DNA = 0, 1


@pytest.fixture(scope="module")
def field() -> CellField:
    return cell_field(np.random.default_rng(7), (400, 500), n_cells=60)


def inner(field: CellField, class_name: str | None = None) -> list[Cell]:
    _, height, width = field.image.shape
    return [
        cell
        for cell in field.cells
        if 25 <= cell.y < height - 25 and 25 <= cell.x < width - 25 and class_name in (None, cell.class_name)
    ]


def ring_mean(field: CellField, channel: int, cell: Cell, radii: tuple[float, float]) -> float:
    y, x = np.ogrid[: field.image.shape[1], : field.image.shape[2]]
    distance = np.hypot(y - cell.y, x - cell.x)
    return float(field.image[channel][(distance >= radii[0]) & (distance < radii[1])].mean())


def test_the_same_seed_gives_the_same_field() -> None:
    first, second, other = (cell_field(np.random.default_rng(seed), (64, 80), n_cells=4) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.image, second.image)
    assert first.cells == second.cells
    assert first.cells != other.cells


def test_the_image_has_the_shape_asked_for(field: CellField) -> None:
    assert field.image.shape == (2, 400, 500)
    assert field.image.dtype == np.uint16


def test_nuclei_are_where_cells_are_said_to_be(field: CellField) -> None:
    for cell in inner(field):
        assert ring_mean(field, DNA, cell, (0, 5)) > 2 * np.median(field.image[DNA])


def test_the_centre_of_a_nucleus_is_that_of_its_brightness(field: CellField) -> None:
    # Only cells that stand alone: neighbours pull the centre of mass away.
    cells = inner(field)
    alone = [
        cell for cell in cells if all(np.hypot(cell.y - o.y, cell.x - o.x) > 42 for o in field.cells if o is not cell)
    ]
    assert len(alone) >= 3
    for cell in alone:
        top, left = int(cell.y) - 16, int(cell.x) - 16
        window = field.image[DNA, top : top + 33, left : left + 33].astype(float)
        window = np.clip(window - 600, 0, None)
        y, x = np.mgrid[top : top + 33, left : left + 33]
        assert (window * y).sum() / window.sum() == pytest.approx(cell.y, abs=1.0)
        assert (window * x).sum() / window.sum() == pytest.approx(cell.x, abs=1.0)


def test_where_there_is_no_cell_there_is_no_nucleus(field: CellField) -> None:
    y, x = np.mgrid[:400, :500]
    nearest = np.min([np.hypot(y - cell.y, x - cell.x) for cell in field.cells], axis=0)
    assert field.image[DNA][nearest > 14].max() < 500


def test_classes_differ_in_where_gfp_is(field: CellField) -> None:
    def ratios(class_name: str) -> list[float]:
        return [
            (ring_mean(field, GFP, cell, (0, 5)) - 160) / (ring_mean(field, GFP, cell, (10, 12)) - 160)
            for cell in inner(field, class_name)
        ]

    assert min(ratios(NUCLEUS)) > 1.2 > 0.9 > max(ratios(CYTOPLASM))


def test_cells_without_gfp_are_darker_than_others(field: CellField) -> None:
    def brightness(class_name: str) -> float:
        return float(np.mean([ring_mean(field, GFP, cell, (0, 12)) for cell in inner(field, class_name)]))

    assert brightness(NO_GFP) < 0.7 * min(brightness(NUCLEUS), brightness(CYTOPLASM))


def test_nuclei_do_not_overlap(field: CellField) -> None:
    points = np.array([(cell.y, cell.x) for cell in field.cells])
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    assert gaps[~np.eye(len(points), dtype=bool)].min() >= 21


def test_fractions_of_classes_are_what_was_asked_for() -> None:
    def names(**fractions: float) -> set[str]:
        cells = cell_field(np.random.default_rng(0), (300, 300), n_cells=30, **fractions).cells
        return {cell.class_name for cell in cells}

    assert names(nuclear_fraction=1.0, no_gfp_fraction=0.0) == {NUCLEUS}
    assert names(nuclear_fraction=0.0, no_gfp_fraction=0.0) == {CYTOPLASM}
    assert names(no_gfp_fraction=1.0) == {NO_GFP}


def test_a_crowded_field_has_fewer_cells_than_asked_for() -> None:
    assert 0 < len(cell_field(np.random.default_rng(0), (60, 60), n_cells=100).cells) < 20


def test_the_response_rises_from_0_to_1() -> None:
    responses = [hill(dose, half_dose=3.0) for dose in (0, 0.3, 1, 3, 10, 1e6)]
    assert responses == sorted(responses)
    assert (responses[0], responses[3]) == (0.0, 0.5)
    assert responses[-1] == pytest.approx(1)
