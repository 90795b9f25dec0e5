"""Learning-rate schedules: factors on the base rate as functions of training progress in [0, 1]."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from pcseg.values import Positive, Share, checked


class Schedule(ABC):
    """Maps progress (0 at the first step, 1 at the last) to a factor on the base learning rate."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Return the factor at ``progress``."""


@checked("schedule.")
@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """Cosine warm-up to the base rate, then cosine decay (Smith & Topin, 2019; torch's ``OneCycleLR``).

    Args:
        warmup: Fraction of training that warms up.
        div: The first rate is the base rate divided by this.
        final_div: The last rate is the *first* rate divided by this.
    """

    warmup: Share = 0.05
    div: Positive = 10.0
    final_div: Positive = 1000.0

    def __call__(self, progress: float) -> float:
        first = 1 / self.div
        if progress < self.warmup:
            return _cosine(first, 1.0, progress / self.warmup)
        return _cosine(1.0, first / self.final_div, (progress - self.warmup) / max(1 - self.warmup, 1e-12))


@checked("schedule.")
@dataclass(frozen=True, kw_only=True)
class Poly(Schedule):
    """Polynomial decay ``(1 - progress) ** power`` (image systems use 0.9).

    Args:
        power: Exponent of the decay.
        warmup: Fraction of training in which the rate is also multiplied by a factor that grows linearly from 0 to 1,
            as in mmsegmentation.
    """

    power: Positive = 0.9
    warmup: Share = 0.0

    def __call__(self, progress: float) -> float:
        decay = (1 - min(progress, 1.0)) ** self.power
        return decay * progress / self.warmup if progress < self.warmup else decay


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * fraction))
