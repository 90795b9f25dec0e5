"""A room as triangle meshes with class, instance and material, for scanners and cameras."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from data_prep.synthetic.shapes import Mesh
from data_prep.synthetic.textures import Material, Patch

if TYPE_CHECKING:
    from open3d.t.geometry import RaycastingScene


@dataclass(frozen=True)
class Pose:
    """A pose in the room: meters from its corner and a rotation about z in radians."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0

    @property
    def position(self) -> np.ndarray:
        return np.array([self.x, self.y, self.z])

    @property
    def rotation(self) -> np.ndarray:
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    def then(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> "Pose":
        """Return the pose at ``(x, y, z, yaw)`` relative to this one."""
        return Pose(*(self.position + self.rotation @ [x, y, z]), self.yaw + yaw)


@dataclass(frozen=True)
class Surface:
    """A mesh of one material."""

    mesh: Mesh
    material: Material


@dataclass
class Item:
    """An object of one class in its own frame: origin under its middle, front towards +y, standing on z = 0.

    ``top`` is the height of the face on which other objects can stand, or ``None``.
    """

    label: str
    surfaces: list[Surface] = field(default_factory=list)
    top: float | None = None

    def add(self, material: Material, *meshes: Mesh) -> "Item":
        self.surfaces.extend(Surface(mesh, material) for mesh in meshes)
        return self

    @property
    def size(self) -> tuple[float, float, float]:
        """Width, depth and height of the box about it that is centered on the origin."""
        width, depth = 2 * np.abs(self._vertices[:, :2]).max(axis=0)
        return float(width), float(depth), float(self._vertices[:, 2].max())

    @property
    def bottom(self) -> float:
        """Height of the lowest vertex."""
        return float(self._vertices[:, 2].min())

    @property
    def _vertices(self) -> np.ndarray:
        return np.concatenate([surface.mesh.vertices for surface in self.surfaces])


@dataclass(frozen=True)
class Hits:
    """What ``n`` rays met: ``distance`` (meters, inf: nothing), ``surface`` (index, -1), unit ``normal``."""

    distance: np.ndarray
    surface: np.ndarray
    normal: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RoomModel:
    """A furnished room.

    Attributes:
        size: Width (x), depth (y) and height (z) of the room; a corner of its floor is the origin.
        vertices, triangles: ``(V, 3)`` meters and ``(T, 3)``.
        triangle_surface: ``(T,)`` surface of a triangle.
        surface_instance: ``(S,)`` instance of a surface.
        surface_seed: ``(S,)`` uint32 for its texture.
        materials: One per surface.
        labels: Class name of each instance.
        poses: Pose of each instance.
        obstacles: ``(K, 4)`` footprints ``x0, x1, y0, y1`` that a scanner cannot stand in.
        lamps, lamp_colors: ``(L, 3)`` positions of lamps and windows and their light.
    """

    size: tuple[float, float, float]
    vertices: np.ndarray
    triangles: np.ndarray
    triangle_surface: np.ndarray
    surface_instance: np.ndarray
    surface_seed: np.ndarray
    materials: list[Material]
    labels: list[str]
    poses: list[Pose]
    obstacles: np.ndarray
    lamps: np.ndarray
    lamp_colors: np.ndarray

    @cached_property
    def scene(self) -> "RaycastingScene":
        """The ray caster over all triangles."""
        import open3d as o3d

        scene = o3d.t.geometry.RaycastingScene()
        vertices = o3d.core.Tensor(self.vertices.astype(np.float32))
        scene.add_triangles(vertices, o3d.core.Tensor(self.triangles.astype(np.uint32)))
        return scene

    def cast(self, origins: np.ndarray, directions: np.ndarray, *, threads: int = 0) -> Hits:
        """Return the first surface along each ray; ``directions`` ``(n, 3)`` need not be unit vectors.

        Convention:
            ``distance`` counts lengths of ``directions``; normals point back along the ray.
        """
        import open3d as o3d

        rays = np.concatenate([np.broadcast_to(origins, directions.shape), directions], axis=1)
        answer = self.scene.cast_rays(o3d.core.Tensor(rays.astype(np.float32)), threads)
        triangle = answer["primitive_ids"].numpy()
        hit = triangle != 0xFFFFFFFF
        surface = np.full(len(rays), -1, np.int32)
        surface[hit] = self.triangle_surface[triangle[hit]]
        normal = answer["primitive_normals"].numpy()
        normal = np.where((np.einsum("ij,ij->i", normal, directions) > 0)[:, None], -normal, normal)
        return Hits(answer["t_hit"].numpy(), surface, normal)

    def blocked(self, start: np.ndarray, ray: np.ndarray, reach: float, *, threads: int) -> np.ndarray:
        """Return whether anything is within ``reach`` lengths of each ray ``(n, 3)``."""
        import open3d as o3d

        rays = o3d.core.Tensor(np.concatenate([start, ray], axis=1, dtype=np.float32, casting="same_kind"))
        return self.scene.test_occlusions(rays, 0.0, reach, threads).numpy()

    def albedo(self, pos: np.ndarray, normal: np.ndarray, surface: np.ndarray) -> np.ndarray:
        """Return the color ``(n, 3)`` in 0..1 of points on surfaces, without light."""
        colors = np.empty((len(pos), 3), np.float32)
        textures = list({material.texture: None for material in self.materials})
        kind = np.array([textures.index(material.texture) for material in self.materials])[surface]
        for index, texture in enumerate(textures):
            chosen = np.flatnonzero(kind == index)
            if len(chosen):
                colors[chosen] = texture(self._patch(pos[chosen], normal[chosen], surface[chosen]))
        return np.clip(colors, 0, 1)

    def _patch(self, pos: np.ndarray, normal: np.ndarray, surface: np.ndarray) -> Patch:
        rotation, position, color, accent, scale = self._tables
        turn = rotation[surface]
        local = np.einsum("nij,ni->nj", turn, pos - position[surface])
        facing = np.abs(np.einsum("nij,ni->nj", turn, normal)).argmax(axis=1)
        first, second = np.array([[1, 2], [0, 2], [0, 1]])[facing].T
        rows = np.arange(len(pos))
        uv = np.stack([local[rows, first], local[rows, second]], axis=-1)
        return Patch(local, uv, color[surface], accent[surface], scale[surface], self.surface_seed[surface])

    @cached_property
    def _tables(self) -> tuple[np.ndarray, ...]:
        poses = [self.poses[instance] for instance in self.surface_instance]
        return tuple(
            np.array(rows, np.float32)
            for rows in (
                [pose.rotation for pose in poses],
                [pose.position for pose in poses],
                [material.color for material in self.materials],
                [material.accent for material in self.materials],
                [material.scale for material in self.materials],
            )
        )


def assemble(
    items: Sequence[tuple[Item, Pose]],
    *,
    size: tuple[float, float, float],
    obstacles: np.ndarray,
    lamps: np.ndarray,
    lamp_colors: np.ndarray,
    seed: int,
) -> RoomModel:
    """Combine objects at their poses into one model; the position in ``items`` is the instance."""
    vertices, triangles, owner, materials, instances = [], [], [], [], []
    start = 0
    for instance, (item, pose) in enumerate(items):
        for surface in item.surfaces:
            vertices.append(surface.mesh.vertices @ pose.rotation.T + pose.position)
            triangles.append(surface.mesh.triangles + start)
            owner.append(np.full(len(surface.mesh.triangles), len(materials), np.int32))
            start += len(surface.mesh.vertices)
            materials.append(surface.material)
            instances.append(instance)
    return RoomModel(
        size=size,
        vertices=np.concatenate(vertices).astype(np.float32),
        triangles=np.concatenate(triangles).astype(np.uint32),
        triangle_surface=np.concatenate(owner),
        surface_instance=np.array(instances, np.int32),
        surface_seed=np.random.default_rng(seed).integers(0, 2**31, len(materials)).astype(np.uint32),
        materials=materials,
        labels=[item.label for item, _ in items],
        poses=[pose for _, pose in items],
        obstacles=obstacles,
        lamps=lamps,
        lamp_colors=lamp_colors,
    )
