"""The axes of a large scan, found once and used for all of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pcseg.checkpoint import LoadedModel
from pcseg.data.alignment import Frame, Units, Up
from pcseg.data.io.clouds import Cloud, cloud_frame, from_table
from pcseg.data.io.columns import PointTable
from pcseg.data.io.parts import PartedFile
from pcseg.data.room_frame import GivenAxes, find_room_frame
from pcseg.data.rooms import SceneGround, scene_ground
from pcseg.data.surfaces import stray_limits
from pcseg.errors import UserError
from pcseg.inference.clouds import in_axes_of, sample_in_frame, usable_rows

SAMPLE = 400_000
"""Points that the axes of a scan are found from."""


@dataclass(frozen=True, kw_only=True)
class ScanAxes:
    """The axes of a large scan, found once from a sample of all files.

    Args:
        frame: From the coordinates of the files to meters with z up.
        rotation: ``(3, 3)``, from there to the axes that the model sees.
        limits: Smallest and largest coordinates ``(3,)`` in a file of points that are not strays.
        ground: What heights refer to.
        like: The sample.
        colors: Its columns, which decide the scale of colors.
    """

    frame: Frame
    rotation: np.ndarray
    limits: tuple[np.ndarray, np.ndarray]
    ground: SceneGround
    like: Cloud
    colors: PointTable


def find_axes(
    model: LoadedModel, files: Sequence[PartedFile], *, units: Units, up: Up, given: GivenAxes
) -> tuple[ScanAxes, list[str]]:
    """Find the axes of a scan from a sample of all files.

    Raises:
        UserError: The model needs a field that the files lack, files differ in their columns or units, or one of them
            holds no points.
    """
    for file in files:
        if not file.count:
            raise UserError(f"{file.path}: holds no points. Choose another file.")
    tables = [file.sample(SAMPLE // len(files)) for file in files]
    for file, table in zip(files, tables):
        if table.columns.keys() != tables[0].columns.keys() or table.unit != tables[0].unit:
            raise UserError(
                f"{file.path}: has other columns or units than {files[0].path}. Predict it without --together."
            )
    columns = {name: np.concatenate([table.columns[name] for table in tables]) for name in tables[0].columns}
    cloud = from_table(replace(tables[0], columns=columns), files[0].path)
    rows, _ = usable_rows(cloud)
    pos = cloud.pos[rows]
    frame = cloud_frame(cloud, rows, units=units, up=up)
    count = sum(file.count for file in files)
    remarks = [
        f"read in parts: {', '.join(str(file.path) for file in files)}, {count:,} points",
        *frame.remarks,
    ]
    few = slice(0, min(len(rows), 1000))
    some = sample_in_frame(
        model, cloud, rows[few], frame, remarks
    )  # a missing field is an error before the work
    placed, rotation = frame.apply(pos), np.eye(3)
    if model.card.room_axes and len(pos):
        room = find_room_frame(placed, given)
        rotation = room.rotation
        remarks.append(room.remark)
    else:
        in_axes_of(model, some, axes=given)  # which must not be given
    turned = placed @ rotation.T.astype(np.float32)
    limits = stray_limits(pos) if len(pos) else (np.zeros(3), np.zeros(3))
    axes = ScanAxes(
        frame=frame, rotation=rotation, limits=limits, ground=scene_ground(turned, model.features), like=cloud,
        colors=PointTable(columns=columns),
    )  # fmt: skip
    return axes, remarks
