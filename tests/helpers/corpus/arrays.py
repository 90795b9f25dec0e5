"""NumPy and HDF5 files: layouts that other projects write, and arrays that are not points."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from helpers.corpus.rows import Row

RNG = np.random.default_rng(0)
POS = RNG.uniform(-5, 5, (120, 3))
COLOR = RNG.integers(0, 256, (120, 3)).astype(np.uint8)
NORMAL = (lambda n: n / np.linalg.norm(n, axis=1, keepdims=True))(RNG.normal(size=(120, 3)))
LABEL = RNG.integers(0, 13, 120)
WORDS = np.array(["wall", "office chair"])[LABEL % 2]
ALPHA = np.column_stack([COLOR, np.full(120, 255, np.uint8)])
RECORDS = np.zeros(120, [("Y", "f8"), ("X", "f8"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("Z", "f8"),
                         ("label", "i4"), ("name", "U12")])  # fmt: skip
for axis, name in enumerate("XYZ"):
    RECORDS[name] = POS[:, axis]
for channel, name in enumerate(("red", "green", "blue")):
    RECORDS[name] = COLOR[:, channel]
RECORDS["label"], RECORDS["name"] = LABEL, WORDS
NESTED = np.zeros(120, [("pos", "f8", 3), ("rgb", "u1", 3), ("label", "i4")])
NESTED["pos"], NESTED["rgb"], NESTED["label"] = POS, COLOR, LABEL
PACKED = COLOR.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
ONE = np.arange(360).reshape(120, 3) == 7
FEW = np.arange(120)[:, None] < 5
BLOCKS = np.concatenate([POS, COLOR / 255, POS % 1], axis=1).astype(np.float32).reshape(4, 30, 9)


def npy(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


def npz(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


def hdf5(**arrays: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name.replace("__", "/")] = array

    return write


def row(id: str, file: str, content: Any, *, pos: Any = POS, **truth: Any) -> Row:
    return Row(id=id, file=file, content=content, pos=None if "refusal" in truth else pos, **truth)


SCALES = [
    row(f"color, {id}", "a.npz", npz(pos=POS, color=color), color=COLOR if truth is None else truth, remarks=remarks)
    for id, color, truth, remarks in (
        ("bytes", COLOR, None, ()),
        ("bytes as int64", COLOR.astype(np.int64), None, ("0..255",)),
        ("bytes as uint16", COLOR.astype(np.uint16), None, ("0..255",)),
        ("bytes as float32", COLOR.astype(np.float32), None, ("0..255",)),
        ("bytes as int8", COLOR.view(np.int8), None, ()),
        ("one byte of 255.4", np.where(ONE, 255.4, COLOR),
         np.where(ONE, 255, COLOR), ("0..255",)),
        ("one byte of 65535", np.where(ONE, 65535.0, COLOR),
         np.where(ONE, 255, COLOR), ("0..255",)),
        ("averaged bytes", COLOR + 0.25, np.rint(np.minimum(COLOR + 0.25, 255)), ("0..255",)),
        ("fractions", COLOR / 255, None, ("fractions 0..1",)),
        ("fractions as float16", (COLOR / 255).astype(np.float16), None, ("fractions 0..1",)),
        ("one fraction of 1.0004", np.where(ONE, 1.0004, COLOR / 255),
         np.where(ONE, 255, COLOR), ("fractions 0..1",)),
        ("one fraction of 3", np.where(ONE, 3, COLOR / 255),
         np.where(ONE, 255, COLOR), ("fractions 0..1",)),
        ("one fraction of -0.1", np.where(ONE, -0.1, COLOR / 255),
         np.where(ONE, 0, COLOR), ("fractions 0..1",)),
        ("dark fractions", COLOR / 2550, np.rint(COLOR / 10), ("fractions 0..1",)),
        ("signed fractions", COLOR / 127.5 - 1, None, ("fractions -1..1",)),
        ("16 bits", COLOR.astype(np.uint16) * 257, None, ("16-bit",)),
        ("16 bits as float", COLOR * 257.0, None, ("16-bit",)),
        ("dark 16 bits", COLOR.astype(np.uint16) * 25, np.rint(COLOR * 25.0 / 257), ("16-bit",)),
        ("zeros and ones", COLOR.astype(np.int64) // 128, COLOR // 128 * 255, ("fractions 0..1",)),
        ("bool", COLOR > 127, (COLOR > 127) * 255, ("fractions 0..1",)),
        ("black", COLOR * 0.0, COLOR * 0, ()),
        ("NaN", np.where(FEW, np.nan, COLOR / 255),
         np.where(FEW, 127, COLOR), ("5 points have no color",)),
        ("NaN among signed", np.where(FEW, np.nan, COLOR / 127.5 - 1),
         np.where(FEW, 127, COLOR), ("5 points have no color",)),
        ("alpha", ALPHA, None, ()),
        ("alpha as fractions", ALPHA / 255, None, ("fractions 0..1",)),
        ("transposed", COLOR.T, None, ()),
    )
] + [
    row("color, packed", "a.npz", npz(pos=POS, rgb=PACKED), color=COLOR),
    row("color, standardized", "a.npz", npz(pos=POS, color=(COLOR / 255 - 0.45) / 0.22),
        refusal="not a scale of colors"),
    row("color, far too large", "a.npz", npz(pos=POS, color=COLOR * 1e6), refusal="not a scale of colors"),
    row("color of other points", "a.npz", npz(pos=POS, color=COLOR[:-1]), refusal="differ in length"),
    row("color of two channels", "a.npz", npz(pos=POS, color=COLOR[:, :2]),
        refusal="color is uint8 of shape (120, 2)"),
]  # fmt: skip

TABLE = np.concatenate([POS, COLOR], axis=1)
TABLES = [
    row("x y z", "a.npy", npy(POS), remarks=("no header",)),
    row("float32", "a.npy", npy(POS.astype(np.float32)), pos=POS.astype(np.float32)),
    row("Fortran order", "a.npy", npy(np.asfortranarray(TABLE)), color=COLOR),
    row("color", "a.npy", npy(TABLE), color=COLOR),
    row("color and class", "a.npy", npy(np.column_stack([TABLE, LABEL])), color=COLOR, columns={"column 7": LABEL}),
    row("normals", "a.npy", npy(np.column_stack([POS, NORMAL])), normal=NORMAL),
    row("intensity, class, object", "a.npy", npy(np.column_stack([POS, COLOR[:, 0], LABEL, LABEL])),
        refusal="--columns"),
    row("named by the user", "a.npy", npy(np.column_stack([POS, COLOR[:, 0], LABEL, LABEL])),
        names=("x", "y", "z", "-", "label", "-"), columns={"label": LABEL}),
    row("records", "a.npy", npy(RECORDS), color=COLOR, columns={"label": LABEL, "name": WORDS}),
    row("nested records", "a.npy", npy(NESTED), color=COLOR, columns={"label": LABEL}),
    row("transposed", "a.npy", npy(POS.T), remarks=("transposed",)),
    row("transposed with color", "a.npy", npy(TABLE.T), color=COLOR, remarks=("transposed",)),
    row("few points or few columns", "a.npy", npy(POS[:20].T), refusal="shape (3, 20)"),
    row("image", "a.npy", npy(RNG.uniform(0, 5, (48, 64))), refusal="shape (48, 64)"),
    row("8-bit image", "a.npy", npy(RNG.integers(0, 256, (48, 20)).astype(np.uint8)), refusal="perhaps colors"),
    row("colors alone", "a.npy", npy(COLOR), refusal="perhaps colors"),
    row("faces", "a.npy", npy(RNG.integers(0, 120, (99, 3))), refusal="faces"),
    row("faces that are points", "a.npy", npy((POS * 1000).astype(int)), pos=(POS * 1000).astype(int),
        names=("x", "y", "z")),
    row("normals alone", "a.npy", npy(NORMAL), refusal="perhaps normals"),
    row("matrix", "a.npz", npz(intrinsics=np.eye(3) * 500), refusal="perhaps a matrix"),
    row("features", "a.npy", npy(RNG.normal(size=(120, 16))), refusal="13 of 16 columns"),
    row("picture", "a.npy", npy(np.zeros((4, 5, 3))), refusal="shape (4, 5, 3)"),
    row("classes of blocks", "a.npy", npy(RNG.integers(0, 13, (24, 4096))), refusal="shape (24, 4096)"),
    row("classes of three blocks", "a.npy", npy(RNG.integers(0, 13, (3, 4096))),
        refusal="classes rather than points"),
    row("classes", "a.npy", npy(LABEL), refusal="shape (120,)"),
    row("one-hot", "a.npy", npy(np.eye(13)[LABEL]), refusal="one-hot"),
    row("probabilities", "a.npy", npy(RNG.dirichlet(np.ones(4), 120)), refusal="probabilities"),
    row("complex numbers", "a.npy", npy(POS.astype(complex)), refusal="complex128"),
    row("index first", "a.npy", npy(np.column_stack([np.arange(120), POS])), refusal="column 1 counts"),
    row("one table", "a.npz", npz(scan=TABLE), color=COLOR),
    row("two tables", "a.npz", npz(a=TABLE, b=TABLE), refusal="no columns x, y and z"),
]  # fmt: skip

NAMED = [
    row("common names", "a.npz", npz(xyz=POS, rgb=COLOR, normals=NORMAL, label=LABEL), color=COLOR, normal=NORMAL,
        columns={"label": LABEL}),
    row("coordinates, one by one", "a.npz", npz(x=POS[:, 0], y=POS[:, 1], z=POS[:, 2], red=COLOR[:, 0],
        green=COLOR[:, 1], blue=COLOR[:, 2]), color=COLOR),
    row("label as a column", "a.npz", npz(pos=POS, label=LABEL[:, None]), columns={"label": LABEL}),
    row("label as a row", "a.npz", npz(pos=POS, label=LABEL[None]), columns={"label": LABEL}),
    row("words", "a.npz", npz(pos=POS, label=WORDS), columns={"label": WORDS}),
    row("bytes as words", "a.npz", npz(pos=POS, label=WORDS.astype("S")), columns={"label": WORDS}),
    row("points with color", "a.npz", npz(points=TABLE, label=LABEL), color=COLOR, columns={"label": LABEL}),
    row("points and intensity", "a.npz", npz(points=np.column_stack([POS, LABEL]))),
    row("vertices and faces", "a.npz", npz(faces=RNG.integers(0, 120, (99, 3)), vertices=POS)),
    row("transposed positions", "a.npz", npz(pos=POS.T, label=LABEL), columns={"label": LABEL},
        remarks=("transposed",)),
    row("blocks as positions", "a.npz", npz(pos=POS.reshape(4, 30, 3)), refusal="shape (4, 30, 3)"),
    row("labels only", "a.npz", npz(label=np.eye(13)[LABEL]), refusal="no array 'pos'"),
    row("colors only", "a.npz", npz(color=COLOR), refusal="no array 'pos'"),
    row("datasets", "a.h5", hdf5(xyz=POS, color=COLOR, label=LABEL), color=COLOR, columns={"label": LABEL}),
    row("words of HDF5", "a.h5", hdf5(pos=POS, label=WORDS.astype("S")), columns={"label": WORDS}),
    row("words of varying length", "a.h5", hdf5(pos=POS, label=WORDS.astype(object)), columns={"label": WORDS}),
    row("group", "a.h5", hdf5(scene__pos=POS, scene__color=COLOR, scene__label=LABEL), color=COLOR,
        columns={"label": LABEL}),
    row("group in a group, and others", "a.hdf5", hdf5(a__b__points=POS, a__b__label=LABEL,
        meta__size=np.zeros(3), id=1),
        columns={"label": LABEL}),
    row("two groups", "a.h5", hdf5(one__pos=POS, two__pos=POS), refusal="holds 2 clouds, in the groups one, two"),
    row("records of HDF5", "a.h5", hdf5(cloud=RECORDS[["X", "Y", "Z", "label"]]), columns={"label": LABEL}),
    row("blocks of S3DIS", "a.h5", hdf5(data=BLOCKS, label=LABEL.reshape(4, 30).astype(np.uint8)),
        pos=BLOCKS[..., :3].reshape(-1, 3), color=COLOR, columns={"label": LABEL, "block": np.repeat(range(4), 30)},
        remarks=("4 blocks of 30 points",)),
    row("objects of ModelNet", "a.h5", hdf5(data=BLOCKS[..., :3], label=np.zeros((4, 1), np.uint8)),
        refusal="is not a cloud"),
    row("labels of blocks", "a.h5", hdf5(label=LABEL.reshape(4, 30)), refusal="no array 'pos'"),
    row("no arrays", "a.h5", hdf5(), refusal="no array 'pos'"),
]  # fmt: skip

ROWS = [*SCALES, *TABLES, *NAMED]
