"""Temperatures, calibration errors and accuracy tables against definitions in plain loops."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from pcseg.metrics.calibration import accuracy_table, apply_temperature, calibration_error, fit_temperature


@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_the_temperature_of_overconfident_logits_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 5))
    label = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    probability = softmax(true * logits, axis=1).astype(np.float32)
    found = fit_temperature(probability, label)
    assert found == pytest.approx(true, rel=0.05)

    def loss(temperature: float) -> float:
        return -log_softmax(np.log(probability.astype(np.float64)) / temperature, axis=1)[
            np.arange(len(label)), label
        ].mean()

    assert loss(found) <= min(loss(0.999 * found), loss(1.001 * found))
    expected = softmax(true * logits / found, axis=1)
    np.testing.assert_allclose(apply_temperature(probability, found), expected, atol=1e-5)
    before = calibration_error(probability.max(axis=1), probability.argmax(axis=1) == label)
    after = calibration_error(expected.max(axis=1), expected.argmax(axis=1) == label)
    assert after < 0.015
    assert true == 1 or before > 0.05


def test_calibration_error_and_table() -> None:
    rng = np.random.default_rng(1)
    confidence = np.append(rng.random(2000), 1.0)
    correct = rng.random(2001) < confidence**2
    total = 0.0
    for k in range(15):
        inside = (confidence >= k / 15) & ((confidence < (k + 1) / 15) | (k == 14))
        total += inside.sum() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, correct) == pytest.approx(total / 2001)
    for level, share, accuracy in accuracy_table(confidence, correct):
        assert share == np.mean(confidence >= level)
        assert accuracy == correct[confidence >= level].mean()
    assert np.isnan(accuracy_table(confidence * 0.1, correct)[-1][2])
