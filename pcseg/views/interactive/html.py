"""A page that shows a cloud in any web browser without a network: points, colourings and viewer in one file."""

import base64
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pcseg.files import write_text
from pcseg.views.interactive.html_viewer import PAGE
from pcseg.views.layers.coloring import NOTHING, Layer
from pcseg.views.render.splat import FINEST_CELL, morton_code, patch_size
from pcseg.views.subject import Subject

MOST_POINTS = 1_000_000
"""Points of a page; of a larger cloud so many are shown, evenly chosen."""


def write_page(
    path: Path,
    subject: Subject,
    layers: Sequence[Layer],
    *,
    first: int = 0,
    most: int = MOST_POINTS,
    mark: int | None = None,
    charts: Image.Image | None = None,
) -> int:
    """Write the page, under a temporary name first.

    Args:
        path: The file.
        subject: The points.
        layers: The colourings to switch between.
        first: Which of them is shown at first.
        most: Largest number of points.
        mark: A point to mark.
        charts: A picture to show on demand.

    Returns:
        How many points the page has.

    Convention:
        Positions are rounded to 1/65535 of the cloud's size along each axis, colours are exact. Points come in
        the order of a space-filling curve, so that neighbours compress well.
    """
    # a golden-ratio sequence picks evenly in file order, whatever its period
    rows = np.arange(len(subject))
    if len(rows) > most:
        rows = np.argsort(rows * 0.6180339887498949 % 1, kind="stable")[:most]
    rows = rows[curve_order(subject.pos[rows])]
    pos = subject.pos[rows]
    low = pos.min(axis=0)
    step = np.maximum(pos.max(axis=0) - low, 1e-6) / 65535
    blobs = [packed_steps(np.rint((pos - low) / step).astype(np.uint16))]
    sites: dict[int, int] = {}
    entries = [layer_entry(layer, rows, blobs, sites) for layer in layers]
    some = pos[:: max(1, len(pos) // 200_000)]
    meta = {
        "name": subject.name, "count": len(rows), "total": len(subject), "low": low.tolist(), "step": step.tolist(),
        "size": 1.5 * float(np.median(patch_size(some))) * (len(some) / len(pos)) ** 0.5,
        "layers": entries, "first": first, "mark": None if mark is None else subject.pos[mark].tolist(),
        "charts": None if charts is None else png_uri(charts),
    }  # fmt: skip
    data = "\n".join(
        f'<script type="text/plain" id="b{i}">{base64.b64encode(zlib.compress(blob, 6)).decode()}</script>'
        for i, blob in enumerate(blobs)
    )
    # "<" could end the script that holds the text
    text = PAGE.replace("@META@", json.dumps(meta).replace("<", "\\u003c")).replace("@DATA@", data)
    write_text(path, text)
    return len(rows)


def layer_entry(
    layer: Layer, rows: np.ndarray, blobs: list[bytes], sites: dict[int, int]
) -> dict[str, object]:
    """What the page is told of a layer; its arrays are added to ``blobs``, those of sites once."""
    entry: dict[str, object] = {
        "title": layer.title, "by": layer.by, "note": layer.note, "legend": layer.legend, "scale": layer.scale,
        "span": layer.span, "names": layer.names,
    }  # fmt: skip
    if layer.rgb is not None:
        color = layer.rgb[rows]
        blobs.append(b"".join(np.ascontiguousarray(column).tobytes() for column in color.T))
        return entry | {"rgb": len(blobs) - 1}
    index = layer.index.astype(np.uint16) if len(layer.table) > 256 else layer.index.astype(np.uint8)
    if layer.site is None:
        index = index[rows]
    elif id(layer.site) not in sites:
        site = layer.site[rows].astype(np.int64) % len(layer.index)  # -1 is the last
        blobs.append(site.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes())
        sites[id(layer.site)] = len(blobs) - 1
    blobs.append(index.astype(index.dtype.newbyteorder("<")).tobytes())
    entry |= {
        "index": len(blobs) - 1,
        "wide": index.dtype.itemsize == 2,
        "table": layer.table.ravel().tolist(),
    }
    return entry | {"site": None if layer.site is None else sites[id(layer.site)], "nothing": NOTHING}


def curve_order(pos: np.ndarray) -> np.ndarray:
    """Order of points along a space-filling curve."""
    near = torch.from_numpy(np.ascontiguousarray(pos))
    grid = ((near - near.amin(dim=0)) / FINEST_CELL).long().clamp(max=(1 << 21) - 1)
    return morton_code(grid).argsort().numpy()


def packed_steps(grid: np.ndarray) -> bytes:
    """Differences of ``(N, 3)`` uint16 from row to row, modulo 2**16: for each axis the low bytes, then the high."""
    steps = np.diff(grid, axis=0, prepend=np.zeros((1, 3), np.uint16))
    return b"".join(
        steps[:, axis].astype("<u2").view(np.uint8).reshape(-1, 2).T.tobytes() for axis in range(3)
    )


def png_uri(image: Image.Image) -> str:
    """A picture as the address of itself."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
