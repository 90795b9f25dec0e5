"""Triangle meshes of simple solids, from which furniture is assembled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

Vector = Sequence[float] | np.ndarray

BOX_QUADS = np.array(
    [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]], np.int32
)


@dataclass(frozen=True)
class Mesh:
    """Vertices ``(V, 3)`` in meters and triangles ``(T, 3)``; sides are seen from both directions."""

    vertices: np.ndarray
    triangles: np.ndarray

    def moved(self, offset: Vector) -> Self:
        return type(self)(self.vertices + np.asarray(offset, float), self.triangles)

    def scaled(self, factors: Vector) -> Self:
        return type(self)(self.vertices * np.asarray(factors, float), self.triangles)

    def turned(self, angle: float, axis: int = 2) -> Self:
        """Rotate by ``angle`` radians about a coordinate axis through the origin."""
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix = np.eye(3)
        matrix[[i, j, i, j], [i, j, j, i]] = np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle)
        return type(self)(self.vertices @ matrix.T, self.triangles)


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Join all meshes into one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles))


def _from_quads(vertices: np.ndarray, quads: np.ndarray) -> Mesh:
    return Mesh(vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32))


def box(size: Vector, bottom: Vector = (0, 0, 0)) -> Mesh:
    """Return a box of ``size``; ``bottom`` is the center of its lower face."""
    corners = np.array([[x, y, z] for z in (0, 1) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    return _from_quads(corners * np.asarray(size, float) + np.asarray(bottom, float), BOX_QUADS)


def prism(outline: np.ndarray, height: float, bottom: Vector = (0, 0, 0)) -> Mesh:
    """Extrude a convex ``outline`` ``(n, 2)`` by ``height``."""
    n = len(outline)
    ring = np.column_stack([outline, np.zeros(n)])
    vertices = np.concatenate([ring, ring + np.array([0, 0, height])]) + np.asarray(bottom, float)
    here = np.arange(n)
    there = (here + 1) % n
    sides = _from_quads(vertices, np.column_stack([here, there, there + n, here + n]))
    fan = np.column_stack([np.zeros(n - 2, int), here[1:-1], here[2:]])
    return Mesh(vertices, np.concatenate([sides.triangles, fan, fan + n]).astype(np.int32))


def rounded(width: float, depth: float, radius: float) -> np.ndarray:
    """Return the outline of a rectangle with rounded corners, centered on the origin."""
    radius = min(radius, width / 2 - 1e-3, depth / 2 - 1e-3)
    turn, middle = np.linspace(0, np.pi / 2, 4), np.array([width / 2 - radius, depth / 2 - radius])
    arcs = []
    for k, signs in enumerate([(1, 1), (-1, 1), (-1, -1), (1, -1)]):
        angle = turn + k * np.pi / 2
        arcs.append(signs * middle + radius * np.column_stack([np.cos(angle), np.sin(angle)]))
    return np.concatenate(arcs)


def ellipse(width: float, depth: float, steps: int = 28) -> np.ndarray:
    """Return the outline of an ellipse centered on the origin."""
    turn = np.arange(steps) * 2 * np.pi / steps
    return np.column_stack([width / 2 * np.cos(turn), depth / 2 * np.sin(turn)])


def grid(points: np.ndarray, *, around: bool = False) -> Mesh:
    """Return a surface through ``points`` ``(rows, columns, 3)``; ``around`` joins the last column to the first."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1) if around else index[:, 1:]
    left = index if around else index[:, :-1]
    quads = np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=-1).reshape(-1, 4)
    return _from_quads(points.reshape(-1, 3), quads)


def lathe(profile: Sequence[tuple[float, float]], bottom: Vector = (0, 0, 0), steps: int = 18) -> Mesh:
    """Revolve the ``profile`` of (radius, height) about the z axis."""
    turn = np.arange(steps) * 2 * np.pi / steps
    radius, height = np.array(profile, float).T
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    points = np.concatenate(
        [radius[:, None, None] * circle, np.broadcast_to(height[:, None, None], (len(radius), steps, 1))], -1
    )
    return grid(points + np.asarray(bottom, float), around=True)


def cylinder(radius: float, height: float, bottom: Vector = (0, 0, 0), steps: int = 18) -> Mesh:
    """Return a closed upright cylinder."""
    return lathe([(0, 0), (radius, 0), (radius, height), (0, height)], bottom, steps)


def tube(path: np.ndarray, radius: float, steps: int = 7) -> Mesh:
    """Return a round bar along the corners of ``path`` ``(n, 3)``."""
    path = np.asarray(path, float)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    side = np.cross(along, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, along)
    turn = np.arange(steps) * 2 * np.pi / steps
    ring = np.cos(turn)[None, :, None] * side[:, None] + np.sin(turn)[None, :, None] * up[:, None]
    return grid(path[:, None] + radius * ring, around=True)


def pillow(size: Vector, bottom: Vector = (0, 0, 0), power: float = 0.5, steps: int = 14) -> Mesh:
    """Return a superellipsoid for cushions, bags and seats: a ball for ``power`` 1, more like a box below."""
    u = np.linspace(-np.pi / 2, np.pi / 2, steps // 2 + 1)[:, None]
    v = (np.arange(steps) * 2 * np.pi / steps)[None]
    cu, su, cv, sv = (np.sign(w) * np.abs(w) ** power for w in (np.cos(u), np.sin(u), np.cos(v), np.sin(v)))
    points = np.stack([cu * cv, cu * sv, su * np.ones_like(v)], axis=-1)
    size = np.asarray(size, float)
    return grid(points * size / 2 + np.asarray(bottom, float) + [0, 0, size[2] / 2], around=True)


def bent_sheet(curve: np.ndarray, width: float, thickness: float = 0.02, hollow: float = 0.0) -> Mesh:
    """Return a sheet along ``curve`` ``(n, 2)`` in (y, z), ``width`` wide in x, its middle sunk by ``hollow``."""
    curve = np.asarray(curve, float)
    along = np.gradient(curve, axis=0)
    normal = np.column_stack([-along[:, 1], along[:, 0]]) / np.linalg.norm(along, axis=1, keepdims=True)
    across = np.linspace(-1, 1, 7)

    def side(offset: float) -> np.ndarray:
        depth = offset - hollow * (1 - across**2)
        yz = curve[:, None] + depth[None, :, None] * normal[:, None]
        return np.concatenate(
            [np.broadcast_to(across[None, :, None] * width / 2, (*yz.shape[:2], 1)), yz], -1
        )

    front, back = side(thickness / 2), side(-thickness / 2)
    return grid(np.concatenate([front, back[:, ::-1]], axis=1), around=True)


def panel(width: float, height: float, holes: Sequence[tuple[float, float, float, float]] = ()) -> Mesh:
    """Return an upright sheet ``x`` 0..width, ``z`` 0..height at ``y = 0`` minus ``holes`` (x0, x1, z0, z1)."""
    xs = np.unique(np.clip([0, width, *(x for hole in holes for x in hole[:2])], 0, width))
    zs = np.unique(np.clip([0, height, *(z for hole in holes for z in hole[2:])], 0, height))
    x0, z0 = np.meshgrid(xs[:-1], zs[:-1], indexing="ij")
    x1, z1 = np.meshgrid(xs[1:], zs[1:], indexing="ij")
    middle = np.stack([(x0 + x1) / 2, (z0 + z1) / 2], axis=-1)
    solid = np.ones(x0.shape, bool)
    for a, b, c, d in holes:
        solid &= ~((middle[..., 0] > a) & (middle[..., 0] < b) & (middle[..., 1] > c) & (middle[..., 1] < d))
    corners = np.stack([x0, z0, x1, z0, x1, z1, x0, z1], axis=-1)[solid].reshape(-1, 4, 2)
    vertices = np.stack([corners[..., 0], np.zeros(corners.shape[:2]), corners[..., 1]], axis=-1)
    return _from_quads(vertices.reshape(-1, 3), np.arange(len(vertices) * 4).reshape(-1, 4))
