"""What trained models say of whole rooms and of crops of them, with and without the room's own context."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pcseg.analysis.context_state import State, cloud_state, has_context, without_own_context
from pcseg.analysis.explain import watched_parts, watching
from pcseg.checkpoint import LoadedModel
from pcseg.data.blocks import cut_into_blocks
from pcseg.data.collate import to_data
from pcseg.data.dataset import with_height
from pcseg.data.gridding import group_by_voxel
from pcseg.data.sample import Sample
from pcseg.heads.base import PointHead
from pcseg.heads.context import ContextBody
from pcseg.heads.point_base import PointContextHead
from pcseg.nn.levels import Level
from pcseg.ops.voxels import VoxelSet

MARGIN = 1.0
"""Metres of context around a crop, as prediction has them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A part of a room as a batch: ``rows`` are its voxels in the room, ``core`` those that it answers for."""

    rows: np.ndarray
    core: np.ndarray
    batch: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """A room ready for any number of models; maps of its voxels that one builds serve the others.

    Args:
        sample: All points.
        row: Voxel of every point, ``(N,)``.
        whole: All voxels.
        crops: The room in pieces of the size that training saw; none where that is not asked for.
    """

    sample: Sample
    row: np.ndarray
    whole: Piece
    crops: list[Piece] = field(default_factory=list)

    @property
    def num_voxels(self) -> int:
        return len(self.whole.rows)


def prepare_room(
    sample: Sample, *, grid_size: float, features: Sequence[str], crop_voxels: int | None = None
) -> Room:
    """Voxelise a room as prediction with one point a voxel does.

    Args:
        sample: All points of the room.
        grid_size: Edge of a voxel in metres.
        features: Names of the input features.
        crop_voxels: Largest number of voxels of a crop; ``None`` for no crops.
    """
    sample = with_height(sample)
    groups = group_by_voxel(sample.pos, grid_size)
    shown = replace(sample.take(groups.pick(0)), grid_pos=groups.grid_pos)

    def piece(rows: np.ndarray, core: np.ndarray) -> Piece:
        part = replace(shown.take(rows), grid_pos=groups.grid_pos[rows])
        batch: Any = Batch.from_data_list([to_data(part, features)])
        batch["voxels"] = VoxelSet(batch.grid_pos, batch.ptr)
        return Piece(rows=rows, core=core, batch=batch)

    everything = np.arange(groups.num_voxels)
    blocks = []
    if crop_voxels is not None:
        margin = int(np.ceil(MARGIN / grid_size))
        blocks = cut_into_blocks(groups.grid_pos, max_voxels=crop_voxels, margin=margin)
    return Room(
        sample=sample,
        row=groups.inverse,
        whole=piece(everything, np.ones(len(everything), dtype=bool)),
        crops=[piece(block.rows, block.core) for block in blocks],
    )


@dataclass(kw_only=True, eq=False)
class Findings:
    """What a model says, one entry a room.

    Args:
        whole: Probabilities of the voxels of a room seen at once, ``(V, K)``.
        states: Of its context module then.
        crops: Probabilities of the voxels of a room seen in crops.
        crop_states: Of the context module, one a crop.
        without: Classes of the voxels without the room's own context, ``(V,)``; none for heads without context.
    """

    whole: list[Tensor] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    crops: list[Tensor] = field(default_factory=list)
    crop_states: list[list[State]] = field(default_factory=list)
    without: list[Tensor] = field(default_factory=list)


def body_of(model: LoadedModel) -> ContextBody | None:
    """What a head does on its level, its context module included; ``None`` for a head without."""
    head = model.segmentor.head
    return head.body if isinstance(head, PointContextHead) else None


def read_rooms(model: LoadedModel, rooms: Iterable[Room]) -> Findings:
    """Show every room to a model: whole, in crops if it has some, and without its own context."""
    segmentor, body, found = model.segmentor.eval(), body_of(model), Findings()
    head = segmentor.head
    assert isinstance(head, PointHead), "a model of images"

    def see(batch: Any) -> tuple[Tensor, State, list[Level]]:
        """Probabilities ``(V, K)``, the state of the context module, and the backbone's levels."""
        levels = segmentor.backbone(batch)
        with watching(watched_parts(body)) as calls:
            prob = head(levels, batch).logits.softmax(1)
        return prob, cloud_state(body, calls, batch, model.schema.num_classes), levels

    kept: list[tuple[list[Level], Any]] = []
    with torch.inference_mode():
        for room in rooms:
            prob, state, levels = see(room.whole.batch)
            found.whole.append(prob)
            found.states.append(state)
            kept.append((levels, room.whole.batch))
            if room.crops:
                found.crops.append(torch.empty_like(prob))
                found.crop_states.append([])
            for crop in room.crops:
                prob, state, _ = see(crop.batch)
                found.crops[-1][torch.from_numpy(crop.rows[crop.core])] = prob[torch.from_numpy(crop.core)]
                found.crop_states[-1].append(state)
        if body is not None and has_context(body):
            with without_own_context(body, found.states):
                found.without = [head(levels, batch).logits.argmax(1) for levels, batch in kept]
    return found
