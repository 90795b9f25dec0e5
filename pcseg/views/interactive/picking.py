"""Find the point that a click selects, and describe it."""

import numpy as np

from pcseg.views.layers.head_maps import largest
from pcseg.views.layers.slab_layers import slab_text
from pcseg.views.subject import Subject

CONES = (0.006, 0.018, 0.06)
"""Half the opening angles in radians of cones around a ray in which points are found; wider ones for sparse clouds."""
SURFACE = 0.05
"""Meters behind the nearest point within which the point closest to the ray is taken."""

MAX_ENTRIES = 5
"""Number of probabilities to list."""


def point_on_ray(pos: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> int | None:
    """Return the row of the point ``(N, 3)`` that is visible along a ray, ``None`` if there is none near it."""
    ray = np.asarray(direction, dtype=np.float64)
    ray = (ray / np.linalg.norm(ray)).astype(np.float32)
    offset = pos - np.asarray(origin, dtype=np.float32)
    depth = offset @ ray
    aside = np.einsum("ij,ij->i", offset, offset) - np.square(depth)
    for width in CONES:
        near = np.flatnonzero((depth > 0.02) & (aside < np.square(np.float32(width) * depth)))
        if len(near):
            break
    else:
        return None
    first = near[depth[near] < depth[near].min() + SURFACE]
    return int(first[(aside[first] / np.square(depth[first])).argmin()])


def describe(subject: Subject, point: int) -> list[tuple[str, str]]:
    """Return headings and texts of a point: position, classes, largest probabilities, and what the head computes."""
    names = subject.class_names
    x, y, z = subject.pos[point]
    found = [("position", f"{x:.2f}, {y:.2f}, {z:.2f} m")]
    if subject.pixels is not None:
        row, column = divmod(point, subject.pixels[1])
        found = [("pixel", f"column {column}, row {row}")]
    if subject.label is not None:
        found.append(("true label", _class_name(names, int(subject.label[point]))))
    if subject.prediction is not None:
        text = _class_name(names, int(subject.prediction[point]))
        if subject.confidence is not None:
            text += f" ({float(subject.confidence[point]):.2f})"
        found.append(("prediction", text))
    maps = subject.maps
    if maps is None or maps.row[point] < 0:
        return found
    row, token = int(maps.row[point]), int(maps.point_token[point])
    found.append(("probabilities", largest(maps.probability[row], names, MAX_ENTRIES)))
    if maps.baseline is not None:
        found.append(("probabilities of the baseline", largest(maps.baseline[row], names, MAX_ENTRIES)))
    if maps.affinity is not None:
        found.append(("affinity", largest(maps.affinity[token], names, MAX_ENTRIES)))
    if maps.assignment is not None:
        codewords = tuple(f"codeword {i}" for i in range(maps.assignment.shape[1]))
        found.append(("codewords", largest(maps.assignment[token], codewords, MAX_ENTRIES)))
    if maps.attend is not None and token >= 0:
        weight = maps.attend(token)[-1].weight
        label = np.zeros(len(weight), dtype=np.int64)
        label[maps.token] = maps.probability.argmax(axis=1)  # that of one of the rows of each token
        attended = np.bincount(label, weight, minlength=len(names)) / weight.sum()
        found.append(("attends to", largest(attended, names, MAX_ENTRIES)))
    for shares in maps.slabs or ():
        slab = int(shares.slab[token])
        found.append((f"slab along {shares.name}", slab_text(shares, slab, names)))
    return found


def _class_name(names: tuple[str, ...], label: int) -> str:
    return names[label] if label >= 0 else "no class"
