"""Clouds of Open3D and PyTorch Geometric in memory: into prediction, and back with the result."""

from copy import copy
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pcseg.data.io.clouds import Cloud
from pcseg.data.io.colors import to_bytes
from pcseg.data.predictions import SavedPrediction
from pcseg.errors import UserError
from pcseg.labels import Palette, class_colors

Points = TypeVar("Points")

NAME = Path("points")
"""Name of a cloud that was not read from a file."""


def as_cloud(points: Any) -> Cloud:
    """Return points in memory as a cloud for :func:`~pcseg.inference.clouds.predict_cloud`.

    Args:
        points: A ``PointCloud`` of ``open3d.geometry`` or ``open3d.t.geometry``, or a PyG ``Data`` of one cloud with
            ``pos`` and, if known, ``color`` (bytes, or fractions of 1) and ``normal``.

    Raises:
        UserError: Another type, no positions, or fields of different lengths.
    """
    fields = _fields_of(points)
    pos = fields["pos"]
    if pos is None or pos.ndim != 2 or pos.shape[1] != 3:
        raise UserError("points: have no positions (N, 3). Pass a cloud with positions.")
    for name, values in fields.items():
        if values is not None and values.shape != pos.shape:
            raise UserError(
                f"points: {name} has shape {values.shape}, positions {pos.shape}. Give one row per point."
            )
    color, remarks = (None, ()) if fields["color"] is None else to_bytes(fields["color"], NAME)
    normal = None if fields["normal"] is None else fields["normal"].astype(np.float32)
    return Cloud(source=NAME, pos=pos, color=color, normal=normal, remarks=remarks)


def with_prediction(points: Points, prediction: SavedPrediction, *, palette: Palette = "canonical") -> Points:
    """Return a copy of ``points`` with its prediction, of the same type.

    Convention:
        Clouds of Open3D get the colors of the classes; those of ``open3d.t`` also ``label`` and ``confidence``. A PyG
        ``Data`` gets ``pred`` and ``confidence``. Points without a class have label -1.
    """
    kind, made = _kind_of(points), copy(points)
    color = class_colors(prediction.schema, palette)[prediction.label] / np.float32(255)
    if kind == "data":
        made.pred = torch.from_numpy(prediction.label.astype(np.int64))  # type: ignore[attr-defined]
        made.confidence = torch.from_numpy(prediction.confidence)  # type: ignore[attr-defined]
        return made
    import open3d as o3d

    if kind == "legacy":
        made.colors = o3d.utility.Vector3dVector(color.astype(np.float64))  # type: ignore[attr-defined]
        return made
    made = points.clone()  # type: ignore[attr-defined]
    columns = {"colors": color.astype(np.float32), "label": prediction.label.astype(np.int32)[:, None],
               "confidence": prediction.confidence.astype(np.float32)[:, None]}  # fmt: skip
    for name, column in columns.items():
        made.point[name] = o3d.core.Tensor.from_numpy(np.ascontiguousarray(column))
    return made


def _kind_of(points: Any) -> str:
    """Return ``data``, ``legacy`` or ``tensor``; Open3D, whose import takes seconds, is not imported for it."""
    module = type(points).__module__
    if type(points).__name__ == "PointCloud" and module.startswith("open3d"):
        return "tensor" if module.endswith(".t.geometry") else "legacy"
    if isinstance(getattr(points, "pos", None), Tensor):
        if (getattr(points, "num_graphs", None) or 1) > 1:
            raise UserError("points: a batch of several clouds. Pass each of batch.to_data_list().")
        return "data"
    raise UserError(
        f"points: a {type(points).__name__}. Pass a PointCloud of Open3D or a Data of PyTorch Geometric with pos."
    )


def _fields_of(points: Any) -> dict[str, np.ndarray | None]:
    kind = _kind_of(points)
    if kind == "data":
        found = {name: getattr(points, name, None) for name in ("pos", "color", "normal")}
        return {
            name: None if value is None else value.detach().cpu().numpy() for name, value in found.items()
        }
    names = {"pos": "points" if kind == "legacy" else "positions", "color": "colors", "normal": "normals"}
    if kind == "tensor":
        held = points.point
        return {ours: held[name].cpu().numpy() if name in held else None for ours, name in names.items()}
    arrays = {ours: np.asarray(getattr(points, name)) for ours, name in names.items()}
    return {ours: array if ours == "pos" or len(array) else None for ours, array in arrays.items()}
