"""Calibration of probabilities: temperature scaling, expected calibration error, accuracy at each confidence."""

from typing import Any

import numpy as np

BINS = 15
"""Number of equal intervals of the confidence in the expected calibration error."""

TINY = 1e-37
"""Smallest probability whose logarithm is taken."""

LEVELS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Smallest confidences of :func:`accuracy_table`."""


def fit_temperature(probability: np.ndarray, label: np.ndarray) -> float:
    """Return the divisor of the logits with the smallest negative log-likelihood (Guo et al., 2017, Section 4.2).

    Args:
        probability: ``(N, K)``, of a temperature of 1; rows sum to 1.
        label: True classes ``(N,)``, none negative.

    Convention:
        Searched from 1/8 to 8. The likelihood has one maximum over the inverse of the temperature.
    """
    from scipy.optimize import minimize_scalar

    logits = np.log(np.maximum(probability, TINY), dtype=np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    true = logits[np.arange(len(label)), label]

    def loss(log_temperature: float) -> float:
        factor = np.exp(-log_temperature)
        return float(np.mean(np.log(np.exp(factor * logits).sum(axis=1)) - factor * true))

    found = minimize_scalar(loss, bounds=(-np.log(8), np.log(8)), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))


def apply_temperature(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities ``(N, K)`` of logits that are divided by ``temperature``."""
    scaled = np.maximum(probability, TINY) ** (1 / temperature)
    return scaled / scaled.sum(axis=1, keepdims=True)


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the expected calibration error: the mean of ``|accuracy - confidence|`` over bins, weighted by points.

    Args:
        confidence: Probabilities of the predicted classes ``(N,)``.
        correct: Whether they are the true ones ``(N,)``.
    """
    number = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    excess = np.bincount(number, correct.astype(np.float64) - confidence, BINS)
    return float(np.abs(excess).sum() / max(len(confidence), 1))


def accuracy_table(confidence: np.ndarray, correct: np.ndarray) -> list[tuple[float, float, float]]:
    """Return for each of :data:`LEVELS` the share of points of at least this confidence and their accuracy."""
    rows = []
    for level in LEVELS:
        kept = confidence >= level
        rows.append((level, float(kept.mean()), float(correct[kept].mean()) if kept.any() else float("nan")))
    return rows


def calibration_scores(confidence: np.ndarray, correct: np.ndarray) -> dict[str, Any]:
    """Return the expected calibration error, mean confidence and accuracy, and the filled rows of the table."""
    known = len(confidence) > 0
    return {
        "error": calibration_error(confidence, correct),
        "confidence": float(confidence.mean(dtype=np.float64)) if known else None,
        "accuracy": float(correct.mean()) if known else None,
        "accuracy_at": [row for row in accuracy_table(confidence, correct) if row[1] > 0] if known else [],
    }
