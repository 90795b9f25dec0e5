"""A small room with made-up maps of every head, for colorings."""

import numpy as np

from pcseg.labels import S3DIS
from pcseg.views.layers.head_maps import HeadMaps, Seen
from pcseg.views.subject import Subject

TOKENS = 12


def attend(token: int) -> list[Seen]:
    """The token alone, its neighbors, everything but the last token."""
    reached = [np.arange(TOKENS) == token, abs(np.arange(TOKENS) - token) < 2, np.arange(TOKENS) < TOKENS - 1]
    return [Seen(row / row.sum(), row) for row in reached]


def explained_room(count: int = 4000) -> Subject:
    """6 x 4 x 2.8 m: floor, ceiling and two walls; the tokens are slices along x, the last point has none."""
    rng = np.random.default_rng(0)
    pos = (rng.uniform(0, 1, (count, 3)) * (6, 4, 2.8)).astype(np.float32)
    side = rng.integers(0, 4, count)
    for index, (axis, value) in enumerate([(2, 0), (2, 2.8), (0, 0), (1, 4)]):
        pos[side == index, axis] = value
    label = np.array([S3DIS.names.index(name) for name in ("floor", "ceiling", "wall", "wall")])[side]
    token = np.minimum(pos[:, 0] / 6 * TOKENS, TOKENS - 1).astype(np.int64)
    token[-1] = -1
    number = S3DIS.num_classes
    affinity = rng.dirichlet(np.ones(number), TOKENS).astype(np.float32)
    probability = rng.dirichlet(np.ones(number), TOKENS).astype(np.float32)
    cosine = np.clip(rng.uniform(0, 1, (number, number)) + np.eye(number), 0, 1)
    maps = HeadMaps(
        head="Head",
        row=token,
        probability=probability,
        token=np.arange(TOKENS),
        affinity=affinity,
        similarity={"class features": np.ones((number, number)), "keys of the classes": cosine},
        channel=rng.uniform(0, 1, 32),
        class_prob=rng.dirichlet(np.ones(number)),
        frequency=rng.dirichlet(np.ones(number)),
        assignment=rng.dirichlet(np.ones(5), TOKENS).astype(np.float32),
        smoothing=-rng.uniform(0, 1, 5),
        attend=attend,
        plain=np.full_like(probability, 1 / number),
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
