"""Curves through planted responses, and controls worked out with a pencil."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simsearch.core.dose_response import DoseResponse, fit_dose_response, z_prime
from simsearch.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The plate of figure 4: four wells at each of nine twofold doses, eight without the drug.
DOSES = np.repeat([0, 0, *(250 / 2.0 ** np.arange(9))], 4)
RISING = DoseResponse(0.05, 0.7, 15.6, 1.5, (0, math.inf))
FALLING = DoseResponse(0.8, 0.1, 15.6, 3.0, (0, math.inf))


def noisy(curve: DoseResponse, seed: int, sd: float = 0.05) -> NDArray[np.float64]:
    return curve.at(DOSES) + np.random.default_rng(seed).normal(0, sd, len(DOSES))


def test_the_curve_is_halfway_at_ec50_and_at_its_bottom_without_the_drug() -> None:
    assert FALLING.at([0, 15.6, 1e9]) == pytest.approx([0.8, 0.45, 0.1])
    assert RISING.at([[15.6 / 9, 15.6 * 9]]) == pytest.approx(np.array([[0.05 + 0.65 / 28, 0.05 + 0.65 * 27 / 28]]))


@pytest.mark.parametrize("planted", [RISING, FALLING], ids=["rising", "falling"])
def test_a_planted_curve_is_found(planted: DoseResponse) -> None:
    fit = fit_dose_response(DOSES, noisy(planted, seed=0))

    low, high = fit.ec50_interval
    assert low < planted.ec50 < high < 2 * low
    assert (fit.bottom, fit.top) == pytest.approx((planted.bottom, planted.top), abs=0.05)
    assert fit.slope == pytest.approx(planted.slope, rel=0.5)
    assert fit.at(DOSES) == pytest.approx(planted.at(DOSES), abs=0.05)


@pytest.mark.parametrize("planted", [RISING, FALLING], ids=["rising", "falling"])
def test_the_interval_covers_ec50_as_often_as_it_says(planted: DoseResponse) -> None:
    intervals = [fit_dose_response(DOSES, noisy(planted, seed)).ec50_interval for seed in range(200)]

    # 95 % of 200 are 190 with a standard deviation of 3; an interval to infinity covers everything.
    assert np.mean([low < planted.ec50 < high for low, high in intervals]) > 0.85
    assert max(high / low for low, high in intervals) < 3


def test_without_noise_the_curve_itself_is_found_in_any_unit() -> None:
    for unit, scale in ((1.0, 1.0), (1e-9, 6e4)):
        fit = fit_dose_response(DOSES * unit, FALLING.at(DOSES) * scale)
        assert fit.ec50 == pytest.approx(15.6 * unit)
        assert fit.slope == pytest.approx(3.0)
        assert (fit.bottom, fit.top) == pytest.approx((0.8 * scale, 0.1 * scale))


def test_wells_without_the_drug_tell_the_bottom() -> None:
    is_high = (DOSES >= 15) | (DOSES == 0)
    responses = noisy(RISING, seed=1, sd=0.01)

    fit = fit_dose_response(DOSES[is_high], responses[is_high])

    assert fit.bottom == pytest.approx(responses[DOSES == 0].mean(), abs=0.005)
    assert fit.ec50 == pytest.approx(RISING.ec50, rel=0.1)


def test_the_order_of_wells_does_not_matter() -> None:
    responses, order = noisy(RISING, seed=2), np.random.default_rng(3).permutation(len(DOSES))
    fit, shuffled = fit_dose_response(DOSES, responses), fit_dose_response(DOSES[order], responses[order])

    assert shuffled.ec50 == pytest.approx(fit.ec50, rel=1e-4)
    assert shuffled.ec50_interval == pytest.approx(fit.ec50_interval, rel=1e-3)


def test_flat_responses_determine_no_ec50() -> None:
    flat = DoseResponse(0.3, 0.3, 10.0, 1.0, (0, math.inf))
    intervals = [fit_dose_response(DOSES, noisy(flat, seed)).ec50_interval for seed in range(100)]

    assert np.mean([interval == (0, math.inf) for interval in intervals]) > 0.85


def test_an_ec50_beyond_the_doses_is_reported_as_such() -> None:
    beyond = DoseResponse(0.1, 0.8, 600.0, 1.5, (0, math.inf))
    fit = fit_dose_response(DOSES, noisy(beyond, seed=0, sd=0.01))

    assert fit.ec50 > 250
    assert fit.ec50_interval[1] / fit.ec50_interval[0] > 1.5
    nowhere = fit_dose_response([0, 1, 2, 4, 8, 16], [0.0, 0.001, 0.002, 0.004, 0.008, 0.016])
    assert nowhere.ec50 > 16


def test_a_step_between_two_doses_has_a_wide_interval() -> None:
    fit = fit_dose_response([0, 1, 2, 4, 8], [0, 0, 0, 1, 1])

    assert 2 < fit.ec50 < 4
    assert fit.ec50_interval[0] < 2
    assert fit.ec50_interval[1] > 4


@pytest.mark.parametrize(
    ("doses", "responses", "words"),
    [
        ([0, 1, 2, 4, 4], [0.1, 0.2, 0.3, 0.4, 0.5], "at least 5 different doses, got 4"),
        ([0, 1, 2, 4, 8], [0.1, math.nan, 0.3, 0.4, 0.5], "finite responses, got nan"),
        ([0, 1, 2, 4, math.inf], [0.1, 0.2, 0.3, 0.4, 0.5], "finite doses, got inf"),
        ([-1, 1, 2, 4, 8], [0.1, 0.2, 0.3, 0.4, 0.5], "at least 0, got -1"),
        ([0, 1, 2, 4, 8], [0.1, 0.2, 0.3], r"a response for each dose, got \(5,\) and \(3,\)"),
        ([0, 1, 2, 4, 8], [0.3] * 5, "responses that differ, got 0.3 in all wells"),
    ],
)
def test_what_cannot_be_fitted_is_refused(doses: list[float], responses: list[float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit_dose_response(doses, responses)


def test_a_search_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object, **__: object) -> None:
        raise RuntimeError("Optimal parameters not found")

    monkeypatch.setattr("simsearch.core.dose_response.curve_fit", give_up)
    with pytest.raises(ConfigError, match="got none: Optimal parameters not found"):
        fit_dose_response(DOSES, RISING.at(DOSES))


def test_z_prime_is_what_a_pencil_gives() -> None:
    # Means 0.8 and 0.2; deviations of 0.1 and 0.05 beside the mean: sums of squares 0.02 and 0.005, by n - 1 = 2.
    expected = 1 - 3 * (math.sqrt(0.02 / 2) + math.sqrt(0.005 / 2)) / 0.6
    assert z_prime([0.7, 0.8, 0.9], [0.15, 0.2, 0.25]) == pytest.approx(expected)
    assert z_prime([0.15, 0.2, 0.25], [0.7, 0.8, 0.9]) == pytest.approx(expected)
    assert z_prime([1, 1], [0, 0]) == 1
    assert z_prime([0, 2], [0, 1]) < 0


def test_controls_that_tell_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 wells of positive controls, got 1"):
        z_prime([1.0], [0.0, 0.1])
    with pytest.raises(ConfigError, match="at least 2 wells of negative controls, got 0"):
        z_prime([1.0, 0.9], [])
    with pytest.raises(ConfigError, match=r"different means, got 0\.5 for both"):
        z_prime([0.4, 0.6], [0.25, 0.75])
    with pytest.raises(ConfigError, match="finite responses of negative controls, got nan"):
        z_prime([1.0, 0.9], [0.1, math.nan])
