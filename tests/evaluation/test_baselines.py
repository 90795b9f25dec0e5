import builtins
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.fakes import write_fake_building

from pcseg.data.manifest import Manifest
from pcseg.data.rooms import RoomFiles
from pcseg.data.sample import Sample
from pcseg.errors import UserError
from pcseg.evaluation.baselines import height_and_color, most_frequent_class
from pcseg.labels import S3DIS


def rooms(root: Path, split: str) -> RoomFiles:
    entries = tuple(entry for entry in Manifest.read(root).scenes if entry.split == split)
    return RoomFiles(root=root, entries=entries)


def test_most_frequent_class_by_hand() -> None:
    matrix = most_frequent_class([5, 70, 30], [10, 20, 10])  # everything is class 1
    assert matrix.overall_accuracy() == pytest.approx(20 / 40)
    assert matrix.mean_iou() == pytest.approx((0 + 20 / 40 + 0) / 3)
    assert matrix.mean_accuracy() == pytest.approx(1 / 3)


@pytest.mark.slow
def test_height_and_color_distinguish_the_classes_of_fake_rooms(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    root = write_fake_building(tmp_path, rooms={"Area_1": 2, "Area_5": 2}, num_points=800)
    train, test = rooms(root, "Area_1"), rooms(root, "Area_5")
    matrix = height_and_color(train, test, num_classes=13)
    assert matrix.labeled.sum() == 1600
    assert matrix.overall_accuracy() > 0.9
    again = height_and_color(train, test, num_classes=13)
    assert (again.counts == matrix.counts).all()
    some = height_and_color(train, test, num_classes=13, train_points=300, test_points=400)
    assert some.labeled.sum() == 400


def test_rooms_without_labels_are_an_error(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    root = write_fake_building(tmp_path, rooms={"Area_1": 1}, num_points=50)
    entry = Manifest.read(root).scenes[0]

    class Unlabeled(RoomFiles):
        def load(self, room: int) -> Sample:
            sample = super().load(room)
            return replace(sample, label=np.full_like(sample.label, -1))

    files = Unlabeled(root=root, entries=(entry,))
    with pytest.raises(UserError, match="no labeled training points"):
        height_and_color(files, files, num_classes=S3DIS.num_classes)


def test_without_sklearn_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def no_sklearn(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", no_sklearn)
    empty = RoomFiles(root=Path("nowhere"), entries=())
    with pytest.raises(UserError, match="pip install scikit-learn"):
        height_and_color(empty, empty, num_classes=2)
