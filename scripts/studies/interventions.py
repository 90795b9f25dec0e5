"""Replace the class features of a trained CTNet during prediction, without retraining."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.base import Head
from pcseg.heads.ctnet import CTBody
from pcseg.losses.cloud_classes import class_frequency
from pcseg.nn.channel_context import ChannelContext, ChannelContextOutput
from pcseg.nn.levels import Level, PointBatch
from pcseg.ops.clouds import spread


@dataclass(frozen=True, kw_only=True)
class CloudContext:
    """Output of the channel context module for a cloud, and its true class frequencies.

    Args:
        gate: Channel vector v, ``(C,)``.
        class_prob: Predicted shares of the classes p, ``(K,)``.
        class_features: M, ``(K, C)``; as published p vᵀ.
        frequency: True shares of the classes, ``(K,)``: the target of the CP-loss.
    """

    gate: Tensor
    class_prob: Tensor
    class_features: Tensor
    frequency: Tensor


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """Replacements of ``class_features`` ``(K, C)`` and ``gate`` ``(C,)``; ``None`` keeps the module's own."""

    class_features: Tensor | None = None
    gate: Tensor | None = None


Change = Callable[[int, Sequence[CloudContext]], Replacement]
"""Takes the number of a room and the contexts of all rooms."""


def channel_context_of(model: nn.Module) -> ChannelContext:
    """Return the channel context module of a model.

    Raises:
        UserError: It has none, or tokens do not read its class features.
    """
    for body in model.modules():
        if isinstance(body, CTBody) and (body.class_features != "rank_one" or body.spatial_context is None):
            reads = body.spatial_context is not None or body.slab_context is not None
            read = body.class_features if reads else "none"
            raise UserError(f"--ckpt: a CTNet with class features {read!r}. Pass one with 'rank_one'.")
    found = [module for module in model.modules() if isinstance(module, ChannelContext)]
    if len(found) != 1:
        raise UserError(f"--ckpt: {len(found)} channel context modules found. Pass a CTNet.")
    return found[0]


def cloud_contexts(head: Head, levels: list[Level], batch: PointBatch) -> list[CloudContext]:
    """Return what the channel context module of ``head`` computes for every cloud of a batch."""
    gates: list[Tensor] = []
    gate = channel_context_of(head).gate
    handle = gate.register_forward_hook(lambda module, inputs, vectors: gates.append(vectors))
    try:
        aux = head(levels, batch).aux
    finally:
        handle.remove()
    prob = aux["class_prob"]
    frequency = class_frequency(batch.y, batch.ptr, prob.shape[1]).to(prob)
    return [
        CloudContext(gate=gate, class_prob=prob, class_features=features, frequency=share)
        for gate, prob, features, share in zip(gates[0], prob, aux["class_features"], frequency, strict=True)
    ]


@contextmanager
def replaced_context(model: nn.Module, replacement: Replacement) -> Iterator[None]:
    """Replace the gate or the class features of every cloud within a context.

    Convention:
        Replaced class features leave the gated tokens alone, and a replaced gate the class features: p and M
        are still those of the module's own gate.
    """

    def replace(_module: nn.Module, inputs: Any, output: ChannelContextOutput) -> ChannelContextOutput:
        tokens, ptr = inputs
        clouds = len(ptr) - 1
        if replacement.gate is not None:
            gate = replacement.gate.to(tokens).expand(clouds, -1)
            output = output._replace(x=tokens * spread(gate, ptr))
        if replacement.class_features is not None:
            features = replacement.class_features.to(output.class_features).expand(clouds, -1, -1)
            output = output._replace(class_features=features)
        return output

    handle = channel_context_of(model).register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def rank_one(prob: Tensor, gate: Tensor) -> Replacement:
    """Return class features p vᵀ."""
    return Replacement(class_features=prob[:, None] * gate)


def other(number: int, rooms: Sequence[CloudContext]) -> CloudContext:
    """Return another room for each room, each used once: the next in a fixed random cycle."""
    order = torch.randperm(len(rooms), generator=torch.Generator().manual_seed(0)).tolist()
    return rooms[order[(order.index(number) + 1) % len(rooms)]]


def own(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Return the own output of the module, which changes nothing."""
    return Replacement(class_features=rooms[number].class_features, gate=rooms[number].gate)


def zero(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Set class features to zero, so that all points gather the same from all classes."""
    return Replacement(class_features=torch.zeros_like(rooms[number].class_features))


def random(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Draw normal random class features with the norm of the room's own."""
    features = rooms[number].class_features
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(number)).to(features)
    return Replacement(class_features=noise * (features.norm() / noise.norm()))


def permuted(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Give every class the features of the class before it.

    Convention:
        As the SCM sums over the classes and treats all alike, this cannot change its output.
    """
    return Replacement(class_features=rooms[number].class_features.roll(1, 0))


def shuffled(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Use the class features of another room."""
    return Replacement(class_features=other(number, rooms).class_features)


def shuffled_prob(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Use the class probabilities of another room, with the room's own channel vector."""
    return rank_one(other(number, rooms).class_prob, rooms[number].gate)


def average(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Use the mean class features of all rooms."""
    return Replacement(class_features=torch.stack([room.class_features for room in rooms]).mean(0))


def true_frequency(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Use the true shares of the classes instead of the predicted ones."""
    return rank_one(rooms[number].frequency, rooms[number].gate)


def uniform(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Use equal shares of all classes: one class feature for all, with the mean size of the room."""
    prob = rooms[number].class_prob
    return rank_one(torch.full_like(prob, 1 / len(prob)), rooms[number].gate)


def shuffled_gate(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Gate tokens by the channel vector of another room and keep class features."""
    return Replacement(gate=other(number, rooms).gate)


def average_gate(number: int, rooms: Sequence[CloudContext]) -> Replacement:
    """Gate tokens by the mean channel vector of all rooms and keep class features."""
    return Replacement(gate=torch.stack([room.gate for room in rooms]).mean(0))


CHANGES: dict[str, Change] = {
    "own": own,
    "permuted": permuted,
    "true": true_frequency,
    "average": average,
    "shuffled": shuffled,
    "shuffled-prob": shuffled_prob,
    "uniform": uniform,
    "random": random,
    "zero": zero,
    "average-gate": average_gate,
    "shuffled-gate": shuffled_gate,
}
"""Changes by their names in tables and options."""
