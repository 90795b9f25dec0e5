"""Predict the class of every point of a scene of any size."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from pcseg.checkpoint import LoadedModel
from pcseg.data.rooms import with_height
from pcseg.data.sample import Sample
from pcseg.data.scene_batch import scene_batch
from pcseg.data.voxels import VoxelGroups, group_by_voxel
from pcseg.errors import UserError
from pcseg.inference.blocks import Block, Region, cut_into_blocks, cut_into_windows
from pcseg.inference.device import Precision, device_of, evaluating
from pcseg.inference.tta import SINGLE_PASS, SceneTransform
from pcseg.ops.voxels import VoxelSet
from pcseg.values import Meters, PositiveInt, checked

logger = logging.getLogger("pcseg")

Fragments = PositiveInt | Literal["all"]
"""Number of forward passes per scene; see :func:`predict_scene`."""

POINTS_PER_PASS = 400_000
"""Default maximum number of voxels per forward pass."""

MOST_FRAGMENTS = 128
"""Maximum number of forward passes of ``fragments="all"``; more points of one voxel add nothing new."""

CHUNK = 1_000_000
"""Number of points whose scores are gathered at a time."""


@checked("--")
@dataclass(frozen=True, kw_only=True)
class PointOptions:
    """Split of a scene into forward passes.

    Args:
        fragments: Number of forward passes per scene, see :func:`predict_scene`; 1 is the fastest.
        points_per_pass: Maximum number of voxels per forward pass, which bounds the memory of the model. Larger
            scenes are cut into blocks. Default: that of the model, otherwise :data:`POINTS_PER_PASS`.
        margin: Width in meters of the context around a block. Scores in the context are not used.
        precision: Arithmetic of the model; scores are averaged in fp32.
        blend: Cut larger scenes into overlapping windows, and average their scores with weights: for models whose
            logits depend on all that they see.

    Raises:
        UserError: A number is out of range.
    """

    fragments: Fragments = 1
    points_per_pass: PositiveInt | None = None
    margin: Meters = 1.0
    precision: Precision = "fp32"
    blend: bool = False

    @property
    def most(self) -> int:
        """Maximum number of voxels per forward pass."""
        return self.points_per_pass or POINTS_PER_PASS

    def for_model(self, model: LoadedModel) -> "PointOptions":
        """Return options that suit a model where they are not given."""
        given = self if self.points_per_pass else replace(self, points_per_pass=model.points_per_pass)
        return replace(given, points_per_pass=given.most, blend=not model.network.head.is_local)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Predictions for a scene; row i belongs to point i of the scene.

    Args:
        label: Most probable class, ``(N,)`` int16.
        confidence: Probability of this class, ``(N,)`` float32.
        probability: Probabilities of all classes, ``(N, K)`` float32, if requested.
        first: Prediction of the first TTA pass alone, if there are several.
    """

    label: np.ndarray
    confidence: np.ndarray
    probability: np.ndarray | None = None
    first: "Prediction | None" = None


def predict_scene(
    model: nn.Module,
    sample: Sample,
    *,
    grid_size: float,
    features: Sequence[str],
    options: PointOptions = PointOptions(),
    passes: Sequence[SceneTransform] = SINGLE_PASS,
    probabilities: bool = False,
    origin: np.ndarray | None = None,
    region: Region | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Prediction:
    """Predict the class of every point of a scene with any number of points.

    Points are grouped by voxel. A forward pass sees one point per voxel (a fragment), and softmax scores are
    averaged over forward passes. With ``fragments="all"`` there are as many forward passes as the fullest voxel
    has points; pass i uses point ``i % count`` of every voxel, and a point gets the mean score of the passes that
    use it (the test mode of Pointcept's GridSample). With a number, that many points per voxel are used, and all
    points of a voxel get the mean score of the voxel.

    Args:
        model: Module whose ``forward(batch)`` returns an object with ``logits``. It runs on the device of its
            parameters.
        sample: The scene; labels and instances are not used.
        grid_size: Edge length of a voxel in meters.
        features: Names of the input features, in order.
        options: Split of the scene into forward passes.
        passes: TTA passes. Each transformed scene is voxelized and predicted, and the scores are averaged. Memory
            holds the probabilities of two passes, whatever their number.
        probabilities: Return the probabilities of all classes.
        origin: Cell ``(3,)`` of the grid through the world origin where voxel coordinates begin, such as the corner of
            a scene of which ``sample`` is a part; default: the corner of ``sample``.
        region: Part of the grid that is predicted if ``sample`` is a part of a scene that is cut into windows; the
            other points are context, and their predictions have no meaning.
        on_progress: Function that is called after every forward pass with the finished share.

    Raises:
        UserError: The scene has NaN coordinates or lacks a feature, or the model returns NaN.

    Convention:
        ``fragments="all"`` makes at most :data:`MOST_FRAGMENTS` passes, and none for voxels that are far fuller than
        all others (see :func:`most_fragments`). The points of a voxel that no pass uses get the mean score of those
        that are used, and a warning names their number.

        All fragments of a block have the same voxels, so they share one :class:`VoxelSet` as ``batch.voxels``:
        kernel maps built in the first pass are reused. ``batch.grid_pos`` starts at the corner of the scene, not
        of the block, so coarse voxels of a block are those of the whole scene.
    """
    if sample.num_points == 0:
        nothing = np.empty((0, 0), dtype=np.float32) if probabilities else None
        return Prediction(
            label=np.empty(0, np.int16), confidence=np.empty(0, np.float32), probability=nothing
        )
    runner = _SceneRunner(model, tuple(features), grid_size, options, origin, region)
    number = 0

    def advance(share: float) -> None:
        if on_progress is not None:
            on_progress((number + share) / len(passes))

    with evaluating(model, options.precision):
        if len(passes) == 1:
            scores, row = runner.scores(passes[0](sample), advance)
            return _decide(scores, row, probabilities=probabilities, name=sample.name)
        total: Tensor | None = None
        first: Prediction | None = None
        for number, transform in enumerate(passes):
            total = runner.add_scores(total, transform(sample), advance)
            if number == 0:
                first = _decide(total, slice(None), probabilities=False, name=sample.name)
    assert total is not None, "no passes"
    mean = _decide(total, slice(None), probabilities=probabilities, name=sample.name)
    return replace(mean, first=first)


def most_fragments(count: np.ndarray) -> int:
    """Return the number of passes that ``fragments="all"`` makes for voxels with ``count`` points, ``(V,)``.

    This is the number of points in the fullest voxel that has at most four times as many as 99 % of the voxels, or
    16. A fuller one, such as that of a scanner's own position, would multiply the time of the whole scene.
    """
    usual = np.partition(count, 99 * (len(count) - 1) // 100)[99 * (len(count) - 1) // 100]
    counted = count[count <= max(4 * usual, 16)]
    return int(min(counted.max() if len(counted) else 16, MOST_FRAGMENTS))


def _decide(scores: Tensor, row: np.ndarray | slice, *, probabilities: bool, name: str) -> Prediction:
    """Return labels and confidences from summed scores ``(R, K)``; ``row`` is the row of scores of each point."""
    total = scores.sum(dim=1)
    largest, label = scores.max(dim=1)
    confidence = largest / total
    if confidence.isnan().any():
        raise UserError(
            f"{name}: the model returns NaN. Its checkpoint is damaged or its training diverged: train again."
        )
    return Prediction(
        label=label.to(torch.int16).numpy()[row],
        confidence=confidence.numpy()[row],
        probability=(scores / total[:, None]).numpy()[row] if probabilities else None,
    )


@dataclass(frozen=True)
class _SceneRunner:
    """Runs a model over transformed scenes."""

    model: nn.Module
    features: tuple[str, ...]
    grid_size: float
    options: PointOptions
    origin: np.ndarray | None
    region: Region | None

    @property
    def by_point(self) -> bool:
        return self.options.fragments == "all"

    def scores(self, sample: Sample, advance: Callable[[float], None]) -> tuple[Tensor, np.ndarray]:
        """Return summed scores, one row per point or per voxel, and the row of each point, ``(N,)``."""
        try:
            groups = group_by_voxel(sample.pos, self.grid_size)
        except UserError as error:
            raise UserError(f"{sample.name}: {error}") from error
        scores: Tensor | None = None
        most = most_fragments(groups.count) if self.by_point else int(self.options.fragments)
        full = groups.count > most if self.by_point else np.zeros(0, bool)
        if full.any():
            logger.warning(
                "%s: %d voxels have more than %d points, up to %d. %d of their points are not shown to the model and "
                "get the mean of their voxel.",
                sample.name, full.sum(), most, groups.num_fragments, (groups.count[full] - most).sum(),
            )  # fmt: skip
        for target, probability in self._run_all(sample, groups, most, advance):
            if scores is None:
                rows = groups.num_points if self.by_point else groups.num_voxels
                scores = torch.zeros(rows, probability.shape[1])
            scores[torch.from_numpy(target)] += probability
        assert scores is not None
        if self.region is not None:
            scores[scores.sum(dim=1) == 0] = 1.0  # in no window
        for voxel in np.flatnonzero(full).tolist():
            shown = groups.ptr[voxel] + most
            scores[shown : groups.ptr[voxel + 1]] = scores[groups.ptr[voxel] : shown].mean(dim=0)
        return scores, _inverse(groups.order) if self.by_point else groups.inverse

    def add_scores(self, total: Tensor | None, sample: Sample, advance: Callable[[float], None]) -> Tensor:
        """Return ``total`` ``(N, K)``, in the order of the scene, plus the scores of this TTA pass.

        Every TTA pass has its own voxels, so the sums of points of one voxel differ.
        """
        scores, row = self.scores(sample, advance)
        total = torch.zeros(len(row), scores.shape[1]) if total is None else total
        for start in range(0, len(row), CHUNK):
            total[start : start + CHUNK] += scores[torch.from_numpy(row[start : start + CHUNK])]
        return total

    def _run_all(
        self, sample: Sample, groups: VoxelGroups, most: int, advance: Callable[[float], None]
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield the scores of every forward pass and their rows: points sorted by voxel, or voxels."""
        sample = sample if sample.height is not None else with_height(sample, self.features)
        # for several passes sorted by voxel once, so that every pass reads memory in order
        ordered = sample.take(groups.order) if most > 1 else None
        margin = int(np.ceil(self.options.margin / self.grid_size))
        most_voxels = self.options.most
        if self.options.blend and (self.region is not None or groups.num_voxels > most_voxels):
            blocks = cut_into_windows(
                groups.grid_pos, groups.origin, max_voxels=most_voxels, margin=margin, region=self.region
            )
        else:
            blocks = cut_into_blocks(groups.grid_pos, max_voxels=most_voxels, margin=margin)
        fragments = [min(most, int(groups.count[block.rows[block.core]].max())) for block in blocks]
        done = 0
        for block, number in zip(blocks, fragments):
            for shown, probability in self._run_block(block, number, groups, sample, ordered):
                if block.weight is not None:
                    probability *= torch.from_numpy(block.weight)[:, None]
                yield (shown if self.by_point else block.rows)[block.core], probability
                done += 1
                advance(done / sum(fragments))

    def _run_block(
        self, block: Block, fragments: int, groups: VoxelGroups, sample: Sample, ordered: Sample | None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield the points of each fragment, by their positions in ``groups.order``, and the scores of the core."""
        start, count = groups.ptr[block.rows], groups.count[block.rows]
        grid_pos, device = groups.grid_pos[block.rows], device_of(self.model)
        if self.origin is not None:
            grid_pos = (grid_pos + (groups.origin - self.origin)).astype(np.int32)
        core = torch.from_numpy(block.core).to(device)
        voxels: VoxelSet | None = None
        for number in range(fragments):
            shown = start + number % count
            points = sample.take(groups.order[shown]) if ordered is None else ordered.take(shown)
            fragment = replace(points, grid_pos=grid_pos)
            batch = scene_batch(fragment, self.features).to(device)
            voxels = VoxelSet(batch.grid_pos, batch.ptr) if voxels is None else voxels
            batch.voxels = voxels
            yield shown, self.model(batch).logits[core].float().softmax(dim=1).cpu()


def _inverse(order: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse
