"""Numbers of the study why_context: from what models say of rooms to scores, objects, borders and shifts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from studies.passes import Findings, Room
from studies.why_objects import LISTED
from torch import Tensor

from pcseg.analysis.context_state import State
from pcseg.analysis.oracles import ORACLES, Facts, match_shares
from pcseg.data.gridding import group_by_voxel
from pcseg.losses.class_frequency import class_frequency
from pcseg.losses.presence import class_presence
from pcseg.metrics.boundary import near_boundary
from pcseg.metrics.confusion import ConfusionMatrix, confusion
from pcseg.metrics.objects import contrast_to, count_objects, describe_class, joined

WIDTHS = (0.08, 0.16, 0.32)
"""Edges in metres of cells by which borders between classes are found: near is within one to two edges."""

GRIDS = (0.08, 0.16, 0.32, 0.64)
"""Edges in metres of voxels whose points all get the most frequent class: the voxels of levels 0 to 3."""

ENOUGH = 0.001
"""Share of a room's voxels from which a class is taken to be there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is true of a room, found once for all models.

    Args:
        room: Its points.
        names: Names of the K classes.
        elsewhere: ``average`` and ``typical`` shares of :class:`~pcseg.analysis.oracles.Facts`.
    """

    room: Room
    names: tuple[str, ...]
    elsewhere: tuple[Tensor, Tensor] | None = None

    @cached_property
    def label(self) -> np.ndarray:
        return np.asarray(self.room.sample.label, dtype=np.int64)

    @cached_property
    def facts(self) -> Facts:
        sample = self.room.sample
        average, typical = self.elsewhere or (None, None)
        return Facts(
            label=torch.from_numpy(self.label),
            instance=torch.from_numpy(np.array(sample.instance, dtype=np.int64)),
            pos=torch.from_numpy(np.array(sample.pos)),
            names=self.names,
            average=average,
            typical=typical,
        )

    @cached_property
    def borders(self) -> list[np.ndarray]:
        """Points near a border between classes, one array a width of :data:`WIDTHS`."""
        groups = (group_by_voxel(self.room.sample.pos, width) for width in WIDTHS)
        return [near_boundary(each, self.label, len(self.names)) for each in groups]

    @cached_property
    def contrast(self) -> np.ndarray:
        """Contrast of every object to the wall around it."""
        sample, wall = self.room.sample, self.names.index("wall")
        count = len(self.names)
        return contrast_to(wall, sample.pos, sample.color, self.label, sample.instance, num_classes=count)


def shares_elsewhere(histograms: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Mean shares of the classes over rooms with these points of each class, and over those that hold the class."""
    shares = torch.tensor(histograms, dtype=torch.float64)
    shares /= shares.sum(1, keepdim=True).clamp(min=1)
    return shares.mean(0), shares.sum(0) / (shares > 0).sum(0).clamp(min=1)


def grid_ceiling(truths: Sequence[Truth], edge: float) -> ConfusionMatrix:
    """Scores if all points of a voxel get the class that most of them have."""
    count = len(truths[0].names)
    total = ConfusionMatrix(count)
    for truth in truths:
        label, voxel = truth.label, group_by_voxel(truth.room.sample.pos, edge).inverse
        known = label >= 0
        table = np.bincount(voxel[known] * count + label[known], minlength=(voxel.max() + 1) * count)
        best = table.reshape(-1, count).argmax(axis=1)
        total.update(torch.from_numpy(best[voxel]), torch.from_numpy(label))
    return total


def matrix_of(truths: Sequence[Truth], voxels: Sequence[Tensor]) -> ConfusionMatrix:
    """Scores of classes of voxels ``(V,)``, one tensor a room, counted on all points."""
    total = ConfusionMatrix(len(truths[0].names))
    for truth, pred in zip(truths, voxels, strict=True):
        total.update(pred[torch.from_numpy(truth.room.row)], truth.facts.label)
    return total


def scores(matrix: ConfusionMatrix) -> dict[str, Any]:
    """mIoU and the IoU of every class, in percent; ``None`` for a class that is absent."""
    ious = [None if np.isnan(iou) else 100 * iou for iou in matrix.iou().tolist()]
    return {"miou": 100 * matrix.mean_iou(), "class_iou": ious}


def oracle_scores(truths: Sequence[Truth], whole: Sequence[Tensor]) -> dict[str, dict[str, Any]]:
    """Scores with every oracle, which sees points and not voxels."""
    totals = {name: ConfusionMatrix(len(truths[0].names)) for name in ORACLES}
    for truth, voxels in zip(truths, whole, strict=True):
        prob = voxels[torch.from_numpy(truth.room.row)]
        for name, oracle in ORACLES.items():
            totals[name].update(oracle(prob, truth.facts).argmax(1), truth.facts.label)
    return {name: scores(total) for name, total in totals.items()}


def own_context(found: Findings) -> list[Tensor] | None:
    """Classes of voxels if what the module says of a room were used as the oracles use the truth; no training.

    EncNet's probabilities are multiplied by its presence, CTNet's matched to its p; ``None`` for other heads.
    """
    name = next((name for name in ("presence", "class_prob") if name in found.states[0]), None)
    if name is None:
        return None
    said = [torch.from_numpy(state[name]) for state in found.states]
    if name == "presence":
        return [(prob * present).argmax(1) for prob, present in zip(found.whole, said)]
    return [match_shares(prob, share.double()).argmax(1) for prob, share in zip(found.whole, said)]


def points_know(truths: Sequence[Truth], whole: Sequence[Tensor]) -> dict[str, dict[str, float]]:
    """How well a room's classes and their shares are known from the predictions of its points alone.

    A class is taken to be present where over :data:`ENOUGH` of the voxels are predicted as it; shares are mean
    probabilities. To be compared with what SE-loss and CP-loss train for: presence and shares among the voxels.
    """
    states = []
    for truth, prob in zip(truths, whole, strict=True):
        count = prob.shape[1]
        batch = truth.room.whole.batch
        predicted = torch.bincount(prob.argmax(1), minlength=count) / len(prob)
        states.append({
            "presence": (predicted > ENOUGH).double().numpy(),
            "present": class_presence(batch.y, batch.ptr, count)[0].numpy(),
            "class_prob": prob.double().mean(0).numpy(),
            "frequency": class_frequency(batch.y, batch.ptr, count)[0].numpy(),
        })  # fmt: skip
    share = share_numbers(_stack(states, "class_prob"), _stack(states, "frequency"))
    return {"presence": presence_numbers(states), "share": share}


def error_numbers(truths: Sequence[Truth], whole: Sequence[Tensor]) -> dict[str, Any]:
    """Confusions, what became of the objects of every class, and how many errors are near borders.

    Shares are of labelled points; those near borders are lists, one entry a width of :data:`WIDTHS`.
    """
    names, parts, lists = truths[0].names, [], []
    table = torch.zeros(len(names), len(names) + 1, dtype=torch.int64)
    near, near_all, wrong_all = np.zeros((len(WIDTHS), len(names))), np.zeros(len(WIDTHS)), 0
    wrong_of = np.zeros(len(names))
    points = 0
    for truth, voxels in zip(truths, whole, strict=True):
        pred, label = voxels.argmax(1).numpy()[truth.room.row], truth.label
        table += confusion(torch.from_numpy(pred), torch.from_numpy(label), len(names))
        known = label >= 0
        wrong = known & (pred != label)
        wrong_of += np.bincount(label[wrong], minlength=len(names))
        near += [np.bincount(label[wrong & border], minlength=len(names)) for border in truth.borders]
        near_all += [np.count_nonzero(border & known) for border in truth.borders]
        wrong_all, points = wrong_all + int(wrong.sum()), points + int(known.sum())
        part = count_objects(
            pred, label, truth.room.sample.instance, num_classes=len(names), contrast=truth.contrast
        )
        parts.append(part)
        lists += [
            {"room": truth.room.sample.name, "instance": int(number), "class": names[own], "points": int(total),
             "right": round(float(right), 4), "contrast": round(float(contrast), 1),
             "taken_for": names[int(row.argmax())]}
            for number, own, total, right, contrast, row in zip(
                part.instance, part.label, part.points, part.right, part.contrast, part.predicted)
            if names[own] in LISTED
        ]  # fmt: skip
    objects = joined(parts)
    return {
        "confusion": table.tolist(),
        "wrong": wrong_all / points,
        "near_border": (near.sum(axis=1) / max(wrong_all, 1)).tolist(),
        "near_border_of_class": (near / np.maximum(wrong_of, 1)).tolist(),
        "all_points_near_border": (near_all / points).tolist(),
        "objects": {name: asdict(describe_class(objects, number)) for number, name in enumerate(names)},
        "each_object": lists,
    }


def state_numbers(found: Findings) -> dict[str, Any]:
    """The state of the context modules over the rooms, and how far crops are from whole rooms."""
    states = found.states
    if not states or not states[0]:
        return {}
    crops = [(number, state) for number, parts in enumerate(found.crop_states) for state in parts]
    numbers: dict[str, Any] = {}
    if "channel" in states[0]:
        vectors = _stack(states, "channel")
        numbers["channel_mean"] = float(vectors.mean())
        numbers["channel_std_between_rooms"] = float(vectors.std(axis=0).mean())
        numbers["channel_std_over_channels"] = float(vectors.mean(axis=0).std())
        if crops:
            of_crops = np.stack([state["channel"] for _, state in crops])
            own = vectors[[number for number, _ in crops]]
            numbers |= shift(vectors, of_crops, own)
    if "occupancy" in states[0]:
        occupancy = _stack(states, "occupancy").mean(axis=0)
        numbers["codewords_over_1_percent"] = int((occupancy > 0.01).sum())
        numbers["largest_codeword"] = float(occupancy.max())
        numbers["sharpness"] = float(_stack(states, "sharpness").mean())
        numbers["token_norm"] = float(_stack(states, "token_norm").mean())
    if "presence" in states[0]:
        numbers["presence"] = presence_numbers(states)
        if crops:
            numbers["presence_crops"] = presence_numbers([state for _, state in crops])
    if "class_prob" in states[0]:
        prob, frequency = _stack(states, "class_prob"), _stack(states, "frequency")
        numbers["share"] = share_numbers(prob, frequency)
        numbers["affinity"] = _stack(states, "affinity").mean(axis=0).tolist()
        numbers["affinity_largest"] = float(_stack(states, "largest").mean())
    if "entropy" in states[0]:
        for name in ("entropy", "largest", "seen", "added"):
            numbers[name] = _stack(states, name).mean(axis=0).tolist()
    return numbers


def _stack(states: Sequence[State], name: str) -> np.ndarray:
    return np.stack([state[name] for state in states]).astype(np.float64)


def shift(rooms: np.ndarray, crops: np.ndarray, own: np.ndarray) -> dict[str, float]:
    """How far vectors of crops are from those of their rooms, in units of how far rooms are from each other.

    Args:
        rooms: ``(R, C)``.
        crops: ``(P, C)``.
        own: The vector of the room of every crop, ``(P, C)``.

    Returns:
        ``shift``: root mean square distance of a crop to its room over that of two rooms; ``bias``: length of the
        mean difference over the same.
    """
    count = len(rooms)
    squares = 2 * count / max(count - 1, 1) * rooms.var(axis=0).sum()
    between = max(float(np.sqrt(squares)), 1e-12)
    difference = crops - own
    return {
        "shift": float(np.sqrt(np.square(difference).sum(axis=1).mean())) / between,
        "bias": float(np.linalg.norm(difference.mean(axis=0))) / between,
    }


def presence_numbers(states: Sequence[State]) -> dict[str, float]:
    """How well classes are known to be there, over those that some clouds have and some have not.

    Returns:
        ``right`` share of right answers, ``constant`` that of the best constant answer for every class.
    """
    said, true = _stack(states, "presence") > 0.5, _stack(states, "present") > 0.5
    varying = true.any(axis=0) & ~true.all(axis=0)
    if not varying.any():
        return {"right": 1.0, "constant": 1.0}
    said, true = said[:, varying], true[:, varying]
    rate = true.mean(axis=0)
    return {"right": float((said == true).mean()), "constant": float(np.maximum(rate, 1 - rate).mean())}


def share_numbers(prob: np.ndarray, frequency: np.ndarray) -> dict[str, float]:
    """How well the shares of the classes ``(R, K)`` are known.

    Returns:
        ``correlation`` of what differs between rooms; ``error`` mean absolute error, ``constant`` that of the mean
        shares of all rooms.
    """
    differing, true = prob - prob.mean(axis=0), frequency - frequency.mean(axis=0)
    norm = max(float(np.linalg.norm(differing) * np.linalg.norm(true)), 1e-12)
    return {
        "correlation": float((differing * true).sum()) / norm,
        "error": float(np.abs(prob - frequency).mean()),
        "constant": float(np.abs(true).mean()),
    }
