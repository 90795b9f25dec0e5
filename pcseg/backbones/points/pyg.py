"""Any PyTorch Geometric module on raw points as a backbone for our heads."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from pcseg.backbones.contract import PointBackbone
from pcseg.errors import UserError
from pcseg.nn.levels import Level, PointBatch
from pcseg.ops.clouds import cloud_ptr
from pcseg.ops.neighbors import nearest_points, neighbor_edges
from pcseg.ops.points import PointSet
from pcseg.values import Few, PositiveMeters, checked

INPUTS = ("x", "pos", "batch", "edge_index", "data")
"""Names of the arguments that a module may have."""


@checked("backbone.")
class PyGBackbone(PointBackbone):
    """Run a module of PyTorch Geometric on raw points and return its features as levels.

    The input is a PyG ``Batch`` or ``Data`` with ``x`` and ``pos``, or a batch of pcseg. The module takes any of ``x``
    (N, F), ``pos`` (N, 3), ``batch`` (N,) and ``edge_index`` (2, E) under these names, or the whole batch as ``data``.
    It returns features (N, C) of the points, or a list of levels, finest first. The first level has a row per input
    point. Further ones, such as the samples of PointNet++, are tuples ``(x, pos, batch)``.

    Args:
        out_channels: Channels of the features, or of every level.
        cell_size: Edge in meters of the cells that lines, slabs and weights of heads are made of.
        k, radius: Neighbors in ``edge_index`` of a batch without edges, see
            :func:`~pcseg.ops.neighbors.neighbor_table`.

    Raises:
        UserError: The module takes other arguments, or its output does not fit.

    Convention:
        A point of a finer level takes the logits of the nearest point of the coarser level in its cloud.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        out_channels: int | Sequence[int],
        cell_size: PositiveMeters = 0.2,
        k: Few = 16,
        radius: PositiveMeters | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.out_channels = [out_channels] if isinstance(out_channels, int) else list(out_channels)
        self.cell_size, self.k, self.radius = cell_size, k, radius
        self.inputs = _inputs_of(module)

    def forward(self, batch: PointBatch) -> list[Level]:
        clouds = [getattr(batch, name, None) for name in ("ptr", "batch")]
        points = PointSet(batch.pos, clouds[0], batch=clouds[1], cell_size=self.cell_size)
        arguments: dict[str, Any] = {"x": batch.x, "pos": batch.pos, "batch": points.batch, "data": batch}
        if "edge_index" in self.inputs:
            edges = getattr(batch, "edge_index", None)
            arguments["edge_index"] = neighbor_edges(points, self.k, self.radius) if edges is None else edges
        output = self.module(**{name: arguments[name] for name in self.inputs})
        outputs = output if isinstance(output, list) else [output]
        self._check_widths([level[0] if isinstance(level, tuple) else level for level in outputs])
        levels = [_finest(outputs[0], points)]
        for number, level in enumerate(outputs[1:], 1):
            points, parent = self._coarser(number, level, points)
            levels.append(Level(x=level[0], sites=points, parent=parent))
        return levels

    def _coarser(self, number: int, level: Any, finer: PointSet) -> tuple[PointSet, Tensor]:
        """Return the points of level ``number``, and the nearest one of every point of the finer level."""
        if not isinstance(level, tuple) or len(level) != 3:
            raise UserError(
                f"backbone.module: level {number} has no positions. Return a tuple (x, pos, batch)."
            )
        x, pos, batch = level
        if not len(x) == len(pos) == len(batch):
            sizes = f"{len(x)} features, {len(pos)} positions and {len(batch)} entries of batch"
            raise UserError(f"backbone.module: level {number} has {sizes}. Return one each per point.")
        ptr = cloud_ptr(pos, None, batch, num_clouds=finer.num_clouds)
        points = PointSet(pos, ptr, cell_size=self.cell_size)
        parent = nearest_points(finer, points, 1).squeeze(1)
        if bool((parent < 0).any()):
            cloud = int(finer.batch[(parent < 0).int().argmax()])
            raise UserError(
                f"backbone.module: level {number} has no point of cloud {cloud}. Keep at least one."
            )
        return points, parent

    def _check_widths(self, features: list[Any]) -> None:
        if not all(isinstance(x, Tensor) and x.ndim == 2 for x in features):
            raise UserError(
                "backbone.module: returns no features. Return a tensor (N, C) or a list of levels."
            )
        found = [x.shape[1] for x in features]
        if found != self.out_channels:
            raise UserError(
                f"backbone.out_channels: {self.out_channels}, but the module returns {found}. Correct out_channels."
            )


@checked("backbone.")
class ConfiguredPyGBackbone(PyGBackbone):
    """A :class:`PyGBackbone` that makes its module: the form for YAML files.

    Args:
        in_channels: Input channels, which follow from the data.
        module: Class of the module; its first argument is the number of input channels.
        out_channels, cell_size, k, radius: See :class:`PyGBackbone`.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        module: Callable[[int], nn.Module],
        out_channels: int | list[int],
        cell_size: PositiveMeters = 0.2,
        k: Few = 16,
        radius: PositiveMeters | None = None,
    ) -> None:
        made = module(in_channels)
        super().__init__(made, out_channels=out_channels, cell_size=cell_size, k=k, radius=radius)


def _finest(level: Any, points: PointSet) -> Level:
    x = level[0] if isinstance(level, tuple) else level
    if len(x) != len(points):
        raise UserError(
            f"backbone.module: returns {len(x)} rows for {len(points)} points. Return a row per point first."
        )
    return Level(x=x, sites=points)


def _inputs_of(module: nn.Module) -> list[str]:
    """Return the names of the arguments that ``module`` is called with."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [p.name for p in named if p.name not in INPUTS and p.default is p.empty]
    names = [p.name for p in named if p.name in INPUTS]
    if unknown or not names:
        wrong = f"takes {', '.join(unknown)}" if unknown else "names no arguments"
        raise UserError(f"backbone.module: forward {wrong}. Name its arguments {', '.join(INPUTS)}.")
    return names
