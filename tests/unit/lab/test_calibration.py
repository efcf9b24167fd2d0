from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from meshwarden.kernel import InputError
from meshwarden.lab.calibration import (
    LEVELS,
    calibrate,
    draw,
    load_calibration,
    store_calibration,
)
from meshwarden.lab.customers import CustomerModel
from meshwarden.lab.synthesize import synthesize

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_calibration_of_synthesized_calls_gives_their_calibration_back(tmp_path: Path) -> None:
    timeline = CustomerModel(seed=3, customers=400).timeline(start=START, span_s=86_400)
    calls = synthesize(timeline, start=START, seed=4)
    store_calibration(calibrate(calls), tmp_path / "calibration.json")
    again, packaged = load_calibration(tmp_path / "calibration.json"), load_calibration()
    key = "payments ledger POST /v1/transfers 201"
    assert again.keys() == packaged.keys()
    assert np.allclose(again[key].request_bytes[2:-2], packaged[key].request_bytes[2:-2], atol=3)
    assert np.allclose(again[key].own_ns[3:-6], packaged[key].own_ns[3:-6], rtol=0.2)


def test_call_that_was_never_recorded_is_named() -> None:
    timeline = CustomerModel(seed=3, customers=2).timeline(start=START, span_s=600)
    with pytest.raises(InputError, match="no such call was recorded"):
        calibrate(synthesize(timeline, start=START, seed=4))


def test_draw_follows_the_quantiles() -> None:
    quantiles = (LEVELS * 100).astype(np.int64)
    assert draw(quantiles, np.array([0.0, 0.5, 1.0])).tolist() == [0, 50, 100]
