"""A view in a web browser: rotate the cloud, switch between layers, click a point to see its values."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pcseg.data.voxels import group_by_voxel
from pcseg.errors import UserError
from pcseg.views.interactive.page import legend_html
from pcseg.views.interactive.picking import describe, point_on_ray
from pcseg.views.layers.coloring import Coloring, Layer
from pcseg.views.layers.head_layers import attention_layers, browse_layers
from pcseg.views.render.cameras import INSIDE, Viewpoint
from pcseg.views.render.splat import patch_size
from pcseg.views.subject import Subject

MAX_POINTS = 100_000
"""Number of points to draw: a browser without a graphics card takes seconds for a million."""
MAX_TRIES = 9
"""Maximum number of grids to try for these points."""
MAX_CELLS = 1 << 20
"""Maximum number of cells along an edge: clouds with few distinct positions need ever finer grids."""
BATCH_SECONDS = 0.03
"""Time in which viser may combine messages into one batch."""


class BrowserView:
    """Serves one subject until it is stopped.

    Large clouds are drawn with fewer points; clicks, values and legends still refer to all of them.

    Args:
        coloring: Layer to show first; attention is that of its point until another one is clicked.
        host, port, max_points: As for ``pcseg visualize``.
        charts: Picture of the charts of the whole cloud, shown below the legend.

    Raises:
        UserError: viser is not installed, the subject lacks what the layer needs, or ``max_points`` is not positive.
    """

    def __init__(
        self,
        subject: Subject,
        coloring: Coloring,
        *,
        viewpoint: Viewpoint = INSIDE,
        host: str = "127.0.0.1",
        port: int = 8080,
        max_points: int = MAX_POINTS,
        charts: Image.Image | None = None,
    ) -> None:
        try:
            import viser
        except ImportError as error:
            message = "--browser: viser is not installed. Run: pip install viser, or use --html FILE."
            raise UserError(message) from error
        if max_points < 1:
            raise UserError(f"--max_points {max_points}: must be at least 1.")
        self.subject = subject
        self.drawn = thin(subject.pos, max_points)
        self.picked: int | None = None
        layers, first = browse_layers(subject, coloring)
        self._layers = {layer.title: layer for layer in layers}
        self._lock = threading.Lock()
        self.server = viser.ViserServer(host=host, port=port, label=subject.name, verbose=False)
        self.port: int = self.server.get_port()
        self._add_scene(layers[first], viewpoint)
        self._add_controls(layers[first], charts)
        self._recolor()
        # viser calls these in sequence for each client, but several clients can call at the same time
        self._mode.on_update(lambda _: self._recolor())
        self.server.scene.on_click()(self._on_click)

    @property
    def shown(self) -> str:
        """Title of the layer that is shown."""
        return self._mode.value

    def _recolor(self) -> None:
        """Draw the current layer."""
        with self._lock:
            layer = self._layers[self._mode.value]
            self._cloud.colors = layer.color_of(self.drawn)
            style = "font-size:14px;line-height:1.5;padding:2px 12px"
            self._legend.content = f'<div style="{style}">{legend_html(layer)}</div>'

    def click(self, origin: tuple[float, ...], direction: tuple[float, ...]) -> int | None:
        """Pick the point visible along a ray and show its values; return its row, or ``None``."""
        point = point_on_ray(self.subject.pos, np.array(origin), np.array(direction))
        if point is None:
            return None
        self.picked = point
        values = describe(self.subject, point)
        self._answer.content = as_markdown(values)
        # sent in its own batch: text that comes together with scene changes appears only after the scene is redrawn
        self.server.flush()
        time.sleep(BATCH_SECONDS)
        maps, attention = self.subject.maps, []
        if maps is not None and maps.attend is not None and maps.row[point] >= 0:
            attention = attention_layers(maps, point)
            self._layers |= {layer.title: layer for layer in attention}
            values += [(layer.title, layer.note) for layer in attention]
        with self.server.atomic():
            if attention:
                self._answer.content = as_markdown(values)
            self._ball.position = tuple(map(float, self.subject.pos[point]))
            self._ball.visible = True
            if self._layers[self._mode.value].by == "attention":
                self._recolor()
        return point

    def _on_click(self, event: Any) -> None:
        self.click(event.ray_origin, event.ray_direction)

    def invitation(self, host: str) -> str:
        """Return the line for the user."""
        name = "localhost" if host in ("127.0.0.1", "0.0.0.0") else host
        part = f"The browser draws {len(self.drawn):,} points; pass --max_points N for more. "
        part = part if len(self.drawn) < len(self.subject) else ""
        return f"{part}Open http://{name}:{self.port} in a browser; stop with Ctrl+C."

    def wait(self) -> None:
        """Serve until the process is interrupted, then close the page."""
        try:
            self.server.sleep_forever()
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        """Close the page."""
        self.server.stop()

    def _add_scene(self, layer: Layer, viewpoint: Viewpoint) -> None:
        _, camera = viewpoint.apply(self.subject, (1280, 720))
        scene = self.server.scene
        scene.set_up_direction("+z")
        drawn = self.subject.pos[self.drawn]
        # the shader draws points twice as wide as their size; the factor 1.3 closes surfaces seen at a slant
        size = (1.3 * float(np.median(patch_size(drawn))) if self.subject.pixels is None else 1.0) / 2
        scene.configure_default_lights(cast_shadow=False)
        self._cloud = scene.add_point_cloud(
            "/cloud",
            drawn,
            layer.color_of(self.drawn),
            point_size=size,
            point_shape="square",
            point_shading="flat",
            precision="float32",
        )
        self._ball: Any = scene.add_icosphere("/picked", radius=2 * size, color=(200, 20, 110), visible=False)
        self.server.initial_camera.position = camera.eye.astype(np.float64)
        self.server.initial_camera.look_at = camera.target.astype(np.float64)
        straight_down = abs(camera.axes[2, 2]) > 0.99
        self.server.initial_camera.up = (0.0, 1.0, 0.0) if straight_down else (0.0, 0.0, 1.0)

    def _add_controls(self, layer: Layer, charts: Image.Image | None) -> None:
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.main_panel.dock_right()
        self._mode = gui.add_dropdown("Color by", list(self._layers), initial_value=layer.title)
        self._legend = gui.add_html("")
        self._answer = gui.add_markdown("Click a point to see its values.")
        if charts is not None:
            gui.add_image(np.asarray(charts), label="whole cloud")


def thin(pos: np.ndarray, max_points: int) -> np.ndarray:
    """Return the rows of at most ``max_points`` points, one per occupied cell of the finest possible grid.

    The points are evenly spaced, independent of the scanner position, so surfaces stay closed at one point size.

    Convention:
        The first point of a cell represents it. For surfaces, at least 90 % of ``max_points`` remain.
    """
    if len(pos) <= max_points:
        return np.arange(len(pos))
    shifted = pos - pos.min(axis=0)
    edge = max(float(shifted.max()), 1e-3)
    # a grid this coarse has at most max_points cells, occupied or not
    cell = 1.001 * edge / int(round(max_points ** (1 / 3), 9))
    rows = np.empty(0, np.int64)
    for _ in range(MAX_TRIES):
        candidate = group_by_voxel(shifted, cell).pick(0)
        if len(rows) < len(candidate) <= max_points:
            rows = candidate
        if 0.9 * max_points <= len(candidate) <= max_points:
            break
        # the number of cells that a surface cuts is its area divided by the area of a cell face
        cell = max(cell * (len(candidate) / (0.95 * max_points)) ** 0.5, edge / MAX_CELLS)
    return np.sort(rows)


def as_markdown(values: Sequence[tuple[str, str]]) -> str:
    """Return headings and texts as one paragraph each."""
    return "\n\n".join(f"**{head}** {text}" for head, text in values)
