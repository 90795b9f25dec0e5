"""E57 files, written by the library below pye57: scans with different fields, poses and color limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from helpers.corpus.rows import Row
from numpy.typing import ArrayLike

POS = np.array([[0.5, 1.5, 2.5], [-1, 2, 3], [4, 5, 6.25]])
COLOR = np.array([[255, 0, 10], [20, 30, 40], [7, 8, 200]])
GRAYS = np.full((3, 3), 127)
XYZ = dict(zip(("cartesianX", "cartesianY", "cartesianZ"), POS.T))
NORMALS = "http://www.libe57.org/E57_NOR_surface_normals.txt"
TURN = (0.5**0.5, 0.0, 0.0, 0.5**0.5)
"""Quaternion (w, x, y, z) of a quarter turn about z."""


def rgb(scale: float = 1) -> dict[str, ArrayLike]:
    return {name: COLOR[:, i] * scale for i, name in enumerate(("colorRed", "colorGreen", "colorBlue"))}


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A scan to write.

    Args:
        fields: Values of each field; integers are stored as such.
        rotation: Quaternion of the pose.
        translation: Translation of the pose.
        limit: Maximum in the color limits.
        backwards: Write the components of the quaternion in the order z, y, x, w.
    """

    fields: Mapping[str, ArrayLike] = field(default_factory=lambda: XYZ)
    rotation: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    limit: float | None = None
    backwards: bool = False


def write(path: Path, *scans: Scan) -> None:
    """Write scans as an E57 file."""
    import pye57  # pyright: ignore[reportMissingImports]
    from pye57 import libe57  # pyright: ignore[reportMissingImports]

    with pye57.E57(str(path), mode="w") as file:
        image = file.image_file
        image.extensionsAdd("nor", NORMALS)

        def structure(values: Mapping[str, float]) -> object:
            node = libe57.StructureNode(image)
            for name, value in values.items():
                node.set(name, libe57.FloatNode(image, value))
            return node

        for number, scan in enumerate(scans):
            node = libe57.StructureNode(image)
            node.set("guid", libe57.StringNode(image, f"scan {number}"))
            pose = libe57.StructureNode(image)
            if scan.rotation is not None or scan.translation is not None:
                node.set("pose", pose)
            if scan.rotation is not None:
                parts = list(zip("wxyz", scan.rotation))
                pose.set("rotation", structure(dict(parts[::-1] if scan.backwards else parts)))
            if scan.translation is not None:
                pose.set("translation", structure(dict(zip("xyz", scan.translation))))
            if scan.limit is not None:
                names = [
                    f"color{name}{end}" for name in ("Red", "Green", "Blue") for end in ("Minimum", "Maximum")
                ]
                node.set("colorLimits", structure({n: scan.limit * n.endswith("Maximum") for n in names}))
            prototype, buffers, arrays = libe57.StructureNode(image), libe57.VectorSourceDestBuffer(), []
            for name, values in scan.fields.items():
                array = np.asarray(values)
                arrays.append(np.ascontiguousarray(array, dtype=np.float64))
                integer = libe57.IntegerNode(image, 0, -(2**31), 2**31 - 1)
                kind = integer if array.dtype.kind in "iu" else libe57.FloatNode(image, 0.0)
                prototype.set(name, kind)
                buffers.append(libe57.SourceDestBuffer(image, name, arrays[-1], len(array), True, True))
            points = libe57.CompressedVectorNode(image, prototype, libe57.VectorNode(image, True))
            node.set("points", points)
            file.data3d.append(node)
            writer = points.writer(buffers)
            if len(arrays[0]):
                writer.write(len(arrays[0]))
            writer.close()


def row(name: str, *scans: Scan, **expected: object) -> Row:
    given = {"pos": POS, "unit": "m", "atol": 1e-6} | expected
    return Row(id=name, file="a.e57", content=lambda path: write(path, *scans), **given)  # type: ignore[arg-type]


def rows() -> list[Row]:
    plain, colored, both = Scan(), Scan(fields=XYZ | rgb()), np.concatenate([POS, POS])
    distance = np.linalg.norm(POS, axis=1)
    spherical = {"sphericalRange": distance, "sphericalAzimuth": np.arctan2(POS[:, 1], POS[:, 0]),
                 "sphericalElevation": np.arcsin(POS[:, 2] / distance)}  # fmt: skip
    invalid = {"cartesianInvalidState": np.array([0, 2, 1])}
    gaps = np.where(np.array([[False], [True], [True]]), np.nan, POS)
    intensity, labels = np.array([0.25, 0.5, 1]), np.array([3, 0, 7])
    normal = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    normals = {f"nor:normal{axis}": normal[:, i] for i, axis in enumerate("XYZ")}
    turned = POS @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
    moved, shifted = turned + np.array([10, 20, 30]), POS + np.array([1, 2, 3])
    pose = Scan(rotation=TURN, translation=(10, 20, 30))
    kinds = {
        "bytes": (rgb(), 255), "16 bits": (rgb(257), 65535), "no limits": (rgb(257), None),
        "bytes, no limits": (rgb(), None),
        "fractions": (rgb(1 / 255), 1), "fractions, no limits": (rgb(1 / 255), None),
        "10 bits": (rgb(1023 / 255), 1023),
    }  # fmt: skip
    wrong = {"bytes, limit of 65535": (rgb(), 65535), "16 bits, limit of 255": (rgb(257), 255),
             "fractions, limit of 255": (rgb(0.9 / 255), 255)}  # fmt: skip
    return [
        row("without a pose", plain),
        *(row(f"colors: {name}", Scan(fields=XYZ | color, limit=limit), color=COLOR)
          for name, (color, limit) in kinds.items()),
        *(row(f"colors: {name}", Scan(fields=XYZ | color, limit=limit), remarks=("states a maximum of",),
              color=np.rint(COLOR * 0.9) if "fractions" in name else COLOR) for name, (color, limit) in wrong.items()),
        row("one scan without color", colored, plain, pos=both, color=np.concatenate([COLOR, GRAYS]),
            remarks=("3 points have no color",)),
        row("the first scan without color", plain, colored, pos=both, color=np.concatenate([GRAYS, COLOR]),
            remarks=("3 points have no color",)),
        row("one scan in 16 bits", Scan(fields=XYZ | rgb(257), limit=65535), Scan(fields=XYZ | rgb(), limit=255),
            pos=both, color=np.concatenate([COLOR, COLOR])),
        row("one scan without intensity", Scan(fields=XYZ | {"intensity": intensity}), plain, pos=both,
            columns={"intensity": [0.25, 0.5, 1, np.nan, np.nan, np.nan]},
            remarks=("3 of 6 points have no intensity",)),
        row("a scan without points", Scan(fields={name: np.zeros(0) for name in XYZ}), colored, color=COLOR),
        row("a scan without points and positions", Scan(fields={"intensity": np.zeros(0)}), colored, color=COLOR),
        row("points without a color", Scan(fields=XYZ | rgb() | {"isColorInvalid": np.array([0, 1, 0])}),
            color=[COLOR[0], GRAYS[0], COLOR[2]], remarks=("1 points have no color",)),
        row("points without an intensity",
            Scan(fields=XYZ | {"intensity": intensity, "isIntensityInvalid": np.array([1, 0, 0])}),
            columns={"intensity": [np.nan, 0.5, 1]}),
        row("points without a position", Scan(fields=XYZ | invalid), pos=gaps),
        row("spherical coordinates", Scan(fields=spherical)),
        row("spherical and Cartesian scans", Scan(fields=spherical), plain, pos=both),
        row("labels of an extension", Scan(fields=XYZ | {"classification": labels, "nor:id": labels}),
            columns={"classification": labels, "id": labels}),
        row("rows and times are left out", Scan(fields=XYZ | {"rowIndex": labels, "timeStamp": intensity}),
            absent=("rowindex", "timestamp")),
        row("normals", Scan(fields=XYZ | normals), normal=normal),
        row("normals in a pose", Scan(fields=XYZ | normals, rotation=TURN), pos=turned,
            normal=[[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
        row("pose", pose, pos=moved, viewpoint=(10, 20, 30)),
        row("pose in another order", Scan(rotation=TURN, translation=(10, 20, 30), backwards=True),
            pos=moved, viewpoint=(10, 20, 30)),
        row("pose without a rotation", Scan(translation=(1, 2, 3)), pos=shifted, viewpoint=(1, 2, 3)),
        row("pose at the origin", Scan(rotation=(1, 0, 0, 0), translation=(0, 0, 0))),
        row("rotation of length 0", Scan(rotation=(0, 0, 0, 0))),
        row("two poses", pose, Scan(translation=(1, 2, 3)), pos=np.concatenate([moved, shifted])),
        row("no positions", Scan(fields={"intensity": intensity}), refusal="scan 0 has no positions"),
    ]  # fmt: skip


ROWS = [] if find_spec("pye57") is None else rows()
