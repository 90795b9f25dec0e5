"""What scores are worth: the results of two predictors that know nothing about shape."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pcseg.data.dataset import RoomFiles
from pcseg.data.features import ground_height, input_features
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX
from pcseg.metrics.confusion import ConfusionMatrix


def most_frequent_class(train_counts: Sequence[int], test_counts: Sequence[int]) -> ConfusionMatrix:
    """Every test point is predicted as the most frequent class of the training points.

    Args:
        train_counts: Labelled training points of every class, ``(K,)``.
        test_counts: Labelled test points of every class, ``(K,)``.
    """
    matrix = ConfusionMatrix(len(test_counts))
    matrix.counts[:, int(np.argmax(train_counts))] = torch.tensor(test_counts)
    return matrix


def height_and_color(
    train: RoomFiles,
    test: RoomFiles,
    *,
    num_classes: int,
    train_points: int = 200_000,
    test_points: int = 1_000_000,
    seed: int = 0,
) -> ConfusionMatrix:
    """A random forest on the height above the floor and the colour of single points.

    Args:
        train: Rooms that it learns from.
        test: Rooms that it is scored on.
        num_classes: K.
        train_points: Random points of ``train`` that it learns from, shared out by the rooms' sizes.
        test_points: Random points of ``test`` that are scored.
        seed: Seeds points and forest.

    Raises:
        UserError: scikit-learn is not installed, or there is no labelled training point.
    """
    require_sklearn()
    from sklearn.ensemble import RandomForestClassifier

    features, labels = (np.concatenate(parts) for parts in zip(*_random_points(train, train_points, seed)))
    if len(labels) == 0:
        raise UserError(f"{train.root}: the baseline finds no labelled point to learn from")
    forest = RandomForestClassifier(n_estimators=40, min_samples_leaf=5, n_jobs=-1, random_state=seed)
    forest.fit(features, labels)
    matrix = ConfusionMatrix(num_classes)
    for features, labels in _random_points(test, test_points, seed):
        if len(labels):
            matrix.update(torch.from_numpy(forest.predict(features)), torch.from_numpy(labels))
    return matrix


def require_sklearn() -> None:
    """Raise :class:`UserError` if scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UserError("baselines need scikit-learn: pip install scikit-learn") from error


def _random_points(files: RoomFiles, number: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features and labels of labelled points drawn from every room, ``number`` from all rooms together."""
    share = min(number / max(sum(entry.num_points for entry in files.entries), 1), 1.0)
    for room in range(len(files)):
        sample = files.load(room)
        ground = ground_height(sample.pos)
        rng = np.random.default_rng((seed, room))
        rows = rng.choice(sample.num_points, int(np.ceil(share * sample.num_points)), replace=False)
        rows = rows[sample.label[rows] != IGNORE_INDEX]
        pos, color = sample.pos[rows], sample.color[rows]
        features = input_features(("height", "color"), pos=pos, color=color, ground=ground)
        yield features, sample.label[rows].astype(np.int64)
