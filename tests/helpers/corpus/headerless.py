"""Text tables without a header: what columns mean is read from their values, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
from helpers.corpus.rows import Row

RNG = np.random.default_rng(0)
MANY = RNG.uniform(-5, 5, (120, 3)).round(4)
BYTES = RNG.integers(0, 256, (120, 3))
NORMALS = (lambda n: n / np.linalg.norm(n, axis=1, keepdims=True))(RNG.normal(size=(120, 3)))
CLASSES = RNG.integers(0, 13, (120, 2))


def nameless(id: str, *parts: np.ndarray, file: str = "a.txt", separator: str = " ", **truth: Any) -> Row:
    """A table of 120 points without a header, written by NumPy."""

    def write(path: Path) -> None:
        np.savetxt(path, np.column_stack(parts), delimiter=separator, fmt="%.10g")

    return Row(id=id, file=file, content=write, **({} if "refusal" in truth else {"pos": MANY}) | truth)


INTENSITY = RNG.integers(0, 256, 120)
STEPS = np.arange(120)
SERIES = [
    nameless(f"{id} first{' and color' if len(more) else ''}", values, MANY, *more, refusal=f"column 1 {why}")
    for id, values, why in (
        ("seconds", STEPS * 0.1, "counts"), ("seconds after a start", 5 + STEPS * 0.02, "counts"),
        ("tens", STEPS * 10, "counts"), ("rounded frames", (STEPS / 30).round(3), "counts"),
        ("noisy seconds", STEPS / 30 + RNG.normal(0, 1e-9, 120), "counts"), ("falling", 9 - STEPS * 0.01, "counts"),
        ("seconds of scans", STEPS // 7 * 0.1, "counts"), ("times that begin again", STEPS % 50 * 0.02, "counts"),
        ("seconds with gaps", np.sort(RNG.choice(400, 120, replace=False)) * 0.1, "counts"),
        ("GPS seconds", 1.3e9 + STEPS * 0.005, "counts"), ("milliseconds", 1.7e12 + STEPS * 33, "counts"),
        ("shuffled seconds", RNG.permutation(120) * 0.1, "counts"), ("zeros", STEPS * 0, "is constant"),
        ("fives and a half", STEPS * 0 + 5.5, "is constant"),
    )
    for more in ((), (BYTES,))
]  # fmt: skip

PLANES = np.pad(RNG.uniform(-3, 3, (3, 600, 2)), ((0, 0), (0, 0), (0, 1)))
TURN = np.linalg.qr(np.array([[3.0, 2, 1], [1, 4, 1], [2, 1, 5]]))[0]
ROOM = np.concatenate([np.roll(plane, axis, axis=1) for axis, plane in enumerate(PLANES)]) @ TURN
NOISE = RNG.normal(-20, 5, len(ROOM)).round(3)
RASTER = np.column_stack(
    [np.tile(np.arange(40) + 0.5, 30), np.repeat(np.arange(30) + 0.5, 40), RNG.uniform(1, 2, 1200)]
)
SURFACES = [
    nameless("strength first", NOISE, ROOM, refusal="on surfaces without column 1"),
    nameless("strength between", ROOM[:, :2], NOISE, ROOM[:, 2:], refusal="on surfaces without column 3"),
    nameless("strength twice", NOISE, NOISE, ROOM, refusal="column 2 repeats"),
    nameless("strength behind", ROOM, NOISE, pos=ROOM, columns={"column 4": NOISE}),
    nameless("time behind", ROOM, np.arange(len(ROOM)) * 0.1, pos=ROOM),
    nameless("height above ground behind", ROOM, ROOM[:, 2] * 1.1 + 3, pos=ROOM),
    nameless("raster of heights", RASTER, NOISE[:1200], pos=RASTER),
    nameless(
        "columns of a raster",
        RASTER[np.lexsort(RASTER.T[:2])],
        NOISE[:1200],
        pos=RASTER[np.lexsort(RASTER.T[:2])],
    ),
    nameless("fractions first", BYTES / 255, MANY, refusal="columns 1 to 3 may be normals or colors"),
    nameless("normals first", NORMALS, MANY, refusal="columns 1 to 3 may be normals or colors"),
]
GUESSED = [
    nameless("x y z", MANY, remarks=("no header",)),
    nameless("color", MANY, BYTES, color=BYTES, remarks=("red, green, blue",)),
    nameless("color as fractions", MANY, BYTES / 255, color=BYTES),
    nameless("normals", MANY, NORMALS, normal=NORMALS),
    nameless("normals and color", MANY, NORMALS, BYTES, color=BYTES, normal=NORMALS),
    nameless("color and class", MANY, BYTES, CLASSES[:, 0], color=BYTES, columns={"column 7": CLASSES[:, 0]}),
    nameless("color, class and object", MANY, BYTES, CLASSES, color=BYTES),
    nameless("Semantic3D", MANY, -INTENSITY * 7.0, BYTES, color=BYTES),
    nameless("class", MANY, CLASSES[:, 0], columns={"column 4": CLASSES[:, 0]}),
    nameless("class and object", MANY, CLASSES, separator=","),
    nameless("three numbers of classes", MANY, CLASSES, CLASSES[:, 1], separator=";"),
    nameless("gray", MANY, np.full((120, 3), 128), color=np.full((120, 3), 128)),
    nameless("intensity, class and object", MANY, INTENSITY, CLASSES, refusal="columns 4 to 6 may be a color"),
    nameless("four bytes", MANY, INTENSITY, BYTES, refusal="color may begin in column 4 or 5"),
    nameless("three fractions", MANY, RNG.uniform(0, 1, (120, 3)), refusal="--columns"),
    nameless("index", np.arange(120), MANY, refusal="column 1 counts"),
    nameless("index from 1", np.arange(1, 121), MANY, BYTES, refusal="column 1 counts"),
    nameless("class first", CLASSES[:, 0], MANY, refusal="column 1 holds integers"),
    nameless("row and column first", np.arange(120) // 11, np.arange(120) % 11, MANY, refusal="holds integers"),
    nameless("color first", BYTES, MANY, refusal="holds integers"),
    nameless("integers in millimeters", (MANY * 1000).round(), BYTES, pos=(MANY * 1000).round(), color=BYTES),
    nameless("floor at zero", MANY * [1, 1, 0], BYTES, pos=MANY * [1, 1, 0], color=BYTES),
    nameless("pts", MANY, INTENSITY, BYTES, file="a.pts", color=BYTES, columns={"intensity": INTENSITY}),
    nameless("pts with intensity", MANY, -INTENSITY, file="a.pts", columns={"intensity": -INTENSITY}),
    nameless("xyzn", MANY, NORMALS, file="a.xyzn", normal=NORMALS),
    nameless("xyzrgb", MANY, BYTES / 255, file="a.xyzrgb", color=BYTES),
    nameless("thousands as columns", MANY[:, :1].round() * 1000, abs(MANY[:, 1:2]), MANY[:, :1].round() * 100,
             abs(MANY[:, 2:]) * 9, separator=",", file="a.csv", refusal="holds integers"),
    nameless("columns named by the user", BYTES, CLASSES[:, 0], MANY,
        names=("red", "green", "blue", "-", "X", "Y", "Z"),
             color=BYTES, absent=("column 4",)),
    nameless("too few names", MANY, BYTES, names=("x", "y", "z"), refusal="has 6 columns, but --columns names 3"),
]  # fmt: skip

ROWS = [*GUESSED, *SERIES, *SURFACES]
