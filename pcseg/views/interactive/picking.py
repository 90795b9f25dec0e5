"""Which point a click means, and what there is to say about it."""

import numpy as np

from pcseg.views.subject import Subject

CONE = 0.006
"""Half the angle in radians within which a click means a point."""
WIDER = (3, 10)
"""Times as wide cones are tried where a sparse cloud has no point in the first."""
THIN = 0.05
"""Metres behind the first point within which a point nearer to the ray is taken instead."""


def point_on_ray(
    pos: np.ndarray, origin: np.ndarray, direction: np.ndarray, *, cone: float = CONE
) -> int | None:
    """Row of the point that is seen along a ray, ``None`` if there is none near it.

    Args:
        pos: ``(N, 3)`` float32.
        origin: Where the ray starts, ``(3,)``.
        direction: Where it goes, ``(3,)``, of any length.
        cone: Half the angle of the cone around the ray, in radians.
    """
    ray = np.asarray(direction, dtype=np.float64)
    ray = (ray / np.linalg.norm(ray)).astype(np.float32)
    away = pos - np.asarray(origin, dtype=np.float32)
    depth = away @ ray
    aside = np.einsum("ij,ij->i", away, away) - np.square(depth)
    for width in (cone, *(cone * factor for factor in WIDER)):
        near = np.flatnonzero((depth > 0.02) & (aside < np.square(np.float32(width) * depth)))
        if len(near):
            break
    else:
        return None
    first = near[depth[near] < depth[near].min() + THIN]
    return int(first[(aside[first] / np.square(depth[first])).argmin()])


def describe(subject: Subject, point: int, *, most: int = 5) -> list[tuple[str, str]]:
    """Headings and texts: place, classes, the largest probabilities, affinities and codewords of a point."""
    names = subject.schema.names if subject.schema else ()
    x, y, z = subject.pos[point]
    found = [("place", f"{x:.2f}, {y:.2f}, {z:.2f} m")]
    if subject.label is not None:
        found.append(("true label", _name(names, int(subject.label[point]))))
    if subject.prediction is not None:
        text = _name(names, int(subject.prediction[point]))
        if subject.confidence is not None:
            text += f" ({float(subject.confidence[point]):.2f})"
        found.append(("prediction", text))
    maps = subject.maps
    if maps is None or maps.row[point] < 0:
        return found
    row, token = int(maps.row[point]), int(maps.point_token[point])
    found.append(("probabilities", _largest(maps.probability[row], names, most)))
    if maps.plain is not None:
        found.append(("probabilities, plain head", _largest(maps.plain[row], names, most)))
    if maps.affinity is not None:
        found.append(("affinity", _largest(maps.affinity[token], names, most)))
    if maps.assignment is not None:
        codewords = tuple(f"codeword {i}" for i in range(maps.assignment.shape[1]))
        found.append(("codewords", _largest(maps.assignment[token], codewords, most)))
    return found


def _largest(values: np.ndarray, names: tuple[str, ...], most: int) -> str:
    order = np.argsort(-values, kind="stable")[:most]
    return ", ".join(f"{names[i]} {values[i]:.2f}" for i in order)


def _name(names: tuple[str, ...], label: int) -> str:
    return names[label] if label >= 0 else "no class"
