"""The Open3D window: its layers and camera, a real window on a virtual screen, and clear errors without Vulkan."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.view_rooms import BOARD, CEILING, FLOOR, ROOM, share_of
from PIL import Image, ImageGrab, features

from pcseg.errors import UserError
from pcseg.labels import S3DIS
from pcseg.views.interactive import window
from pcseg.views.interactive.window import missing_vulkan, show
from pcseg.views.layers.coloring import Coloring, make_layer
from pcseg.views.render.cameras import Viewpoint

TIMEOUT = 120

SHOW = """
from helpers.view_rooms import room
from pcseg.views.interactive.window import show
from pcseg.views.layers.coloring import Coloring
from pcseg.views.render.cameras import Viewpoint

show(room(100_000), Coloring(by="label"), viewpoint=Viewpoint(eye=(2, 0.5, 1.4), look_at=(2, 4, 1.4)))
"""


def draw_without_window(
    monkeypatch: pytest.MonkeyPatch, *args: Any, **options: Any
) -> tuple[list[dict], dict]:
    """Return what :func:`show` passes to Open3D."""
    o3d = pytest.importorskip("open3d")
    drawn: list[tuple[list[dict], dict]] = []
    monkeypatch.setattr(window, "require_screen", lambda: None)
    record = SimpleNamespace(
        draw=lambda entries, **found: drawn.append((entries, found)), rendering=o3d.visualization.rendering
    )
    monkeypatch.setattr(o3d, "visualization", record)
    show(*args, **options)
    return drawn[0]


def test_window_gets_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    entries, options = draw_without_window(
        monkeypatch, ROOM, Coloring(by="error"), report=lambda line: reported.append(line.plain)
    )
    names = ["rgb", "label", "prediction", "error", "confidence", "height"]
    assert [entry["name"] for entry in entries] == names
    assert [entry["name"] for entry in entries if entry["is_visible"]] == ["error"]
    assert options["title"] == "room"
    colors = entries[1]["geometry"].point.colors.numpy()
    np.testing.assert_allclose(colors * 255, make_layer(ROOM, "label").color, rtol=1e-6)
    # the window itself has no legend
    assert [line.partition(":")[0] for line in reported] == names[1:]


def test_window_starts_at_the_viewpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    viewpoint = Viewpoint(eye=(1, 2, 1.5), look_at=(3, 2, 1))
    _, options = draw_without_window(monkeypatch, ROOM, Coloring(by="label"), viewpoint=viewpoint)
    np.testing.assert_allclose(options["eye"], (1, 2, 1.5))
    np.testing.assert_allclose(options["lookat"], (3, 2, 1))
    np.testing.assert_allclose(options["up"][1], 0, atol=1e-6)
    assert options["up"][2] > 0.9
    assert 30 < options["field_of_view"] < 70


def test_window_from_above_has_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    entries, options = draw_without_window(
        monkeypatch, ROOM, Coloring(by="label"), viewpoint=Viewpoint(view="top")
    )
    assert len(entries[0]["geometry"].point.positions) < len(ROOM) - (ROOM.label == CEILING).sum() + 1
    assert options["eye"][2] > 3


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


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_without_a_driver_there_is_a_message() -> None:
    """Open3D would end the process; checked in a process of its own, because Vulkan reads the variable once."""
    if missing_vulkan() is not None:
        pytest.skip("Vulkan is not installed")
    code = "from pcseg.views.interactive.window import require_screen; require_screen()"
    environment = os.environ | {"DISPLAY": ":0", "VK_ICD_FILENAMES": "/none", "VK_DRIVER_FILES": "/none"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "UserError: no Vulkan" in done.stderr
    assert "mesa-vulkan-drivers" in done.stderr


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[str]:
    """A virtual screen."""
    pytest.importorskip("open3d")
    if shutil.which("Xvfb") is None or not features.check("xcb"):
        pytest.skip("Xvfb is not installed, or Pillow cannot read its screen")
    if missing_vulkan() is not None:
        pytest.skip("Vulkan is not installed")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with (tmp_path / "xvfb.log").open("wb") as log:
        server = subprocess.Popen(command, pass_fds=[write], stderr=log)
    os.close(write)
    try:
        with os.fdopen(read) as stream:
            yield f":{stream.readline().strip()}"
    finally:
        server.terminate()
        server.wait(timeout=TIMEOUT)


@pytest.mark.slow
def test_a_real_window(screen: str, tmp_path: Path) -> None:
    """The window shows the room from the given camera: floor below, ceiling above, the board at the left."""
    log = tmp_path / "window.log"
    environment = os.environ | {"DISPLAY": screen, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SHOW], env=environment, stdout=stream, stderr=stream
        )
    try:
        end = time.monotonic() + TIMEOUT
        while share_of(image := grab(screen), S3DIS.colors[FLOOR], tolerance=2) < 0.005:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, f"no window: {log.read_text()}"
            time.sleep(0.5)
    finally:
        process.kill()
        process.wait(timeout=TIMEOUT)
    pixels = np.asarray(image).astype(int)
    rows, columns = {}, {}
    for label in (CEILING, FLOOR, BOARD):
        found = np.nonzero((abs(pixels - S3DIS.colors[label]) <= 2).all(axis=-1))
        rows[label], columns[label] = found[0].mean(), found[1].mean()
    assert rows[CEILING] < rows[FLOOR]
    assert columns[BOARD] < columns[FLOOR]
    assert "WARNING" not in log.read_text()


def grab(screen: str) -> Image.Image:
    return ImageGrab.grab(xdisplay=screen).convert("RGB")
