"""A view in a web browser: turn the cloud, switch between colourings, click a point to see what is known of it."""

import threading
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from pcseg.errors import UserError
from pcseg.labels import Palette
from pcseg.views.interactive.picking import describe, point_on_ray
from pcseg.views.layers.coloring import NOTHING, By, Layer
from pcseg.views.layers.head_layers import all_layers, attention_layers
from pcseg.views.render.cameras import make_camera
from pcseg.views.render.splat import patch_size
from pcseg.views.render.thinning import thin
from pcseg.views.subject import Subject

MAX_POINTS = 100_000
"""Points that are drawn: a browser without a graphics card takes seconds for a million."""
WINDOW = 0.03
"""Seconds within which the server may put messages together."""


class BrowserView:
    """Serves one subject until it is stopped.

    Large clouds are drawn with fewer points; a click, the answer and the legend are about all of them.

    Args:
        subject: What to show.
        by: The colouring that is shown first.
        palette: Colours of the classes.
        host: Address to listen at; that of this machine alone by default.
        port: Port to listen at; the next free one is taken where it is in use.
        max_points: Largest number of points that are drawn, evenly chosen.
        charts: Picture of what belongs to the whole cloud, shown below the legend.

    Raises:
        UserError: viser is not installed, the subject lacks what ``by`` needs, or ``max_points`` is not positive.
    """

    def __init__(
        self,
        subject: Subject,
        by: By,
        *,
        palette: Palette = "canonical",
        host: str = "127.0.0.1",
        port: int = 8080,
        max_points: int = MAX_POINTS,
        charts: Image.Image | None = None,
    ) -> None:
        try:
            import viser
        except ImportError as error:
            raise UserError(
                'the browser view needs viser: pip install "pcseg[view]"; or give --html FILE'
            ) from error
        if max_points < 1:
            raise UserError(f"a view of at most {max_points} points shows nothing; give 1 or more")
        self.subject = subject
        self.drawn = thin(subject.pos, max_points)
        self.picked: int | None = None
        self.answer_seconds = 0.0
        self._layers = {layer.title: layer for layer in all_layers(subject, palette=palette)}
        shown = next((layer for layer in self._layers.values() if layer.by == by), None)
        if shown is None:
            raise UserError(
                f"{subject.name}: nothing to colour by {by}; choose one of {', '.join(self.ways)}"
            )
        self._lock = threading.Lock()
        self.server = viser.ViserServer(host=host, port=port, label=subject.name, verbose=False)
        self.port: int = self.server.get_port()
        self._add_scene(shown)
        self._add_controls(shown, charts)
        # the API's own threads call these one after the other for each client, but clients come together
        self._mode.on_update(lambda _: self._recolor())
        self.server.scene.on_click()(self._on_click)

    @property
    def ways(self) -> list[str]:
        """What the subject can be coloured by."""
        return list(dict.fromkeys(layer.by for layer in self._layers.values()))

    @property
    def titles(self) -> list[str]:
        """Titles of the colourings, as the page lists them."""
        return list(self._layers)

    @property
    def shown(self) -> str:
        """Title of the colouring that is shown."""
        return self._mode.value

    def show(self, title: str) -> None:
        """Switch to the colouring of that title, as the list on the page does."""
        self._mode.value = title

    def _recolor(self) -> None:
        """Draw the colouring that is shown."""
        with self._lock:
            layer = self._layers[self.shown]
            self._cloud.colors = layer.take(self.drawn).color
            self._legend.content = legend_html(layer)

    def click(self, origin: tuple[float, ...], direction: tuple[float, ...]) -> int | None:
        """Pick the point that is seen along a ray and say what is known of it; its row, or ``None``."""
        start = time.perf_counter()
        point = point_on_ray(self.subject.pos, np.array(origin), np.array(direction))
        if point is None:
            return None
        self.picked = point
        said = describe(self.subject, point)
        self._answer.content = as_markdown(said)
        # the page shows a text that comes alone at once, but one that comes with the ball when it has drawn the cloud
        self.server.flush()
        time.sleep(WINDOW)
        maps, seen = self.subject.maps, []
        if maps is not None and maps.attend is not None and maps.row[point] >= 0:
            seen = attention_layers(maps, point)
            self._layers |= {layer.title: layer for layer in seen}
            said += [(layer.title, layer.note) for layer in seen]
        with self.server.atomic():
            if seen:
                self._answer.content = as_markdown(said)
            self._ball.position = tuple(map(float, self.subject.pos[point]))
            self._ball.visible = True
            if self._layers[self.shown].by == "attention":
                self._recolor()
        self.answer_seconds = time.perf_counter() - start
        return point

    def _on_click(self, event: Any) -> None:
        self.click(event.ray_origin, event.ray_direction)

    def stop(self) -> None:
        """Close the page."""
        self.server.stop()

    def _add_scene(self, layer: Layer) -> None:
        pos = self.subject.pos
        camera = make_camera(pos, "inside", width=1280, height=720, sensor=self.subject.sensor)
        scene = self.server.scene
        scene.set_up_direction("+z")
        drawn = pos[self.drawn]
        # the shader draws points twice as wide as their size; a third more closes what is seen at a slant
        size = 1.3 * float(np.median(patch_size(drawn))) / 2
        scene.configure_default_lights(cast_shadow=False)
        self._cloud = scene.add_point_cloud(
            "/cloud",
            drawn,
            layer.take(self.drawn).color,
            point_size=size,
            point_shape="square",
            point_shading="flat",
            precision="float32",
        )
        self._ball: Any = scene.add_icosphere("/picked", radius=2 * size, color=(200, 20, 110), visible=False)
        self.server.initial_camera.position = camera.eye.astype(np.float64)
        self.server.initial_camera.look_at = camera.target.astype(np.float64)
        self.server.initial_camera.up = (0.0, 0.0, 1.0)

    def _add_controls(self, layer: Layer, charts: Image.Image | None) -> None:
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.main_panel.dock_right()
        self._mode = gui.add_dropdown("colours", self.titles, initial_value=layer.title)
        self._legend = gui.add_html(legend_html(layer))
        self._answer = gui.add_markdown(
            "Click a point to see its class, its probabilities and what it attends to."
        )
        if charts is not None:
            gui.add_image(np.asarray(charts), label="whole cloud")


def as_markdown(said: Sequence[tuple[str, str]]) -> str:
    """A paragraph each of headings and texts."""
    return "\n\n".join(f"**{head}** {text}" for head, text in said)


def legend_html(layer: Layer) -> str:
    """The legend of a layer: squares with names, or a colour scale with its ends."""
    box = "display:inline-block;width:14px;height:14px;border:1px solid #191c21;margin-right:8px"
    rows = [
        f'<div><span style="{box};background:rgb{color}"></span>{escape(text)}</div>'
        for text, color in layer.legend
    ]
    if layer.scale:
        places = np.linspace(0, NOTHING - 1, 9).astype(int)
        stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in layer.table[places].tolist())
        bar = f"height:16px;background:linear-gradient(to right,{stops})"
        low, high = map(escape, layer.scale)
        ends = f'<div style="display:flex;justify-content:space-between"><span>{low}</span><span>{high}</span></div>'
        rows.append(f'<div style="{bar}"></div>{ends}')
    if layer.note:
        rows.append(f"<div>{escape(layer.note)}</div>")
    return f'<div style="font-size:14px;line-height:1.5;padding:2px 12px">{"".join(rows)}</div>'
