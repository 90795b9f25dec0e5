"""Where sensors stand and look: tripods, walks and single views, with fans of lasers or the rays of a camera."""

from dataclasses import dataclass

import numpy as np

from data_prep.indoor.returns import Range, Scene, Shots, draw


@dataclass(frozen=True, kw_only=True)
class Fan:
    """A turning laser: ``rows`` elevations from ``low`` to ``high`` degrees, each with ``columns`` azimuths.

    ``tilt`` is the standard deviation of the axis in degrees.
    """

    rows: int
    columns: int
    low: float = -62.0
    high: float = 88.0
    tilt: float = 0.0

    def rays(self, forward: np.ndarray, pitch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return unit directions ``(s, rows, columns, 3)``; the azimuth starts at ``forward`` (s,)."""
        count = len(forward)
        azimuth = forward[:, None, None] + np.arange(self.columns) * 2 * np.pi / self.columns
        low, high = np.radians([self.low, self.high])
        elevation = np.linspace(low, high, self.rows)[:, None]
        elevation = elevation + rng.normal(0, 2e-4, (count, self.rows, 1))
        level = np.cos(elevation)
        rays = np.stack(
            np.broadcast_arrays(level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)), axis=-1
        )
        lean = np.radians(rng.normal(0, 1, (count, 2)) * self.tilt)
        return np.einsum("srcj,sij->srci", rays, _turns(np.zeros(count), *lean.T)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Pinhole:
    """A depth camera of ``rows`` times ``columns`` pixels that sees ``width`` degrees across."""

    rows: int
    columns: int
    width: float

    def rays(self, forward: np.ndarray, pitch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return unit directions ``(s, rows, columns, 3)`` of cameras that look along ``forward`` and ``pitch``."""
        focal = self.columns / 2 / np.tan(np.radians(self.width) / 2)
        v, u = np.mgrid[0 : self.rows, 0 : self.columns]
        across, down = (u - self.columns / 2 + 0.5) / focal, (v - self.rows / 2 + 0.5) / focal
        rays = np.stack([np.ones(u.shape), -across, -down], axis=-1)
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        roll = np.radians(rng.normal(0, 4, len(forward)))
        return np.einsum("rcj,sij->srci", rays, _turns(forward, roll, -pitch)).astype(np.float32)


def _turns(yaw: np.ndarray, roll: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Return rotations ``(s, 3, 3)``: first ``roll`` about x, then ``pitch`` about y (down), then ``yaw`` about z."""
    matrices = []
    for angle, (i, j) in ((yaw, (0, 1)), (pitch, (2, 0)), (roll, (1, 2))):
        matrix = np.tile(np.eye(3), (len(angle), 1, 1))
        matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
        matrix[:, j, i], matrix[:, i, j] = np.sin(angle), -np.sin(angle)
        matrices.append(matrix)
    return matrices[0] @ matrices[1] @ matrices[2]


@dataclass(frozen=True, kw_only=True)
class Tripod:
    """Stations that stand far apart, ``least`` to ``most`` per room, 1.3 to 1.8 m high."""

    lens: Fan
    least: int = 1
    most: int = 3

    def shots(self, scene: Scene, rng: np.random.Generator) -> Shots:
        eyes = [_spread(spots, int(rng.integers(self.least, self.most + 1)), rng) for spots in scene.spots]
        eye = np.concatenate(eyes) + np.stack([np.array([0, 0, rng.uniform(1.3, 1.8)])])
        return _shots(self.lens, eye, rng.uniform(0, 2 * np.pi, len(eye)), np.zeros(len(eye)), rng)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A hand-held sensor: ``stops`` per room, ``turns`` looks at each, poses that drift.

    Args:
        lens: The rays of one pose.
        stops: Number of positions per 10 square meters of a room.
        turns: Number of directions at each.
        pitch: Mean and standard deviation of the pitch in degrees.
        drift: Standard deviation in meters of the error of the pose at the end; ``None``: none.
        sector: Width in degrees of the directions at one stop.
    """

    lens: Fan | Pinhole
    stops: int
    turns: int
    pitch: tuple[float, float] = (-12.0, 14.0)
    drift: Range | None = None
    sector: float = 360.0

    def shots(self, scene: Scene, rng: np.random.Generator) -> Shots:
        eyes, yaws = [], []
        for spots in scene.spots:
            area = float(np.prod(np.ptp(spots[:, :2], axis=0)))
            number = max(1, round(self.stops * np.clip(area / 10, 0.6, 2.5)))
            stops = _spread(spots, number, rng) + np.array([0, 0, 1.45])
            stops[:, 2] += rng.normal(0, 0.12, len(stops))
            middle = spots.mean(axis=0)
            ahead = np.arctan2(*(middle - stops).T[1::-1])
            spread = np.radians(self.sector) * (np.arange(self.turns) / self.turns - 0.5)
            eyes.append(np.repeat(stops, self.turns, axis=0))
            yaws.append((ahead[:, None] + spread).ravel())
        eye = np.concatenate(eyes)
        eye[:, :2] += rng.normal(0, 0.05, (len(eye), 2))
        yaw = np.concatenate(yaws) + rng.normal(0, 0.1, len(eye))
        pitch = np.radians(np.clip(rng.normal(*self.pitch, len(eye)), -75, 60))
        shots = _shots(self.lens, eye, yaw, pitch, rng)
        if self.drift is None:
            return shots
        steps = rng.normal(0, 1, (len(eye), 3)).cumsum(axis=0) / np.sqrt(len(eye))
        return Shots(shots.eye, shots.direction, draw(rng, self.drift) * steps)


@dataclass(frozen=True, kw_only=True)
class View:
    """One depth image that looks into the largest open space of a room."""

    lens: Pinhole

    def shots(self, scene: Scene, rng: np.random.Generator) -> Shots:
        spots = scene.spots[int(rng.integers(len(scene.spots)))]
        eye = spots[rng.integers(len(spots), size=40)] + np.array([0, 0, rng.uniform(1.0, 1.7)])
        yaw = rng.uniform(0, 2 * np.pi, 40)
        ahead = np.stack([np.cos(yaw), np.sin(yaw), np.full(40, -0.15)], axis=1)
        far = scene.model.cast(eye, ahead, threads=1).distance
        best = int(np.where(np.isfinite(far), far, 0).argmax())
        pitch = np.radians(rng.uniform(-25, 3, 1))
        return _shots(self.lens, eye[best : best + 1], yaw[best : best + 1], pitch, rng)


def _shots(
    lens: Fan | Pinhole, eye: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, rng: np.random.Generator
) -> Shots:
    return Shots(eye, lens.rays(yaw, pitch, rng), np.zeros((len(eye), 3)))


def _spread(spots: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Choose ``number`` of the spots, each as far as possible from those before."""
    chosen = [int(rng.integers(len(spots)))]
    away = np.full(len(spots), np.inf)
    for _ in range(number - 1):
        away = np.minimum(away, np.linalg.norm(spots - spots[chosen[-1]], axis=1))
        chosen.append(int(away.argmax()))
    return spots[chosen]
