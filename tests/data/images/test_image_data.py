"""Image data of an experiment: splits, held-out rooms, batches that depend on seed and epoch alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.fake_images import save, write_images, write_room_frames
from helpers.fakes import write_fake_building

from pcseg.data.images.image_data import ImageData
from pcseg.data.room_data import RoomData
from pcseg.errors import UserError

SMALL = {"dataset": "room_frames", "crop_size": (32, 40), "batch_size": 2}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_room_frames(tmp_path_factory.mktemp("frames"), rooms={"Area_1": 5, "Area_2": 4, "Area_5": 2})


def test_held_out_rooms_are_those_of_the_point_models(frames: Path, tmp_path: Path) -> None:
    building = write_fake_building(tmp_path, rooms={"Area_1": 5, "Area_2": 4, "Area_5": 2}, num_points=50)
    rooms = RoomData(building, val_fraction=0.1)
    images = ImageData(frames, **SMALL, val_fraction=0.1)
    for points, pictures in (
        (rooms.val_rooms, images.val_pictures),
        (rooms.train_rooms, images.train_pictures),
    ):
        assert {f"{room.split}/{room.name}" for room in points} == {f"{p.split}/{p.group}" for p in pictures}
    assert "Area_5" not in {p.split for p in (*images.train_pictures, *images.val_pictures)}


def test_batches(frames: Path) -> None:
    data = ImageData(frames, **SMALL)
    batches = list(data.train_dataloader(seed=3))
    assert len(batches) == len(data.train_pictures) // 2
    batch = batches[0]
    assert batch.image.shape == (2, 3, 32, 40)
    assert batch.y.shape == (2 * 32 * 40,)
    assert torch.equal(batch.y.view(2, 32, 40), batch.labels)
    assert batch.num_graphs == 2
    assert batch.to("cpu").names == batch.names
    again = list(data.train_dataloader(seed=3))
    assert all(torch.equal(one.image, two.image) for one, two in zip(batches, again))
    other = next(iter(data.train_dataloader(seed=4)))
    assert not torch.equal(other.image, batch.image)


def test_loader_resumes_inside_an_epoch(frames: Path) -> None:
    data = ImageData(frames, **SMALL)
    whole = [batch.image for batch in data.train_dataloader(seed=1)]
    loader = data.train_dataloader(seed=1)
    loader.load_state_dict({"epoch": 0, "batch": 3})
    rest = [batch.image for batch in loader]
    assert len(rest) == len(whole) - 3
    assert all(torch.equal(one, two) for one, two in zip(rest, whole[3:]))


def test_validation_shows_whole_images_once(frames: Path) -> None:
    data = ImageData(frames, **SMALL | {"crop_size": (60, 40)}, val_splits=["Area_2"])
    batches = list(data.val_dataloader())
    assert sorted(name for batch in batches for name in batch.names) == sorted(
        p.name for p in data.val_pictures
    )
    assert all(batch.image.shape == (1, 3, 60, 64) for batch in batches)
    assert all(
        (batch.labels[:, 48:] == -1).all() and (batch.image[:, :, 48:] == 0).all() for batch in batches
    )


def test_validation_images_have_the_size_of_training(frames: Path) -> None:
    data = ImageData(frames, **SMALL | {"crop_size": (24, 32), "base_size": 32})
    batch = next(iter(data.val_dataloader()))
    assert batch.image.shape == (1, 3, 24, 32)
    assert batch.labels.shape == (1, 24, 32)


def test_frames_of_scannet_have_the_size_of_their_labels(tmp_path: Path) -> None:
    root = write_images(tmp_path, "scannet_frames")
    data = ImageData(root, dataset="scannet_frames", crop_size=(32, 32))
    assert data.augmentation.base_size == 640
    data = ImageData(root, dataset="scannet_frames", crop_size=(32, 32), base_size=64)
    assert data.augmentation.base_size == 64


def test_classes_are_counted(frames: Path) -> None:
    data = ImageData(frames, **SMALL)
    counts = torch.zeros(13, dtype=torch.long)
    for picture in data.train_pictures:
        label = torch.from_numpy(data.reader.read(picture)[1].astype("int64"))
        counts += torch.bincount(label[label >= 0], minlength=13)
    assert torch.equal(data.class_counts, counts)


def test_public_sets_keep_their_validation_for_the_test(tmp_path: Path) -> None:
    data = ImageData(write_images(tmp_path, "cityscapes"), dataset="cityscapes", crop_size=(32, 32))
    assert tuple(data.test_splits) == ("val",)
    assert {p.group for p in data.train_pictures}.isdisjoint({p.group for p in data.val_pictures})
    assert {p.split for p in (*data.train_pictures, *data.val_pictures)} == {"train"}


def test_invalid_splits_are_refused(frames: Path) -> None:
    with pytest.raises(UserError, match=r"data\.train_splits and data\.test_splits share 'Area_5'"):
        ImageData(frames, **SMALL, train_splits=["Area_1", "Area_5"])
    with pytest.raises(UserError, match=r"data\.val_splits and data\.test_splits share 'Area_5'"):
        ImageData(frames, **SMALL, val_splits=["Area_5"])
    with pytest.raises(UserError, match="no split 'Area_9', found: Area_1, Area_2, Area_5"):
        ImageData(frames, **SMALL, train_splits=["Area_9"])
    with pytest.raises(UserError, match=r"data\.batch_size"):
        ImageData(frames, **SMALL | {"batch_size": 0})


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    root = write_room_frames(tmp_path / "frames", rooms={"Area_1": 4, "Area_2": 2, "Area_5": 1})
    for area in ("Area_2", "Area_5"):
        for label in (root / area).rglob("label/*.png"):
            save(np.zeros((48, 64), np.uint8), label)
    data = ImageData(root, **SMALL, train_splits=["Area_1"])
    assert data.has_val_labels
    data = ImageData(root, **SMALL, train_splits=["Area_1"], val_splits=["Area_2"])
    assert not data.has_val_labels
    assert not ImageData(root, **SMALL, train_splits=["Area_2"]).class_counts.any()
    public = write_images(tmp_path / "city", "cityscapes")
    (public / "leftImg8bit" / "val").rename(public / "leftImg8bit" / "test")
    with pytest.raises(UserError, match="no images to train on"):
        ImageData(public, dataset="cityscapes", crop_size=(32, 32), train_splits=["test"], test_splits=[])


def test_an_image_with_two_names_does_not_leak_from_the_test_split(tmp_path: Path) -> None:
    root = write_images(tmp_path, "ade20k")
    (tested,) = (root / "images" / "validation").iterdir()
    link = root / "images" / "training" / "ADE_train_00000009.jpg"
    link.symlink_to(tested)
    with pytest.raises(UserError, match=r"ADE_train_00000009\.jpg: the same file is in the test split"):
        ImageData(root, dataset="ade20k", crop_size=(32, 32))
    link.unlink()
    (root / "images" / "training").rename(tmp_path / "disk")
    (root / "images" / "training").symlink_to(tmp_path / "disk")
    assert len(ImageData(root, dataset="ade20k", crop_size=(32, 32), val_fraction=0).train_pictures) == 3


def test_output_beside_frames_is_no_split(tmp_path: Path) -> None:
    root = write_room_frames(tmp_path, rooms={"Area_1": 3, "Area_5": 1})
    write_fake_building(root / "prepared", rooms={"Area_1": 1}, num_points=50)
    (root / "runs").mkdir()
    (root / "Area_1" / "predictions").mkdir()
    color = root / "Area_1" / "office_1" / "color"
    save(np.zeros((48, 64, 3), np.uint8), color / "000000_overlay.jpg")  # as pcseg predict writes
    save(np.zeros((48, 64), np.uint8), color / "000000.png")
    data = ImageData(root, **SMALL)
    assert data.reader.splits == ("Area_1", "Area_5")
    assert len(data.train_pictures) + len(data.val_pictures) == 6


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("crop_size", (0, 8)),
        ("scale_step", 0.0),
        ("base_size", 0),
        ("short_sides", []),
        ("short_sides", [300, 0]),
        ("color_jitter", 1.0),
        ("hue_jitter", 181),
    ],
)
def test_augmentations_out_of_range_are_refused(frames: Path, option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^data\.{option}: "):
        ImageData(frames, **SMALL | {option: value})
