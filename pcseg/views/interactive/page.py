"""An HTML page that shows a cloud in any web browser without a network: points, layers and viewer in one file.

The viewer is our own because a library that draws a million points and answers clicks must be loaded from a
network or embedded in every page.
"""

import base64
import io
import json
import zlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from pcseg.files import write_text
from pcseg.views.layers.coloring import MISSING, Layer
from pcseg.views.render.splat import cell_code, patch_size
from pcseg.views.subject import Subject

MAX_POINTS = 1_000_000
"""Points of a page; larger clouds are subsampled."""


def write_page(
    path: Path,
    subject: Subject,
    layers: Sequence[Layer],
    *,
    first: int = 0,
    max_points: int = MAX_POINTS,
    mark: int | None = None,
    charts: Image.Image | None = None,
) -> int:
    """Write the page and return its number of points.

    Layer number ``first`` is shown first. ``mark`` is the row of the point whose attention is shown, ``charts`` a
    picture to show on demand.

    Convention:
        Positions are rounded to 1/65535 of the cloud's size along each axis, colors are exact. Points are
        stored along a space-filling curve, so that neighbors compress well.
    """
    rows = np.arange(len(subject))
    if len(rows) > max_points:  # a golden-ratio sequence samples evenly in file order
        rows = np.argsort(rows * 0.6180339887498949 % 1, kind="stable")[:max_points]
    rows = rows[cell_code(subject.pos[rows]).argsort().numpy()]
    pos = subject.pos[rows]
    low = pos.min(axis=0)
    step = np.maximum(pos.max(axis=0) - low, 1e-6) / 65535
    blobs = [pack_differences(np.rint((pos - low) / step).astype(np.uint16))]
    tokens: dict[int, int] = {}
    entries = [layer_entry(layer, rows, blobs, tokens) for layer in layers]
    sample = pos[:: max(1, len(pos) // 200_000)]
    point_size = 1.5 * float(np.median(patch_size(sample))) * (len(sample) / len(pos)) ** 0.5
    if subject.pixels is not None:
        point_size = 1.05  # pixels touch
    meta = {
        "name": subject.name, "count": len(rows), "total": len(subject), "low": low.tolist(), "step": step.tolist(),
        "size": point_size,
        "layers": entries, "first": first, "mark": None if mark is None else subject.pos[mark].tolist(),
        "rows": None if subject.pixels is None else subject.pixels[0],
        "charts": None if charts is None else png_uri(charts),
    }  # fmt: skip
    write_text(path, fill_template(meta, blobs))
    return len(rows)


def fill_template(meta: dict[str, object], blobs: Sequence[bytes]) -> str:
    """Return the text of a page."""
    folder = Path(__file__).parent
    data = "\n".join(
        f'<script type="text/plain" id="b{i}">{base64.b64encode(zlib.compress(blob, 6)).decode()}</script>'
        for i, blob in enumerate(blobs)
    )
    parts = {
        "@SCRIPT@": (folder / "viewer.js").read_text(encoding="utf-8"),
        "@DATA@": data,
        "@META@": json.dumps(meta).replace("<", "\\u003c"),  # "</script>" in a name would end the script
    }
    text = (folder / "viewer.html").read_text(encoding="utf-8")
    for key, part in parts.items():
        text = text.replace(key, part, 1)
    return text


def layer_entry(
    layer: Layer, rows: np.ndarray, blobs: list[bytes], tokens: dict[int, int]
) -> dict[str, object]:
    """Return the description of a layer; append its arrays to ``blobs``, shared token arrays only once."""
    entry: dict[str, object] = {
        "title": layer.title, "by": layer.by, "legend": legend_html(layer), "scale": layer.scale, "span": layer.span,
        "names": layer.names,
    }  # fmt: skip
    if layer.rgb is not None:
        blobs.append(np.ascontiguousarray(layer.rgb[rows].T).tobytes())
        return entry | {"rgb": len(blobs) - 1}
    index = layer.index.astype(np.uint16) if len(layer.table) > 256 else layer.index.astype(np.uint8)
    if layer.token is None:
        index = index[rows]
    elif id(layer.token) not in tokens:
        token = layer.token[rows].astype(np.int64) % len(layer.index)  # -1 is the last
        blobs.append(token.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes())
        tokens[id(layer.token)] = len(blobs) - 1
    blobs.append(index.astype(index.dtype.newbyteorder("<")).tobytes())
    return entry | {
        "index": len(blobs) - 1,
        "wide": index.dtype.itemsize == 2,
        "table": layer.table.ravel().tolist(),
        "token": None if layer.token is None else tokens[id(layer.token)],
        "missing": MISSING,
    }


def legend_html(layer: Layer) -> str:
    """Return the legend of a layer: squares with names, or a color scale with its ends."""
    box = "display:inline-block;width:14px;height:14px;border:1px solid #191c21;margin-right:8px"
    rows = [
        f'<div><span style="{box};background:rgb{color}"></span>{escape(text)}</div>'
        for text, color in layer.legend
    ]
    if layer.scale:
        entries = np.linspace(0, MISSING - 1, 9).astype(int)
        stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in layer.table[entries].tolist())
        bar = f"height:16px;background:linear-gradient(to right,{stops})"
        low, high = map(escape, layer.scale)
        ends = f'<div style="display:flex;justify-content:space-between"><span>{low}</span><span>{high}</span></div>'
        rows.append(f'<div style="{bar}"></div>{ends}')
    if layer.note:
        rows.append(f"<div>{escape(layer.note)}</div>")
    return "".join(rows)


def pack_differences(grid: np.ndarray) -> bytes:
    """Pack row differences of ``(N, 3)`` uint16, modulo 2**16: for each axis the low bytes, then the high bytes."""
    steps = np.diff(grid, axis=0, prepend=np.zeros((1, 3), np.uint16))
    return b"".join(
        steps[:, axis].astype("<u2").view(np.uint8).reshape(-1, 2).T.tobytes() for axis in range(3)
    )


def png_uri(image: Image.Image) -> str:
    """Return an image as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
