"""Predictions for every original point of a scene, however large."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from pcseg.data.dataset import with_height
from pcseg.data.sample import Sample
from pcseg.data.scene_batch import scene_batch
from pcseg.data.voxels import VoxelGroups, group_by_voxel
from pcseg.errors import UserError
from pcseg.inference.blocks import Block, cut_into_blocks
from pcseg.ops.voxels import VoxelSet

Vote = Callable[[Sample], Sample]
"""Changes positions, normals or colours of a scene row by row; the scores of several votes are averaged."""

Fragments = int | Literal["all"]
"""Passes over a scene; see :func:`predict_scene`."""

CHUNK = 1_000_000
"""Points whose scores are gathered at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a model says about the points of a scene; row i is point i of the scene as it was given.

    Args:
        label: Most probable class, ``(N,)`` int16.
        confidence: Its probability, ``(N,)`` float32.
        probability: Probabilities of all classes, ``(N, K)`` float32, where asked for.
        first: What the first vote alone says, where there are several.
    """

    label: np.ndarray
    confidence: np.ndarray
    probability: np.ndarray | None = None
    first: "Prediction | None" = None


def identity(sample: Sample) -> Sample:
    """The vote without a change."""
    return sample


def predict_scene(
    model: nn.Module,
    sample: Sample,
    *,
    grid_size: float,
    features: Sequence[str],
    fragments: Fragments = "all",
    points_per_pass: int = 400_000,
    margin: float = 1.0,
    votes: Sequence[Vote] = (identity,),
    probabilities: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Prediction:
    """Predict the class of every point of a scene with any number of points.

    The scene is grouped by voxel. A pass shows the model one point a voxel (a fragment); softmax scores are
    averaged over the passes. With ``fragments="all"`` there are as many passes as the fullest voxel has
    points, pass i shows point ``i % count`` of every voxel, and a point takes the scores of the passes that
    showed it: every point is shown (the test mode of Pointcept's GridSample). With a number, that many points
    of a voxel are shown, and all points of a voxel take the average of its scores: 1 is the fastest.

    Args:
        model: Its ``forward(batch)`` returns an object with ``logits``; runs where its parameters are.
        sample: The scene; labels and instances are not used.
        grid_size: Edge of a voxel in metres.
        features: Names of the input features, in order.
        fragments: Number of passes, or ``all``.
        points_per_pass: Largest number of voxels in a pass, which bounds the memory of the model: a scene
            with more is cut into blocks.
        margin: Width in metres of the context around a block; scores there are not used.
        votes: Changed views of the scene, each voxelised and predicted; scores are averaged. Whatever their
            number, memory for the probabilities of one vote and of the sum is needed.
        probabilities: Return the probabilities of all classes.
        on_progress: Called after every pass with the share that is done.

    Raises:
        UserError: The scene has NaN coordinates or lacks a feature, or the model returns NaN.

    Convention:
        All fragments of a block have the same voxels, so ``batch.voxels`` holds their :class:`VoxelSet`: maps
        that a backbone builds in the first pass serve the others. ``batch.grid_pos`` starts from the scene's
        corner, not the block's: a point inside sees what it would see without blocks.
    """
    if points_per_pass < 1 or (fragments != "all" and fragments < 1):
        raise UserError(f"fragments is {fragments} and points_per_pass {points_per_pass}; choose 1 or more")
    if not margin >= 0:
        raise UserError(f"margin is {margin}; choose 0 or more")
    if sample.num_points == 0:
        nothing = np.empty((0, 0), dtype=np.float32) if probabilities else None
        return Prediction(
            label=np.empty(0, np.int16), confidence=np.empty(0, np.float32), probability=nothing
        )
    runner = _Runner(model, tuple(features), grid_size, fragments, points_per_pass, margin)

    def advance(share: float) -> None:
        if on_progress is not None:
            on_progress((number + share) / len(votes))

    number = 0
    with _evaluating(model):
        if len(votes) == 1:
            scores, row = runner.scores(votes[0](sample), advance)
            return _decide(scores, row, probabilities=probabilities, name=sample.name)
        total: Tensor | None = None
        first: Prediction | None = None
        for number, vote in enumerate(votes):
            total = runner.add_scores(total, vote(sample), advance)
            if number == 0:
                first = _decide(total, slice(None), probabilities=False, name=sample.name)
    assert total is not None, "no votes"
    both = _decide(total, slice(None), probabilities=probabilities, name=sample.name)
    return replace(both, first=first)


def choose_device(name: str) -> torch.device:
    """The device ``name``; ``auto`` is a GPU if there is one.

    Raises:
        UserError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise UserError(f"--device {name}: not available here; choose auto, cpu or cuda") from error
    return device


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def _decide(scores: Tensor, row: np.ndarray | slice, *, probabilities: bool, name: str) -> Prediction:
    """Labels and confidences from summed scores ``(R, K)``; ``row`` says which of them each point takes."""
    total = scores.sum(dim=1)
    largest, label = scores.max(dim=1)
    confidence = largest / total
    if confidence.isnan().any():
        raise UserError(f"{name}: the model returns NaN; its checkpoint is damaged or its training diverged")
    return Prediction(
        label=label.to(torch.int16).numpy()[row],
        confidence=confidence.numpy()[row],
        probability=(scores / total[:, None]).numpy()[row] if probabilities else None,
    )


@dataclass(frozen=True)
class _Runner:
    """One vote over one scene."""

    model: nn.Module
    features: tuple[str, ...]
    grid_size: float
    fragments: Fragments
    points_per_pass: int
    margin: float

    def scores(self, sample: Sample, advance: Callable[[float], None]) -> tuple[Tensor, np.ndarray]:
        """Summed scores, a row for each point or voxel, and the row that each point takes, ``(N,)``."""
        groups = _grouped(sample, self.grid_size)
        scores: Tensor | None = None
        rows = groups.num_points if self._by_point else groups.num_voxels
        for target, probability in self._run_all(sample, groups, advance):
            scores = torch.zeros(rows, probability.shape[1]) if scores is None else scores
            scores[torch.from_numpy(target)] += probability
        assert scores is not None
        return scores, _inverse(groups.order) if self._by_point else groups.inverse

    def add_scores(self, total: Tensor | None, sample: Sample, advance: Callable[[float], None]) -> Tensor:
        """``total`` ``(N, K)``, which has the order of the scene, with the scores of this vote added.

        Every vote has voxels of its own, so points of one voxel differ in the sum.
        """
        if not self._by_point:
            scores, row = self.scores(sample, advance)
            total = torch.zeros(len(row), scores.shape[1]) if total is None else total
            for start in range(0, len(row), CHUNK):
                part = torch.from_numpy(row[start : start + CHUNK])
                total[start : start + CHUNK] += scores[part]
            return total
        groups = _grouped(sample, self.grid_size)
        for target, probability in self._run_all(sample, groups, advance):
            total = torch.zeros(groups.num_points, probability.shape[1]) if total is None else total
            total[torch.from_numpy(groups.order[target])] += probability
        assert total is not None
        return total

    @property
    def _by_point(self) -> bool:
        return self.fragments == "all"

    def _run_all(
        self, sample: Sample, groups: VoxelGroups, advance: Callable[[float], None]
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Scores of every pass, and the rows they belong to: of the points by voxel, or of the voxels."""
        sample = sample if sample.height is not None else with_height(sample)
        # sorted by voxel once, so that every pass reads front to back
        ordered = sample.take(groups.order)
        margin = int(np.ceil(self.margin / self.grid_size))
        blocks = cut_into_blocks(groups.grid_pos, max_voxels=self.points_per_pass, margin=margin)
        passes = [self._passes(groups.count[block.rows[block.core]]) for block in blocks]
        done = 0
        for block, number in zip(blocks, passes):
            for shown, probability in self._run(block, number, groups, ordered):
                yield (shown if self._by_point else block.rows)[block.core], probability
                done += 1
                advance(done / sum(passes))

    def _passes(self, count: np.ndarray) -> int:
        """Passes over voxels with ``count`` points each."""
        most = int(count.max())
        return most if self.fragments == "all" else min(int(self.fragments), most)

    def _run(
        self, block: Block, passes: int, groups: VoxelGroups, ordered: Sample
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """The points that a pass shows, as rows of ``ordered``, and the scores of the block's core."""
        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        start, count = groups.ptr[block.rows], groups.count[block.rows]
        grid_pos = groups.grid_pos[block.rows]
        core = torch.from_numpy(block.core)
        voxels: VoxelSet | None = None
        for number in range(passes):
            shown = start + number % count
            fragment = replace(ordered.take(shown), grid_pos=grid_pos)
            batch = scene_batch(fragment, self.features).to(device)
            voxels = VoxelSet(batch.grid_pos, batch.ptr) if voxels is None else voxels
            batch.voxels = voxels
            logits = self.model(batch).logits
            yield shown, logits[core.to(device)].float().softmax(dim=1).cpu()


def _inverse(order: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse


def _grouped(sample: Sample, grid_size: float) -> VoxelGroups:
    try:
        return group_by_voxel(sample.pos, grid_size)
    except UserError as error:
        raise UserError(f"{sample.name}: {error}") from error
