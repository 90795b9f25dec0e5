"""Upper bounds of context: what a trained model would say of a room if it knew a fact of it for certain."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pcseg.errors import UserError

MATCH_ROUNDS = 20
"""Corrections after which predicted shares are taken to be the true ones; they differ by under 1 % then."""

WALL_REACH = 0.35
"""Metres from the plane of a wall within which things hang on it or stand in it."""

SURFACES = ("wall", "window", "door", "board")
"""What stands upright in the plane of a wall: told apart by little but colour, frame and place."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What is true of a room's points.

    Args:
        label: Classes, -1 for none, ``(N,)`` int64.
        instance: Objects, -1 for none, ``(N,)`` int64.
        pos: Positions in metres, ``(N, 3)``.
        names: Names of the K classes.
        average: Mean shares of the classes in the rooms of the training, ``(K,)``; needed by two oracles.
        typical: The same over those rooms that hold the class, ``(K,)``.
    """

    label: Tensor
    instance: Tensor
    pos: Tensor
    names: tuple[str, ...]
    average: Tensor | None = None
    typical: Tensor | None = None

    @cached_property
    def share(self) -> Tensor:
        """True shares of the classes among the labelled points, ``(K,)``; zeros without any."""
        counts = torch.bincount(self.label[self.label >= 0], minlength=len(self.names)).double()
        return counts / counts.sum().clamp(min=1)

    def classes(self, names: tuple[str, ...]) -> Tensor:
        """Numbers of classes; :class:`UserError` for one that these data do not have."""
        for name in names:
            if name not in self.names:
                raise UserError(f"this oracle needs class {name!r}; there are {', '.join(self.names)}")
        return torch.tensor([self.names.index(name) for name in names])


Oracle = Callable[[Tensor, Facts], Tensor]
"""Takes probabilities ``(N, K)`` and the facts of the room; returns changed scores, of which the largest counts."""


def nothing(prob: Tensor, facts: Facts) -> Tensor:
    """The model as it is."""
    return prob


def presence(prob: Tensor, facts: Facts) -> Tensor:
    """Knows which classes the room holds: logits of the others are -inf.

    The most that channel context trained by the SE-loss could give, if it only ruled classes out.
    """
    return prob * (facts.share > 0)


def frequency(prob: Tensor, facts: Facts) -> Tensor:
    """Knows the shares of the classes: logits are corrected once by log(true share / mean predicted share).

    Convention:
        That is Bayes' rule for a changed prior. It need not help: a model that predicts too little of a class
        where it is unsure is made to predict more of it also where it is wrong.
    """
    predicted = prob[facts.label >= 0].double().mean(0)
    return prob * (facts.share / predicted.clamp(min=1e-12)).to(prob)


def matched(prob: Tensor, facts: Facts) -> Tensor:
    """Knows the shares of the classes: :func:`frequency` repeated until mean probabilities are the true shares."""
    return match_shares(prob, facts.share, facts.label >= 0)


def average_shares(prob: Tensor, facts: Facts) -> Tensor:
    """Knows nothing of the room: mean probabilities are made the mean shares of the training's rooms.

    The control of :func:`typical_shares` and :func:`matched`: what they gain beyond it is context.
    """
    assert facts.average is not None, "average shares are not given"
    return match_shares(prob, facts.average, facts.label >= 0)


def typical_shares(prob: Tensor, facts: Facts) -> Tensor:
    """Knows which classes the room holds: mean probabilities are made the shares that these have elsewhere.

    The most that presence could give if it also raised what is there.
    """
    assert facts.typical is not None, "typical shares are not given"
    share = facts.typical * (facts.share > 0)
    return match_shares(prob, share / share.sum().clamp(min=1e-12), facts.label >= 0)


def match_shares(prob: Tensor, share: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
    """Probabilities ``(N, K)`` with one factor a class such that their mean over ``rows`` ``(N,)`` is ``share``.

    That is the room's prior put in the place of the training's (Saerens et al., *Adjusting the Outputs of a
    Classifier to New a Priori Probabilities*, 2002), by fixed-point iteration. All rows count where none are given.
    """
    weight = torch.ones(prob.shape[1], dtype=torch.float64)
    adjusted = prob
    for _ in range(MATCH_ROUNDS):
        adjusted = prob * weight.to(prob)
        adjusted = adjusted / adjusted.sum(1, keepdim=True).clamp(min=1e-30)
        weight *= share / adjusted[rows].double().mean(0).clamp(min=1e-12)
        weight /= weight.max()
    return adjusted


def objects(prob: Tensor, facts: Facts) -> Tensor:
    """Knows which points are one object: all take the mean of their probabilities.

    The most that gathering evidence over an object could give, without a word from outside it.
    """
    known = facts.instance >= 0
    _, number = torch.unique(facts.instance[known], return_inverse=True)
    count = torch.bincount(number).clamp(min=1)
    total = prob.new_zeros(len(count), prob.shape[1]).index_add_(0, number, prob[known])
    out = prob.clone()
    out[known] = (total / count[:, None])[number]
    return out


def objects_presence(prob: Tensor, facts: Facts) -> Tensor:
    """Knows both what is one object and which classes the room holds.

    Convention:
        What is left of a point's probabilities is not normalised: the more it spoke for absent classes, the less
        it has to say of its object.
    """
    return objects(presence(prob, facts), facts)


def sides(prob: Tensor, facts: Facts) -> Tensor:
    """Knows which walls are outer ones: no board hangs there, and no window is anywhere else.

    The rule of the generated rooms (:mod:`data_prep.building`), and of most buildings; a wall is an outer one
    if a window is in it.

    Convention:
        For rooms whose walls are parallel to x and y. Points near two walls or none are left alone.
    """
    wall, window, board = facts.classes(("wall", "window", "board")).tolist()
    out = prob.clone()
    if not bool((facts.label == wall).any()):
        return out
    plan = facts.pos[:, :2]
    low, high = (edge.values for edge in (plan[facts.label == wall].min(0), plan[facts.label == wall].max(0)))
    near = torch.cat([plan < low + WALL_REACH, plan > high - WALL_REACH], 1)
    near &= near.sum(1, keepdim=True) == 1
    for side in near.unbind(1):
        outer = bool((facts.label[side] == window).any())
        out[side, board if outer else window] = 0
    return out


def surfaces(prob: Tensor, facts: Facts) -> Tensor:
    """Knows of what stands in the plane of a wall whether it is wall, window, door or board."""
    group = facts.classes(SURFACES)
    (rows,) = torch.nonzero(torch.isin(facts.label, group), as_tuple=True)
    out = prob.clone()
    mass = prob[rows][:, group].sum(1)
    out[rows[:, None], group] = 0
    out[rows, facts.label[rows]] = mass
    return out


ORACLES: dict[str, Oracle] = {
    "nothing": nothing,
    "presence": presence,
    "average-shares": average_shares,
    "typical-shares": typical_shares,
    "frequency": frequency,
    "matched": matched,
    "sides": sides,
    "objects": objects,
    "objects-presence": objects_presence,
    "surfaces": surfaces,
}
"""Every oracle by its name in tables."""
