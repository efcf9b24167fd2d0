"""Tails against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from meshwarden.behaviour.calibrate import BINS, levels, read
from meshwarden.behaviour.surprise import normal_tail, student_tail


@pytest.mark.parametrize("z", [0.0, 1.0, 4.9, 5.1, 12.0])
def test_normal_tail(z: float) -> None:
    assert normal_tail(z) == pytest.approx(-stats.norm.logsf(z), rel=0.02)


@pytest.mark.parametrize("t", [0.0, 0.01, 1.0, 5.0, 15.999, 16.0, 50.0])
def test_student_tail(t: float) -> None:
    assert student_tail(t) == pytest.approx(-stats.t.logsf(t, 3), rel=0.06)


def test_student_tail_grows_without_steps() -> None:
    assert student_tail(50.0) < student_tail(1e30) < math.inf
    t = np.linspace(0.0, 20.0, 20_001)
    tail = np.array([student_tail(each) for each in t])
    steps = np.diff(tail)
    assert (steps > 0).all()
    assert np.abs(np.diff(steps)).max() < 3e-5


def test_without_data_surprise_is_what_it_claims() -> None:
    level = levels(np.zeros(BINS))[None]
    assert read(level, 0, 3.0) == pytest.approx(-3.0, abs=0.3)
    assert read(level, 0, 500.0) < -60


def test_levels_never_rise_and_survive_nan() -> None:
    histogram = np.random.default_rng(1).poisson(np.exp(5 - np.arange(BINS) / 6.0)).astype(float)
    level = levels(histogram)[None]
    assert (np.diff(level) <= 1e-9).all()
    assert math.isfinite(read(level, 0, float("nan")))
