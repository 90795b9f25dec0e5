"""The Open3D window: its layers and camera, a real window on a virtual screen, and clear errors without Vulkan."""

import ctypes
import ctypes.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.view_rooms import BOARD, CEILING, FLOOR, ROOM, share_of
from PIL import Image, ImageGrab, features

from pcseg.errors import UserError
from pcseg.labels import S3DIS
from pcseg.views.interactive import window
from pcseg.views.interactive.room_window import legend_picture
from pcseg.views.interactive.window import missing_vulkan, show
from pcseg.views.layers.coloring import Coloring, make_layer

TIMEOUT = 120

SHOW = """
from helpers.view_rooms import room
from pcseg.views.interactive.window import show
from pcseg.views.layers.coloring import Coloring
from pcseg.views.render.cameras import Viewpoint

show(
    room(100_000), Coloring(by="label"), viewpoint=Viewpoint(eye=(2, 0.5, 1.4), look_at=(2, 4, 1.4)),
    report=lambda text: print(text.plain, flush=True),
)
"""


def test_without_a_screen_there_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"^No screen to open a window on\. Use --png FILE"):
        show(ROOM, Coloring(by="rgb"))


def test_without_vulkan_there_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(window.ctypes, "CDLL", missing)
    with pytest.raises(
        UserError, match=r"^libvulkan\.so\.1 is not installed .*apt install libvulkan1.*--png FILE"
    ):
        show(ROOM, Coloring(by="rgb"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_without_a_driver_there_is_a_message() -> None:
    """Open3D would end the process; checked in a process of its own, because Vulkan reads the variable once."""
    if missing_vulkan() is not None:
        pytest.skip("Vulkan is not installed")
    code = "from pcseg.views.interactive.window import missing_vulkan; print(missing_vulkan())"
    environment = os.environ | {"VK_ICD_FILENAMES": "/none", "VK_DRIVER_FILES": "/none"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("no Vulkan")
    assert "mesa-vulkan-drivers" in done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """A virtual screen: its process and its name."""
    if shutil.which("Xvfb") is None or not features.check("xcb"):
        pytest.skip("Xvfb is not installed, or Pillow cannot read its screen")
    read, write = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(write),
        "-screen",
        "0",
        "1280x800x24",
        "-nolisten",
        "tcp",
        "-noreset",
    ]
    with (tmp_path / "xvfb.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=[write], stderr=log)
    os.close(write)
    try:
        with os.fdopen(read) as stream:
            yield process, f":{stream.readline().strip()}"
    finally:
        process.terminate()
        process.wait(timeout=TIMEOUT)


@pytest.fixture
def screen(server: tuple[subprocess.Popen, str]) -> str:
    """A virtual screen on which Open3D can draw."""
    pytest.importorskip("open3d")
    if missing_vulkan() is not None:
        pytest.skip("Vulkan is not installed")
    if ctypes.util.find_library("Xtst") is None:
        pytest.skip("libXtst, which types and clicks, is not installed")
    return server[1]


class Hands:
    """Keyboard and mouse of a virtual screen."""

    def __init__(self, screen: str) -> None:
        self.x, self.test = (ctypes.CDLL(f"lib{name}.so.6") for name in ("X11", "Xtst"))
        self.x.XOpenDisplay.restype = ctypes.c_void_p
        self.display = ctypes.c_void_p(self.x.XOpenDisplay(screen.encode()))

    def press(self, key: int) -> None:
        code = self.x.XKeysymToKeycode(self.display, ctypes.c_ulong(key))
        for down in (1, 0):
            self.test.XTestFakeKeyEvent(self.display, code, down, 0)
        self.x.XFlush(self.display)

    def click(self, x: int, y: int) -> None:
        self.test.XTestFakeMotionEvent(self.display, 0, x, y, 0)
        for down in (None, 1, 0):
            if down is not None:
                self.test.XTestFakeButtonEvent(self.display, 1, down, 0)
            self.x.XFlush(self.display)
            time.sleep(0.3)


@pytest.mark.slow
def test_a_real_window(screen: str, tmp_path: Path) -> None:
    """The room is seen from the given camera; keys switch layer and ceiling, a click describes a point."""
    log = tmp_path / "window.log"
    environment = os.environ | {"DISPLAY": screen, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SHOW], env=environment, stdout=stream, stderr=stream
        )

    def wait_for(reached: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT
        while not reached():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.3)

    def repeat(action: Callable[[], None], reached: Callable[[], bool]) -> None:
        """Act again if nothing happens: a window may lose an event while it draws."""
        for _ in range(6):
            action()
            end = time.monotonic() + TIMEOUT / 6
            while time.monotonic() < end:
                if reached():
                    return
                time.sleep(0.3)
        raise AssertionError("no reaction to a key")

    def share(label: int) -> float:
        return share_of(grab(screen).crop((0, 0, 1040, 800)), S3DIS.colors[label], tolerance=2)

    try:
        wait_for(lambda: share(FLOOR) > 0.005)
        pixels = np.asarray(grab(screen).crop((0, 0, 1040, 800))).astype(int)
        found = {
            label: np.argwhere((abs(pixels - S3DIS.colors[label]) <= 2).all(axis=-1)).mean(0)
            for label in (CEILING, FLOOR, BOARD)
        }
        assert found[CEILING][0] < found[FLOOR][0]
        assert found[BOARD][1] < found[FLOOR][1]
        hands = Hands(screen)
        hands.click(500, 300)
        wait_for(lambda: "true label: wall" in log.read_text())
        (depth,) = re.findall(r"position: \S+ (\S+), \S+ m", log.read_text())
        assert float(depth) == 4.0  # the wall ahead
        assert share(BOARD) > 0.005
        repeat(lambda: hands.press(ord("3")), lambda: share(BOARD) < 0.0005)  # the prediction has no board
        repeat(lambda: hands.press(ord("c")), lambda: share(CEILING) < 0.0005)
    finally:
        process.kill()
        process.wait(timeout=TIMEOUT)
    assert "WARNING" not in log.read_text()


@pytest.mark.slow
def test_a_screen_that_disappears(server: tuple[subprocess.Popen, str]) -> None:
    code = (
        "import ctypes, sys; from pcseg.views.interactive.window import watch_screen; watch_screen(sys.argv[1]);"
        "x = ctypes.CDLL('libX11.so.6'); x.XOpenDisplay.restype = ctypes.c_void_p;"
        "display = ctypes.c_void_p(x.XOpenDisplay(sys.argv[1].encode())); print('open', flush=True);"
        "x.XNextEvent(display, ctypes.create_string_buffer(1024))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, server[1]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    server[0].terminate()
    error = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode == 1
    assert "pcseg: error: the screen of the window is gone. Use --png FILE" in error


def test_a_screen_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    if ctypes.util.find_library("X11") is None:
        pytest.skip("libX11 is not installed")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":31999")
    with pytest.raises(UserError, match=r"^DISPLAY=:31999: no such screen\. Use --png FILE"):
        show(ROOM, Coloring(by="rgb"))


@pytest.mark.parametrize("by", ["label", "confidence", "rgb"])
def test_legend_of_the_panel_shows_every_entry(by: str) -> None:
    layer = make_layer(ROOM, by)
    picture = legend_picture(layer)
    colors = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert {tuple(int(c) for c in color) for _, color in layer.legend} <= colors
    if layer.scale:
        assert {tuple(layer.table[0].tolist()), tuple(layer.table[100].tolist())} <= colors


def grab(screen: str) -> Image.Image:
    return ImageGrab.grab(xdisplay=screen).convert("RGB")
