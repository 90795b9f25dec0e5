"""What a head did with one cloud or image, as arrays to look at."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Seen(NamedTuple):
    """What one token sees: the ``share`` of every token, and which are ``reached`` at all, ``(T,)`` each.

    A share can vanish in floating point although its token is reached.
    """

    share: np.ndarray
    reached: np.ndarray


@dataclass(kw_only=True)
class HeadMaps:
    """The inner maps of a head; a field that a head does not have is ``None``.

    Points (or pixels) read the token that they lie in: N points, V rows of logits, T tokens, K classes.

    Args:
        head: Name of the head.
        row: Row of the logits that each point reads, ``(N,)``, -1 for none.
        probability: Of every class in every row of the logits, ``(V, K)``.
        token: Token that each row of the logits reads, ``(V,)``.
        affinity: SCM of CTNet: share of each class in what a token gathers, ``(T, K)``; rows sum to 1.
        similarity: Cosines of class features, ``(K, K)``, by name.
        channel: Factor of every channel, ``(C,)``: CTNet's channel context vector, EncNet's scaling factors.
        class_prob: CTNet's class probabilities of the cloud, ``(K,)``.
        frequency: What they were trained towards, ``(K,)``, where the truth is known.
        presence: EncNet's probability that the cloud holds a class, ``(K,)``.
        present: Whether it does, ``(K,)`` bool, where the truth is known.
        assignment: EncNet: share of every codeword in a token, ``(T, M)``; rows sum to 1.
        smoothing: EncNet: smoothing factor of every codeword, ``(M,)``.
        attend: CCNet: takes a token and returns what it sees after 1, 2, ... recurrences.
        plain: Probabilities of a model with another head, like ``probability``, to compare with.
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
    attend: Callable[[int], list[Seen]] | None = None
    plain: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "HeadMaps":
        """The maps of a part of the points."""
        return replace(self, row=self.row[rows])

    @property
    def label(self) -> np.ndarray:
        """Predicted class of each point, ``(N,)`` int16, -1 for none."""
        label = np.append(self.probability.argmax(axis=1), -1)
        return label.astype(np.int16)[self.row]

    @property
    def confidence(self) -> np.ndarray:
        """Its probability, ``(N,)`` float32."""
        return np.append(self.probability.max(axis=1), 0).astype(np.float32)[self.row]

    @cached_property
    def point_token(self) -> np.ndarray:
        """Token of each point, ``(N,)``, -1 for none."""
        return np.append(self.token, -1)[self.row]
