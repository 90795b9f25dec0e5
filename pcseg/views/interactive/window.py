"""An Open3D window to rotate the cloud and switch layers on and off."""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from rich import get_console
from rich.text import Text

from pcseg.errors import UserError
from pcseg.views.layers.coloring import MISSING, TITLES, Coloring, Layer
from pcseg.views.layers.head_layers import browse_layers
from pcseg.views.render.cameras import INSIDE, Viewpoint
from pcseg.views.subject import Subject

WIDTH, HEIGHT = 1280, 800
OTHERWISE = "Or use --png FILE, --html FILE or --browser."


def show(
    subject: Subject,
    coloring: Coloring,
    *,
    viewpoint: Viewpoint = INSIDE,
    report: Callable[[Text], object] | None = None,
) -> None:
    """Open a window with all layers of a cloud, that of ``coloring`` switched on. Returns when it is closed.

    ``report`` is called with the legend of every layer, because the window cannot show legends.

    Raises:
        UserError: The window cannot be opened on this machine, or the subject lacks what the layer needs.
    """
    require_screen()
    try:
        import open3d as o3d
    except ImportError as error:
        message = f"Open3D is not installed, but a window needs it. Run: pip install open3d. {OTHERWISE}"
        raise UserError(message) from error
    layers, shown = browse_layers(subject, coloring)
    rows, camera = viewpoint.apply(subject, (WIDTH, HEIGHT))
    pos = np.ascontiguousarray(subject.pos[rows], dtype=np.float32)
    unlit = o3d.visualization.rendering.MaterialRecord()
    unlit.shader, unlit.point_size = "defaultUnlit", 3
    entries = []
    for number, layer in enumerate(layers):
        name = layer.by if layer.title in TITLES.values() else layer.title
        if report is not None and (layer.legend or layer.scale):
            report(legend_line(name, layer))
        cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor.from_numpy(pos))
        color = layer.color_of(rows).astype(np.float32) / 255  # Open3D warns about integer colors
        cloud.point.colors = o3d.core.Tensor.from_numpy(np.ascontiguousarray(color))
        entries.append({"name": name, "geometry": cloud, "material": unlit, "is_visible": number == shown})
    vertical = 2 * np.arctan(np.tan(np.radians(camera.fov) / 2) * HEIGHT / WIDTH)

    def prepare(window: Any) -> None:
        window.ground_plane = o3d.visualization.rendering.Scene.GroundPlane.XY  # the default is XZ
        window.scene.view.set_post_processing(False)  # tone mapping would change the colors

    o3d.visualization.draw(
        entries,
        title=subject.name,
        width=WIDTH,
        height=HEIGHT,
        eye=camera.eye.astype(np.float32),
        lookat=camera.target.astype(np.float32),
        up=-camera.axes[1].astype(np.float32),
        field_of_view=float(np.degrees(vertical)),
        point_size=3,
        show_ui=True,
        show_skybox=False,
        on_init=prepare,
    )


def legend_line(name: str, layer: Layer) -> Text:
    """Return a legend as one line, with colored squares or, without a terminal, with color codes."""
    entries = list(layer.legend)
    if layer.scale:
        low, high = layer.table[[0, MISSING - 1]].tolist()
        entries += [(layer.scale[0], low), (f"to {layer.scale[1]}", high)]
    line = Text(f"{name}: ")
    for text, (red, green, blue) in entries:
        code = f"#{red:02x}{green:02x}{blue:02x}"
        line.append("  " if get_console().is_terminal else code, style=f"on {code}").append(f" {text}  ")
    return line.append(layer.note)


def require_screen() -> None:
    """Raise :class:`UserError` if no window can be opened: no screen, or on Linux no Vulkan for Open3D."""
    if sys.platform in ("win32", "darwin"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(f"No screen to open a window on. {OTHERWISE}".replace("Or use", "Use"))
    missing = missing_vulkan()
    if missing:
        raise UserError(f"{missing}, but Open3D's window needs it. {OTHERWISE}")


def missing_vulkan() -> str | None:
    """Return the missing part of Vulkan on Linux, ``None`` if Open3D can use it.

    Checked here because Open3D exits without an exception if there is no driver.
    """
    try:
        library = ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return "libvulkan.so.1 is not installed (Debian, Ubuntu: apt install libvulkan1 mesa-vulkan-drivers)"
    instance = ctypes.c_void_p()
    info = (ctypes.c_uint64 * 8)(1)  # VkInstanceCreateInfo: its type (1), and no layers or extensions
    if library.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != 0:
        return "no Vulkan driver is installed (Debian, Ubuntu: apt install mesa-vulkan-drivers)"
    count = ctypes.c_uint32()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    library.vkDestroyInstance(instance, None)
    return None if count.value else "no Vulkan device found (Debian, Ubuntu: apt install mesa-vulkan-drivers)"
