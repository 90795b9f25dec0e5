"""Baselines that ignore shape, as a reference for the scores of a model."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from pcseg.data.features import ground_height, input_features
from pcseg.data.manifest import SceneEntry
from pcseg.data.rooms import RoomFiles
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX
from pcseg.metrics.confusion import ConfusionMatrix

TEST_POINTS = 1_000_000
"""Maximum number of points on which the random forest is scored."""


def score_baselines(
    root: Path, train: tuple[SceneEntry, ...], test: tuple[SceneEntry, ...], names: Sequence[str]
) -> dict[str, ConfusionMatrix]:
    """Train baselines on the scenes ``train``, score them on ``test``, and return the scores by description."""
    train_counts, test_counts = (
        np.sum([entry.class_histogram for entry in entries], axis=0).tolist() for entries in (train, test)
    )
    train_rooms, test_rooms = (RoomFiles(root=root, entries=entries) for entries in (train, test))
    most_frequent = names[int(np.argmax(train_counts))]
    total = sum(entry.num_points for entry in test)
    scored = "all points" if total <= TEST_POINTS else f"{TEST_POINTS:,} random points"
    constant = most_frequent_class(train_counts, test_counts)
    forest = height_and_color(train_rooms, test_rooms, num_classes=len(names))
    return {
        f"{most_frequent} everywhere (most frequent training class)": constant,
        f"random forest on height and color of single points ({scored})": forest,
    }


def most_frequent_class(train_counts: Sequence[int], test_counts: Sequence[int]) -> ConfusionMatrix:
    """Score the most frequent training class as the prediction of every test point; counts are labeled points."""
    matrix = ConfusionMatrix(len(test_counts))
    matrix.counts[:, int(np.argmax(train_counts))] = torch.tensor(test_counts)
    return matrix


def height_and_color(
    train: RoomFiles,
    test: RoomFiles,
    *,
    num_classes: int,
    train_points: int = 200_000,
    test_points: int = TEST_POINTS,
) -> ConfusionMatrix:
    """Score a random forest on the height above the floor and the color of single points.

    Random points are distributed over the rooms by their size.

    Raises:
        UserError: scikit-learn is not installed, or no training point has a label.
    """
    require_sklearn()
    from sklearn.ensemble import RandomForestClassifier

    features, labels = (np.concatenate(parts) for parts in zip(*_random_points(train, train_points)))
    if len(labels) == 0:
        raise UserError(f"{train.root}: no labeled training points for the baselines. Leave out --baselines.")
    forest = RandomForestClassifier(n_estimators=40, min_samples_leaf=5, n_jobs=-1, random_state=0)
    forest.fit(features, labels)
    matrix = ConfusionMatrix(num_classes)
    for features, labels in _random_points(test, test_points):
        if len(labels):
            matrix.update(torch.from_numpy(forest.predict(features)), torch.from_numpy(labels))
    return matrix


def require_sklearn() -> None:
    """Raise :class:`UserError` if scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UserError("--baselines: needs scikit-learn. Run: pip install scikit-learn") from error


def _random_points(files: RoomFiles, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield features and labels of random labeled points of each room, ``number`` points from all rooms."""
    share = min(number / max(sum(entry.num_points for entry in files.entries), 1), 1.0)
    for room in range(len(files)):
        sample = files.load(room)
        ground = ground_height(sample.pos)
        rng = np.random.default_rng((0, room))
        rows = rng.choice(sample.num_points, int(np.ceil(share * sample.num_points)), replace=False)
        rows = rows[sample.label[rows] != IGNORE_INDEX]
        pos, color = sample.pos[rows], sample.color[rows]
        features = input_features(("height", "color"), pos=pos, color=color, ground=ground)
        yield features, sample.label[rows].astype(np.int64)
