"""What trained models say of whole rooms and of crops of them, with and without the room's own context."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pcseg.checkpoint import LoadedModel
from pcseg.context_state import State, cloud_state, has_context, without_own_context
from pcseg.data.blocks import cut_into_blocks
from pcseg.data.collate import to_data
from pcseg.data.dataset import with_height
from pcseg.data.gridding import group_by_voxel
from pcseg.data.sample import Sample
from pcseg.explain import watched_parts, watching
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


class Reader:
    """A trained point model and its context module."""

    def __init__(self, model: LoadedModel) -> None:
        self.segmentor = model.segmentor.eval()
        head = model.segmentor.head
        assert isinstance(head, PointHead), "a model of images"
        self.head = head
        self.body: ContextBody | None = head.body if isinstance(head, PointContextHead) else None
        self.num_classes = model.schema.num_classes

    def see(self, batch: Any) -> tuple[Tensor, State, list[Level]]:
        """Probabilities ``(V, K)``, the state of the context module, and the backbone's levels."""
        levels = self.segmentor.backbone(batch)
        with watching(watched_parts(self.body)) as calls:
            prob = self.head(levels, batch).logits.softmax(1)
        return prob, cloud_state(self.body, calls, batch, self.num_classes), levels


def read_rooms(model: LoadedModel, rooms: Iterable[Room]) -> Findings:
    """Show every room to a model: whole, in crops if it has some, and without its own context."""
    reader, found = Reader(model), Findings()
    kept: list[tuple[list[Level], Any]] = []
    with torch.inference_mode():
        for room in rooms:
            prob, state, levels = reader.see(room.whole.batch)
            found.whole.append(prob)
            found.states.append(state)
            kept.append((levels, room.whole.batch))
            if room.crops:
                found.crops.append(torch.empty_like(prob))
                found.crop_states.append(list(_read_crops(reader, room, found.crops[-1])))
        if reader.body is not None and has_context(reader.body):
            with without_own_context(reader.body, found.states):
                found.without = [reader.head(levels, batch).logits.argmax(1) for levels, batch in kept]
    return found


def _read_crops(reader: Reader, room: Room, out: Tensor) -> Iterator[State]:
    """States of the crops; their probabilities are written into ``out``."""
    for crop in room.crops:
        prob, state, _ = reader.see(crop.batch)
        out[torch.from_numpy(crop.rows[crop.core])] = prob[torch.from_numpy(crop.core)]
        yield state
