"""An Open3D window to rotate the cloud and switch layers on and off."""

import ctypes
import os
import sys
from collections.abc import Callable

from rich import get_console
from rich.text import Text

from pcseg.errors import UserError
from pcseg.views.layers.coloring import MISSING, Coloring, Layer
from pcseg.views.render.cameras import INSIDE, Viewpoint
from pcseg.views.subject import Subject

OTHERWISE = "Or use --png FILE, --html FILE or --browser."


def show(
    subject: Subject,
    coloring: Coloring,
    *,
    viewpoint: Viewpoint = INSIDE,
    report: Callable[[Text], object] | None = None,
) -> None:
    """Open a window with all layers of a cloud, that of ``coloring`` switched on. Returns when it is closed.

    ``report`` is called with the legend of every layer, and with the description of every point that is clicked.

    Raises:
        UserError: The window cannot be opened on this machine, or the subject lacks what the layer needs.
    """
    require_screen()
    try:
        import open3d as o3d
    except ImportError as error:
        message = f"Open3D is not installed, but a window needs it. Run: pip install open3d. {OTHERWISE}"
        raise UserError(message) from error
    from pcseg.views.interactive.room_window import RoomWindow, name_of

    window = RoomWindow(subject, coloring, viewpoint, report or (lambda text: None))
    for layer in window.layers:
        if report is not None and (layer.legend or layer.scale):
            report(legend_line(name_of(layer), layer))
    o3d.visualization.gui.Application.instance.run()


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
    if not os.environ.get("WAYLAND_DISPLAY"):
        watch_screen(os.environ["DISPLAY"])
    missing = missing_vulkan()
    if missing:
        raise UserError(f"{missing}, but Open3D's window needs it. {OTHERWISE}")


def watch_screen(name: str) -> None:
    """Raise :class:`UserError` if the X screen ``name`` cannot be opened, and end with one line if it disappears later.

    The X library itself ends the process; it only lets us choose the message.
    """
    try:
        library = ctypes.CDLL("libX11.so.6")
    except OSError:
        return
    library.XOpenDisplay.restype = ctypes.c_void_p
    display = library.XOpenDisplay(name.encode())
    if display is None:
        raise UserError(f"DISPLAY={name}: no such screen. {OTHERWISE}".replace("Or use", "Use"))
    library.XCloseDisplay(ctypes.c_void_p(display))
    library.XSetIOErrorHandler(SCREEN_LOST)


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
def SCREEN_LOST(display: int) -> int:
    """Print one line and end the process, as the X library would."""
    message = f"the screen of the window is gone. {OTHERWISE}".replace("Or use", "Use")
    sys.stderr.write(f"pcseg: error: {message}\n")
    sys.stderr.flush()
    os._exit(1)


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
