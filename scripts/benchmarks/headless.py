"""A web browser without a screen, driven through Chromium's DevTools protocol: pages, clicks and screenshots."""

import base64
import io
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--no-first-run", "--disable-extensions", "--remote-debugging-port=0", "--hide-scrollbars", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Page:
    """The only tab of a browser; ``connection`` speaks the DevTools protocol with it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.number = 0

    def send(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self.number += 1
        self.connection.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.connection.recv(timeout=120))
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 120, *, step: float = 0.1) -> None:
        """Wait until a JavaScript expression holds, which is asked every ``step`` seconds."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"{expression} did not come true in {seconds} s"
            time.sleep(step)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button."""
        where = {"x": x, "y": y, "button": "left", "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.send("Input.dispatchMouseEvent", type="mousePressed", **where)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", **where)

    def picture(self) -> np.ndarray:
        """What the page shows, ``(H, W, 3)`` int16."""
        data = self.send("Page.captureScreenshot", format="png", optimizeForSpeed=True)["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), dtype=np.int16)

    def wait_for_picture(self, holds: Callable[[np.ndarray], bool], seconds: float = 120) -> np.ndarray:
        """The first picture for which ``holds`` is true."""
        end = time.monotonic() + seconds
        while not holds(picture := self.picture()):
            assert time.monotonic() < end, f"no such picture in {seconds} s"
        return picture


def find_browser() -> str | None:
    """Path of Chromium, ``None`` where there is none."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


@contextmanager
def browse(url: str, profile: Path, *, size: tuple[int, int] = (640, 400)) -> Iterator[Page]:
    """A page of ``size`` in a browser of its own; needs websockets, which viser brings."""
    from websockets.sync.client import connect

    program = find_browser()
    assert program is not None, "no Chromium to look at pages with"
    log = profile / "log"
    profile.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"], stderr=stream
        )
    try:
        with connect(_page_address(process, log), max_size=None, open_timeout=60) as connection:
            page = Page(connection)
            page.send("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1,
                      mobile=False)  # fmt: skip
            page.send("Page.navigate", url=url)
            yield page
    finally:
        process.terminate()
        process.wait(timeout=60)


def _page_address(process: subprocess.Popen, log: Path) -> str:
    """Where the browser's only page listens."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = re.search(r"DevTools listening on ws://([^/]+)/", log.read_text(errors="replace"))
        if found:
            with urllib.request.urlopen(f"http://{found[1]}/json/list", timeout=60) as answer:
                pages = [entry for entry in json.load(answer) if entry["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        assert process.poll() is None, log.read_text(errors="replace")
        time.sleep(0.1)
    raise AssertionError("Chromium did not start in 120 s")
