"""Rooms to draw: one with a left and a right side, and one with the maps of all heads."""

import numpy as np

from pcseg.labels import S3DIS
from pcseg.views.layers.head_maps import Attended, HeadMaps, SlabShares
from pcseg.views.subject import Subject

CEILING, FLOOR, WALL, BOARD = (S3DIS.names.index(name) for name in ("ceiling", "floor", "wall", "board"))

TOKENS = 12
"""Tokens of :func:`explained_room`: slices along x."""


def room(count: int = 20_000) -> Subject:
    """Return a room of 6 x 4 x 2.8 m whose wall at x = 0 is a board that is predicted as wall."""
    rng = np.random.default_rng(0)
    pos = rng.uniform(0, 1, (count, 3)) * (6, 4, 2.8)
    side = rng.choice(6, count, p=[0.13, 0.13, 0.16, 0.16, 0.21, 0.21])
    for index, (axis, value) in enumerate([(0, 0), (0, 6), (1, 0), (1, 4), (2, 0), (2, 2.8)]):
        pos[side == index, axis] = value
    label = np.array([BOARD, WALL, WALL, WALL, FLOOR, CEILING])[side]
    prediction = np.where(label == BOARD, WALL, label)
    return Subject(
        name="room",
        pos=pos.astype(np.float32),
        color=np.array(S3DIS.colors, dtype=np.uint8)[label],
        label=label.astype(np.int16),
        prediction=prediction.astype(np.int16),
        confidence=np.where(label == BOARD, 0.2, 0.9).astype(np.float32),
        schema=S3DIS,
    )


ROOM = room()


def attend(token: int) -> list[Attended]:
    """Return attention to the token alone, to its neighbors, and to everything but the last token."""
    tokens = np.arange(TOKENS)
    reached = [tokens == token, abs(tokens - token) < 2, tokens < TOKENS - 1]
    return [Attended(row / row.sum(), row) for row in reached]


def room_slabs(
    rng: np.random.Generator, *, axis: int, name: str, count: int, length: float, slab: np.ndarray
) -> SlabShares:
    """Return slabs along one axis with random shares; a tenth of every slab has no label."""
    predicted, true = rng.dirichlet(np.ones(S3DIS.num_classes), (2, count)).astype(np.float32)
    thickness = length / count
    return SlabShares(
        axis=axis, name=name, unit="m", start=thickness * np.arange(count), thickness=thickness, slab=slab,
        predicted=predicted, true=0.9 * true,
    )  # fmt: skip


def explained_room(count: int = 4000) -> Subject:
    """Return floor, ceiling and two walls of a room with random maps of every head; the last point has no token."""
    rng = np.random.default_rng(0)
    pos = (rng.uniform(0, 1, (count, 3)) * (6, 4, 2.8)).astype(np.float32)
    side = rng.integers(0, 4, count)
    for index, (axis, value) in enumerate([(2, 0), (2, 2.8), (0, 0), (1, 4)]):
        pos[side == index, axis] = value
    label = np.array([FLOOR, CEILING, WALL, WALL])[side]
    token = np.minimum(pos[:, 0] / 6 * TOKENS, TOKENS - 1).astype(np.int64)
    token[-1] = -1
    number = S3DIS.num_classes
    probability = rng.dirichlet(np.ones(number), TOKENS).astype(np.float32)
    cosine = np.clip(rng.uniform(0, 1, (number, number)) + np.eye(number), 0, 1)
    maps = HeadMaps(
        head="Head",
        row=token,
        probability=probability,
        token=np.arange(TOKENS),
        affinity=rng.dirichlet(np.ones(number), TOKENS).astype(np.float32),
        similarity={"class features": np.ones((number, number)), "keys of the classes": cosine},
        channel=rng.uniform(0, 1, 32),
        class_prob=rng.dirichlet(np.ones(number)),
        frequency=rng.dirichlet(np.ones(number)),
        assignment=rng.dirichlet(np.ones(5), TOKENS).astype(np.float32),
        smoothing=-rng.uniform(0, 1, 5),
        slabs=[
            room_slabs(rng, axis=0, name="x", count=TOKENS, length=6, slab=np.arange(TOKENS)),
            room_slabs(rng, axis=2, name="z", count=3, length=2.8, slab=np.arange(TOKENS) % 3),
        ],
        attend=attend,
        baseline=np.full_like(probability, 1 / number),
    )
    return Subject(
        name="room",
        pos=pos,
        color=np.array(S3DIS.colors, dtype=np.uint8)[label],
        label=label.astype(np.int16),
        prediction=maps.label,
        confidence=maps.confidence,
        schema=S3DIS,
        maps=maps,
    )


EXPLAINED = explained_room()


def share_of(image: object, color: tuple[int, int, int], *, tolerance: int = 0) -> float:
    """Return the share of the pixels of an image that have a color."""
    difference = abs(np.asarray(image).astype(int) - np.array(color))
    return float((difference <= tolerance).all(axis=-1).mean())
