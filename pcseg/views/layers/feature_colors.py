"""Colors of features: their first three principal components as red, green and blue."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pcseg.data.alignment import Units, Up
from pcseg.data.io.clouds import Cloud, cloud_frame
from pcseg.inference.clouds import usable_rows
from pcseg.inference.encoder import Scale, encoder_features
from pcseg.labels import UNLABELED
from pcseg.views.subject import Subject, make_subject

SAMPLE = 20_000
"""Number of rows from which the components are computed."""


def principal_colors(x: np.ndarray) -> np.ndarray:
    """Return the colors of features ``(N, C)``, ``(N, 3)`` uint8.

    Convention:
        Black and white are the 1st and the 99th percentile of a component. The sign of a component makes its largest
        entry positive, so that equal features always have equal colors.
    """
    some = x[:: max(1, len(x) // SAMPLE)].astype(np.float64)
    if not len(some):
        return np.empty((0, 3), np.uint8)
    mean = some.mean(axis=0)
    axes = np.linalg.eigh((some - mean).T @ (some - mean))[1][:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    values = np.zeros((len(x), 3))
    values[:, : axes.shape[1]] = (x - mean) @ axes
    low, high = np.percentile(values, (1, 99), axis=0)
    return np.rint(255 * np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1)).astype(np.uint8)


def colors_of_rows(colors: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the color of the row that each point reads, gray for -1, ``(N, 3)``."""
    return np.concatenate([colors, np.array([UNLABELED], np.uint8)])[row]


def encode_cloud(
    weights: Path, cloud: Cloud, *, scale: Scale = 0.5, units: Units = "auto", up: Up = "auto"
) -> Subject:
    """Return a cloud as a subject with the colors of the features of a published encoder.

    Raises:
        UserError: As :func:`pcseg.inference.encoder.encoder_features`.
    """
    rows, left_out = usable_rows(cloud)
    remarks = [f"read: {len(cloud):,} points from {cloud.source}", *cloud.remarks, *left_out]
    frame = cloud_frame(cloud, rows, units=units, up=up)
    colors = principal_colors(encoder_features(weights, cloud, rows, frame, remarks, scale=scale))
    row = np.full(len(cloud), -1, dtype=np.int64)
    row[rows] = np.arange(len(rows))
    return replace(
        make_subject(cloud, frame=frame),
        features=colors_of_rows(colors, row[cloud.finite]),
        remarks=(*remarks, *frame.remarks),
    )
