"""Errors object by object: which objects are found, which are taken for another class as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

FOUND, LOST = 0.8, 0.2
"""Shares of right points from which an object is found, and up to which it is lost; between them it is mixed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectCounts:
    """What the points of every object were predicted as.

    Args:
        label: Class of the object, ``(M,)``.
        instance: Its number in the scene, ``(M,)``.
        predicted: Points predicted as each class, ``(M, K)``.
        contrast: Distance of its mean colour from that of the points of class ``against`` around it, in 0..255,
            ``(M,)``; nan where there are none.
    """

    label: np.ndarray
    instance: np.ndarray
    predicted: np.ndarray
    contrast: np.ndarray

    @property
    def points(self) -> np.ndarray:
        return self.predicted.sum(axis=1)

    @property
    def right(self) -> np.ndarray:
        """Share of right points, ``(M,)``."""
        return self.predicted[np.arange(len(self.label)), self.label] / np.maximum(self.points, 1)

    def __getitem__(self, rows: np.ndarray) -> "ObjectCounts":
        arrays = (self.label, self.instance, self.predicted, self.contrast)
        label, instance, predicted, contrast = (array[rows] for array in arrays)
        return ObjectCounts(label=label, instance=instance, predicted=predicted, contrast=contrast)


def count_objects(
    pred: np.ndarray,
    label: np.ndarray,
    instance: np.ndarray,
    *,
    num_classes: int,
    min_points: int = 50,
    contrast: np.ndarray | None = None,
) -> ObjectCounts:
    """Count the predictions of every object of a scene; row by row in ascending order of (instance, label).

    Args:
        pred: Predicted classes, ``(N,)``.
        label: Classes, ``(N,)``; points without one are not counted.
        instance: Objects, ``(N,)``; -1 for none.
        num_classes: K.
        min_points: Smaller objects are left out.
        contrast: Of every object, in the order of :func:`object_numbers`.
    """
    number, pairs = object_numbers(label, instance, num_classes=num_classes)
    known = number >= 0
    table = np.bincount(number[known] * num_classes + pred[known], minlength=len(pairs) * num_classes)
    table = table.reshape(len(pairs), num_classes)
    objects = ObjectCounts(
        label=pairs % num_classes,
        instance=pairs // num_classes,
        predicted=table,
        contrast=np.full(len(pairs), np.nan) if contrast is None else contrast,
    )
    return objects[objects.points >= min_points]


def object_numbers(
    label: np.ndarray, instance: np.ndarray, *, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The number of every point's object from 0, -1 for none, ``(N,)``; and ``instance * K + label`` of each."""
    known = (label >= 0) & (instance >= 0)
    keys = instance[known].astype(np.int64) * num_classes + label[known]
    pairs, inverse = np.unique(keys, return_inverse=True)
    number = np.full(len(label), -1, dtype=np.int64)
    number[known] = inverse
    return number, pairs


def contrast_to(
    against: int,
    pos: np.ndarray,
    color: np.ndarray,
    label: np.ndarray,
    instance: np.ndarray,
    *,
    num_classes: int,
    reach: float = 0.4,
) -> np.ndarray:
    """How much each object's mean colour differs from that of a class around it, ``(M,)``.

    Around is the object's box, wider by ``reach`` metres on every side. Distances are Euclidean, of colours 0..255.
    """
    number, pairs = object_numbers(label, instance, num_classes=num_classes)
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(pairs) + 1))
    others = np.flatnonzero(label == against)
    found = np.full(len(pairs), np.nan)
    for row, (start, stop) in enumerate(pairwise(starts)):
        own = order[start:stop]
        low, high = pos[own].min(axis=0) - reach, pos[own].max(axis=0) + reach
        around = others[((pos[others] > low) & (pos[others] < high)).all(axis=1)]
        if len(around) and pairs[row] % num_classes != against:
            difference = color[own].mean(axis=0, dtype=float) - color[around].mean(axis=0, dtype=float)
            found[row] = np.linalg.norm(difference)
    return found


def joined(parts: Sequence[ObjectCounts]) -> ObjectCounts:
    """The objects of several scenes."""
    columns = zip(*((part.label, part.instance, part.predicted, part.contrast) for part in parts))
    label, instance, predicted, contrast = (np.concatenate(column) for column in columns)
    return ObjectCounts(label=label, instance=instance, predicted=predicted, contrast=contrast)


@dataclass(frozen=True, kw_only=True)
class ClassObjects:
    """How the objects of a class fared.

    Args:
        objects: How many there are.
        found, mixed, lost: How many have at least :data:`FOUND`, some, at most :data:`LOST` right points.
        missed_found, missed_mixed, missed_lost: Where the wrong points are: their shares, of sum 1; 0 without any.
        taken_for: Lost objects by the class that most of their points were called, most first.
    """

    objects: int
    found: int
    mixed: int
    lost: int
    missed_found: float
    missed_mixed: float
    missed_lost: float
    taken_for: dict[int, int]


def describe_class(counts: ObjectCounts, label: int) -> ClassObjects:
    """Summarise the objects of one class."""
    own = counts[counts.label == label]
    found, lost = own.right >= FOUND, own.right <= LOST
    mixed = ~found & ~lost
    wrong = own.points * (1 - own.right)
    total = max(float(wrong.sum()), 1e-9)
    numbers, times = np.unique(own.predicted[lost].argmax(axis=1), return_counts=True)
    by_times = sorted(zip(times.tolist(), numbers.tolist()), key=lambda pair: (-pair[0], pair[1]))
    return ClassObjects(
        objects=len(own.label),
        found=int(found.sum()),
        mixed=int(mixed.sum()),
        lost=int(lost.sum()),
        missed_found=float(wrong[found].sum()) / total,
        missed_mixed=float(wrong[mixed].sum()) / total,
        missed_lost=float(wrong[lost].sum()) / total,
        taken_for={number: count for count, number in by_times},
    )
