"""Carry the weights of a model over to other classes."""

import numpy as np
import torch
from torch import Tensor

from pcseg.data.indoor import INDOOR, LABEL_SETS, from_indoor
from pcseg.labels import LabelSchema
from pcseg.nn.slab_context import NUM_POSITION_FEATURES

SLAB_INPUT = ".describe.weight"
"""End of the names of weights that read class shares and maxima of slabs, then their position."""


def for_classes(
    weights: dict[str, Tensor], own: dict[str, Tensor], old: LabelSchema, new: LabelSchema
) -> dict[str, Tensor]:
    """Return the weights of the backbone, and those of the head that fit or can be carried over to other classes.

    A row of a known class is the mean of the rows of the classes that it consists of; rows of other classes keep
    their initial values.

    Args:
        weights: Weights of a model with the classes ``old``.
        own: Initial weights of the model with the classes ``new``.
    """
    parts = sources(old, new)
    fitted = {}
    for name, value in weights.items():
        if not name.startswith("head."):
            fitted[name] = value
        elif name in own and value.dim() == own[name].dim():
            shares = name.endswith(SLAB_INPUT)
            carried = _carried(value, own[name], parts, old.num_classes, shares=shares)
            if carried is not None:
                fitted[name] = carried
    return fitted


def sources(old: LabelSchema, new: LabelSchema) -> list[list[int]]:
    """Return for each class of ``new`` the classes of ``old`` that it consists of; none for an unknown class.

    Classes correspond by the maps of the indoor taxonomy, otherwise by equal names.
    """
    if old.names == INDOOR.names:
        for name, schema in LABEL_SETS.items():
            if schema.names == new.names:
                return [np.flatnonzero(from_indoor(name)[:-1] == k).tolist() for k in range(new.num_classes)]
    return [[old.names.index(name)] if name in old.names else [] for name in new.names]


def _carried(
    value: Tensor, initial: Tensor, parts: list[list[int]], classes: int, *, shares: bool
) -> Tensor | None:
    """Return a tensor with classes along at most one axis for other classes, ``None`` if its shape does not fit.

    Convention:
        An axis holds classes if it is that long, or holds several blocks of classes and then other entries, as the
        input of slab context does (``shares``). Channels of the same number as the classes cannot be distinguished
        from them.
    """
    if len(parts) != classes:
        axes = [axis for axis in range(value.dim()) if value.shape[axis] != initial.shape[axis]]
        blocks, rest = (
            divmod(value.shape[axes[0]] - initial.shape[axes[0]], classes - len(parts)) if axes else (0, 0)
        )
    else:
        axes = [axis for axis in range(value.dim()) if value.shape[axis] == classes][:1]
        blocks, rest = len(axes), 0
        if shares and value.shape[1] == 2 * classes + NUM_POSITION_FEATURES:
            axes, blocks = [1], 2
    if not axes:
        return value
    if len(axes) > 1 or rest or blocks < 1 or value.shape[axes[0]] < blocks * classes:
        return None
    value, result = value.movedim(axes[0], 0), initial.clone().movedim(axes[0], 0)
    if value.shape[1:] != result.shape[1:]:
        return None
    for block in range(blocks):
        for k, rows in enumerate(parts):
            if rows:
                chosen = value[block * classes + torch.tensor(rows)]
                result[block * len(parts) + k] = chosen.to(result.dtype).mean(dim=0)
    result[blocks * len(parts) :] = value[blocks * classes :]
    return result.movedim(0, axes[0])
