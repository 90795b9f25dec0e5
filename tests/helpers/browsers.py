"""Checks in a real browser: where tests need one, and how pages are read."""

import socket

import numpy as np
import pytest
from benchmarks.headless import find_browser

needs_chromium = pytest.mark.skipif(find_browser() is None, reason="Chromium is not installed")


def center_of(image: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int]:
    """Return the column and row of a pixel near the center of an area of one color, with neighbors of that color."""
    same = (abs(image.astype(int) - color) <= 2).all(axis=-1)
    inner = same.copy()
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            inner &= np.roll(same, step, axis)
    pixels = np.argwhere(inner)
    y, x = pixels[np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]
    return int(x), int(y)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
