"""Internal maps of a head for one cloud or image, as arrays that layers and charts show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Attended(NamedTuple):
    """Attention of one token: the ``weight`` of every token and whether it is ``reached``, ``(T,)`` each.

    The weight of a reached token can underflow to 0.
    """

    weight: np.ndarray
    reached: np.ndarray


def largest(values: np.ndarray, names: Sequence[str], number: int) -> str:
    """Return the names of the largest values, with these values; others than the first are not printed as 0.00."""
    first, *others = np.argsort(-values, kind="stable")[:number]
    return ", ".join(
        f"{names[i]} {values[i]:.2f}" for i in (first, *others) if i == first or values[i] >= 0.005
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenGrid:
    """The tokens that the rows of the logits read, and their positions.

    Args:
        token: Token of every row, ``(V,)``.
        low: Lower ends of the slabs of tokens with the lowest coordinate along each axis.
        edge: Edges of a token.
        axes: Names of the axes.
        unit: ``m`` or ``pixels``.
    """

    token: np.ndarray
    low: Sequence[float]
    edge: Sequence[float]
    axes: Sequence[str]
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class SlabShares:
    """Class shares of the S slabs along one axis, in ascending order.

    Args:
        axis, name: Number and name of the axis.
        start, thickness: Lower end of every slab, ``(S,)``, and thickness of a slab, in ``unit``.
        slab: Slab of every token, ``(T,)``.
        predicted: Shares that the head reads, ``(S, K)``.
        true: Shares of the labels, ``(S, K)``; unlabeled parts are missing in their sum. ``None`` without labels.
    """

    axis: int
    name: str
    unit: str
    start: np.ndarray
    thickness: float
    slab: np.ndarray
    predicted: np.ndarray
    true: np.ndarray | None = None


@dataclass(kw_only=True)
class HeadMaps:
    """Internal maps of a head; a map that the head does not have is ``None``.

    Sizes: N points (or pixels), V rows of logits, T tokens, K classes.

    Args:
        head: Name of the head.
        row: Row of the logits that each point reads, ``(N,)``, -1 for none.
        probability: Class probabilities of every row of the logits, ``(V, K)``.
        token: Token that each row of the logits reads, ``(V,)``.
        affinity: CTNet's SCM: weight of each class in what a token gathers, ``(T, K)``; rows sum to 1.
        similarity: Cosine similarities of class features, ``(K, K)``, by name.
        channel: Factor of every channel, ``(C,)``: CTNet's channel vector, EncNet's scaling factors.
        class_prob: CTNet's class probabilities of the cloud, ``(K,)``.
        frequency: Their training targets, ``(K,)``, if the cloud has labels.
        presence: EncNet's probability that the cloud contains a class, ``(K,)``.
        present: Whether the cloud contains a class, ``(K,)`` bool, if the cloud has labels.
        assignment: EncNet: weight of every codeword in a token, ``(T, M)``; rows sum to 1.
        smoothing: EncNet: smoothing factor of every codeword, ``(M,)``.
        slabs: Slab context: class shares of the slabs along each axis.
        attend: CCNet: takes a token and returns what it attends to after 1, 2, ... recurrences.
        baseline: Probabilities of another model, like ``probability``, for comparison.
    """

    head: str
    row: np.ndarray
    probability: np.ndarray
    token: np.ndarray
    affinity: np.ndarray | None = None
    similarity: dict[str, np.ndarray] = field(default_factory=dict)
    channel: np.ndarray | None = None
    class_prob: np.ndarray | None = None
    frequency: np.ndarray | None = None
    presence: np.ndarray | None = None
    present: np.ndarray | None = None
    assignment: np.ndarray | None = None
    smoothing: np.ndarray | None = None
    slabs: list[SlabShares] | None = None
    attend: Callable[[int], list[Attended]] | None = None
    baseline: np.ndarray | None = None

    @property
    def label(self) -> np.ndarray:
        """Predicted class of each point, ``(N,)`` int16, -1 for none."""
        return np.append(self.probability.argmax(axis=1), -1).astype(np.int16)[self.row]

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, ``(N,)`` float32."""
        return np.append(self.probability.max(axis=1), 0).astype(np.float32)[self.row]

    @cached_property
    def point_token(self) -> np.ndarray:
        """Token of each point, ``(N,)``, -1 for none."""
        return np.append(self.token, -1)[self.row]
