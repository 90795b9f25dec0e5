"""Replace the class shares of slabs in a trained model during prediction, without retraining."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.base import Head
from pcseg.heads.points import PointHead, token_rows
from pcseg.losses.cloud_classes import class_shares
from pcseg.nn.levels import Level, PointBatch
from pcseg.nn.slab_context import SlabContext, class_tables
from pcseg.ops.slabs import Slabs


@dataclass(frozen=True, kw_only=True)
class SlabTables:
    """Slabs of a room along each axis, their predicted and their true tables, ``(S, 2K)``.

    True tables are those of :func:`~pcseg.nn.slab_context.class_tables`, given the shares of the labels in each voxel.
    """

    slabs: list[Slabs]
    predicted: list[Tensor]
    true: list[Tensor]


Change = Callable[[int, Sequence[SlabTables]], list[Tensor]]
"""Takes the number of a room and the tables of all rooms; returns the tables that the room gets."""


def slab_context_of(model: nn.Module) -> SlabContext | None:
    """Return the slab context of a model, or ``None``.

    Raises:
        UserError: Its slabs hold no class shares.
    """
    context = next((module for module in model.modules() if isinstance(module, SlabContext)), None)
    if context is not None and context.content != "shares":
        raise UserError(
            f"--ckpt: slabs that hold {context.content}. Pass a model whose slabs hold class shares."
        )
    return context


def tables_of(head: Head, levels: list[Level], batch: PointBatch) -> SlabTables:
    """Return the tables of a room."""
    seen: list[Any] = []
    context = slab_context_of(head)
    assert context is not None, "the head has no slab context"
    handle = context.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    try:
        logits = head(levels, batch).logits
    finally:
        handle.remove()
    _, slabs, predicted = seen[0]
    level = head.level if isinstance(head, PointHead) else 0
    x = levels[level].x
    truth = class_shares(batch.y, token_rows(levels, level), len(x), logits.shape[1]).to(x.dtype)
    true = class_tables(truth, slabs)
    return SlabTables(slabs=list(slabs), predicted=list(predicted), true=true)


@contextmanager
def replaced_tables(model: nn.Module, tables: list[Tensor]) -> Iterator[None]:
    """Replace the tables of the slab context within a context."""
    context = slab_context_of(model)
    assert context is not None, "the model has no slab context"
    handle = context.register_forward_pre_hook(lambda module, inputs: (*inputs[:2], tables))
    try:
        yield
    finally:
        handle.remove()


def own(number: int, rooms: Sequence[SlabTables]) -> list[Tensor]:
    """Return the own tables, which changes nothing."""
    return rooms[number].predicted


def permuted(number: int, rooms: Sequence[SlabTables]) -> list[Tensor]:
    """Permute the tables of the slabs along each axis."""
    generator = torch.Generator().manual_seed(number)
    return [table[torch.randperm(len(table), generator=generator)] for table in rooms[number].predicted]


def average(number: int, rooms: Sequence[SlabTables]) -> list[Tensor]:
    """Give every slab the mean table of the room, weighted by tokens."""
    room = rooms[number]
    means = [
        (table * slabs.counts[:, None]).sum(0) / slabs.counts.sum()
        for slabs, table in zip(room.slabs, room.predicted)
    ]
    return [mean.expand(len(table), -1) for mean, table in zip(means, room.predicted)]


def shuffled(number: int, rooms: Sequence[SlabTables]) -> list[Tensor]:
    """Give every slab the table of the slab at the same relative position in the next room."""
    there = rooms[(number + 1) % len(rooms)].predicted
    return [
        other[torch.linspace(0, len(other) - 1, len(table)).round().long()]
        for table, other in zip(rooms[number].predicted, there)
    ]


def true_shares(number: int, rooms: Sequence[SlabTables]) -> list[Tensor]:
    """Use the true shares and maxima instead of the predicted ones."""
    return rooms[number].true


SLAB_CHANGES: dict[str, Change] = {
    "own": own,
    "permuted": permuted,
    "average": average,
    "shuffled": shuffled,
    "true": true_shares,
}
"""Changes by their names in tables and options."""
