"""A real browser, the system's Chromium driven by Playwright: where tests need one, and how pages are read."""

import io
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip
"""WebGL is drawn in software, so that results do not depend on a graphics card."""

TIMEOUT = 120_000
"""Milliseconds to wait for anything: other processes may keep all cores busy."""


def find_browser() -> str | None:
    """Return the path of Chromium, ``None`` if it is not installed."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


@contextmanager
def browse(url: str, *, size: tuple[int, int] = (640, 400)) -> Iterator[Page]:
    """Yield a page of ``size`` that shows ``url``, in a separate browser."""
    program = find_browser()
    assert program is not None, "Chromium is not installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*OPTIONS], timeout=TIMEOUT)
        try:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.set_default_timeout(TIMEOUT)
            page.goto(url)
            yield page
        finally:
            browser.close()


def screenshot(page: Page) -> np.ndarray:
    """Return what a page shows, ``(H, W, 3)`` int16."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), dtype=np.int16)


def wait_for_screenshot(page: Page, holds: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Return the first screenshot for which ``holds`` is true."""
    end = time.monotonic() + TIMEOUT / 1000
    while not holds(image := screenshot(page)):
        assert time.monotonic() < end, "no such screenshot within the timeout"
    return image


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
