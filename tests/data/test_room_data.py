"""From a prepared folder to batches: splits, determinism, workers, resuming, errors."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from benchmarks.cloud_parts import scan
from helpers.fakes import fake_room, write_fake_building
from jsonargparse import ArgumentParser
from torch_geometric.data import Batch

from pcseg.data import loaders
from pcseg.data.ground import local_ground
from pcseg.data.loaders import SampleKey
from pcseg.data.manifest import Manifest, describe_scene
from pcseg.data.room_data import RoomData
from pcseg.data.rooms import RoomFiles, in_room_axes
from pcseg.data.sample import Sample
from pcseg.data.scenes import read_scene, write_scene
from pcseg.data.training_data import hold_out
from pcseg.data.transforms.geometry import rotation
from pcseg.errors import UserError
from pcseg.labels import S3DIS


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("building")
    return write_fake_building(folder, rooms={"Area_1": 4, "Area_2": 3, "Area_5": 2}, num_points=1000)


def data(building: Path, **options) -> RoomData:
    return RoomData(building, **{"grid_size": 0.2, "batch_size": 2, "mix_prob": 0.5, "loop": 2} | options)


def contents(batch: Batch) -> tuple:
    return (*batch.scene, *(batch[name].numpy().tobytes() for name in ("x", "pos", "grid_pos", "y", "ptr")))


def epoch(loader, number: int) -> list[tuple]:
    loader.sampler.set_epoch(number)
    return [contents(batch) for batch in loader]


def names(rooms: tuple) -> list[str]:
    return [f"{room.split}/{room.name}" for room in rooms]


def test_a_training_batch(building: Path) -> None:
    rooms = data(building, features=["height", "color", "pos"], mix_prob=0.0, max_voxels=150)
    batch = next(iter(rooms.train_dataloader()))
    assert batch.x.shape == (len(batch.pos), rooms.in_channels) == (batch.num_nodes, 7)
    assert (batch.x.dtype, batch.pos.dtype) == (torch.float32, torch.float32)
    assert (batch.grid_pos.dtype, batch.y.dtype) == (torch.int32, torch.int64)
    assert batch.y.min() >= -1
    assert batch.y.max() < rooms.schema.num_classes == 13
    assert batch.num_graphs == 2
    for graph in batch.to_data_list():
        assert 0 < graph.num_nodes <= 150
        assert graph.grid_pos.min(dim=0).values.tolist() == [0, 0, 0]
        assert len(graph.grid_pos.unique(dim=0)) == graph.num_nodes


def test_splits_are_disjoint_and_rooms_are_held_out_by_name(building: Path) -> None:
    rooms = data(building)
    assert {room.split for room in rooms.test_rooms} == {"Area_5"}
    assert {room.split for room in rooms.val_rooms} == {"Area_1", "Area_2"}
    assert len(rooms.val_rooms) == 2
    everything = names(rooms.train_rooms) + names(rooms.val_rooms) + names(rooms.test_rooms)
    assert sorted(everything) == names(rooms.manifest.scenes)
    assert names(data(building, train_splits=["Area_1"]).val_rooms) == names(rooms.val_rooms)[:1]
    assert len(data(building, val_fraction=0.5).val_rooms) == 2 + 2
    assert data(building, val_fraction=0).val_rooms == ()
    assert names(data(building, val_rooms=["Area_2/office_3"]).val_rooms) == ["Area_2/office_3"]
    published = data(building, train_splits=["Area_1"], val_splits=["Area_2"])
    assert {room.split for room in published.train_rooms} == {"Area_1"}
    assert len(published.train_rooms) == 4
    counts = sum(np.array(room.class_histogram) for room in rooms.train_rooms)
    assert rooms.class_counts.tolist() == counts.tolist()


def test_splits_of_single_rooms_leave_one_room_for_validation(tmp_path: Path) -> None:
    write_fake_building(tmp_path, rooms={"Area_1": 1, "Area_2": 1, "Area_5": 1}, num_points=50)
    rooms = data(tmp_path)
    assert (len(rooms.train_rooms), len(rooms.val_rooms)) == (1, 1)


def test_scans_of_one_space_stay_together() -> None:
    scenes = {
        f"train/{space}_{scan}": f"train/{space}" for space in range(40) for scan in range(1 + space % 4)
    }
    for share in (0.01, 0.1, 0.5, 0.9):
        held = hold_out(scenes, share)
        assert {scenes[name] for name in held}.isdisjoint(scenes[name] for name in scenes if name not in held)
        assert share * len(scenes) - 1 <= len(held) <= share * len(scenes) + 4
    assert hold_out(scenes, 0) == set()
    assert hold_out({"train/a_0": "train/a", "train/a_1": "train/a"}, 0.5) == set()
    assert len(hold_out({f"train/{name}": f"train/{name}" for name in "abc"}, 0.9)) == 2


def test_the_space_of_a_scan_is_read_from_the_manifest(tmp_path: Path) -> None:
    write_fake_building(tmp_path, rooms={"Area_1": 6}, num_points=50)
    manifest = Manifest.read(tmp_path)
    scenes = tuple(replace(entry, space=f"room_{k // 2}") for k, entry in enumerate(manifest.scenes))
    replace(manifest, scenes=scenes).write(tmp_path)
    rooms = data(tmp_path, test_splits=[], val_fraction=0.3)
    assert len(rooms.val_rooms) == 2
    assert len({room.space for room in rooms.val_rooms}) == 1


def test_a_process_opens_the_rooms_of_its_samples_only(
    building: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    load = RoomFiles.load

    def noted(files: RoomFiles, index: int) -> Sample:
        opened.append(files.entries[index].path)
        return load(files, index)

    monkeypatch.setattr(RoomFiles, "load", noted)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(loaders, "process_rank", lambda rank=rank: (rank, 2))
        opened.clear()
        prepared = data(building, loop=1, batch_size=1, mix_prob=0.0, num_workers=0, val_fraction=0.4)
        assert prepared.class_counts.any()  # from the manifest
        assert opened == []
        for loader in (prepared.train_dataloader(), prepared.val_dataloader()):
            assert len(list(loader)) >= 1
        parts.append(set(opened))
    assert not parts[0] & parts[1]


def test_the_mean_color_of_the_training_rooms_is_in_the_card(building: Path) -> None:
    rooms = data(building)
    color = np.concatenate([read_scene(building / room.path).color for room in rooms.train_rooms])
    np.testing.assert_allclose(rooms.card()["missing_fields"]["color"], color.mean(axis=0), atol=0.06)


@pytest.mark.slow
def test_batches_depend_on_seed_and_epoch_but_not_on_workers(building: Path) -> None:
    alone = data(building).train_dataloader(seed=3)
    first = [epoch(alone, number) for number in (0, 1, 0)]
    assert first[0] == first[2] != first[1]
    assert epoch(data(building).train_dataloader(seed=4), 0) != first[0]
    for workers in (1, 2):
        loader = data(building, num_workers=workers).train_dataloader(seed=3)
        assert [epoch(loader, number) for number in (0, 1)] == first[:2]


def test_a_sample_is_the_same_in_any_batch(building: Path) -> None:
    dataset = data(building).train_dataloader(seed=3).dataset
    key = SampleKey(epoch=2, position=7, index=1)
    before, _ = dataset[key]
    dataset[SampleKey(epoch=0, position=0, index=0)]
    after, _ = dataset[key]
    assert (before.pos == after.pos).all()
    other, _ = dataset[key._replace(position=8)]
    assert before.pos.shape != other.pos.shape or (before.pos != other.pos).any()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_resumes_inside_an_epoch(building: Path, workers: int) -> None:
    straight = data(building, num_workers=workers).train_dataloader()
    epochs = [epoch(straight, number) for number in (1, 2)]
    for stop in (0, 1, len(epochs[0]) - 1, len(epochs[0])):
        killed = data(building, num_workers=workers).train_dataloader()
        killed.sampler.set_epoch(1)
        batches = iter(killed)
        seen = [contents(next(batches)) for _ in range(stop)]
        state = killed.state_dict() if stop else {"epoch": 1, "batch": 0}
        assert state == {"epoch": 1, "batch": stop}
        resumed = data(building, num_workers=0).train_dataloader()
        resumed.load_state_dict(state)
        assert seen + epoch(resumed, 1) == epochs[0]
        assert epoch(resumed, 2) == epochs[1]


def test_state_of_another_epoch_is_ignored(building: Path) -> None:
    loader = data(building).train_dataloader()
    loader.load_state_dict({"epoch": 1, "batch": 2})
    assert epoch(loader, 2) == epoch(data(building).train_dataloader(), 2)


def test_validation_shows_the_same_whole_rooms_every_time(building: Path) -> None:
    rooms = data(building, features=["pos"])
    for workers in (0, 2):
        loader = data(building, features=["pos"], num_workers=workers).val_dataloader()
        batches = list(loader)
        assert sorted(batch.scene[0] for batch in batches) == names(rooms.val_rooms)
        assert [contents(batch) for batch in batches] == [contents(batch) for batch in loader]
        for batch in batches:
            scene = read_scene(building / f"{batch.scene[0]}.h5")
            cells = np.floor(scene.pos.astype(np.float64) / 0.2)
            assert batch.num_nodes == len(np.unique(cells, axis=0))
            rows = [np.flatnonzero((scene.pos == p).all(axis=1))[0] for p in batch.pos[:20].numpy()]
            assert batch.y[:20].tolist() == scene.label[rows].tolist()


def test_normals_are_read_only_if_they_are_a_feature(building: Path, tmp_path: Path) -> None:
    arrays = fake_room(0, num_points=300)
    path = tmp_path / "Area_1" / "hall.h5"
    normal = np.tile(np.float32([0, 0, 1]), (300, 1))
    write_scene(path, **arrays, normal=normal, dataset="d", scene="hall", schema=S3DIS)
    entry = describe_scene(path, folder=tmp_path, source="")
    Manifest(dataset="d", release="r", schema=S3DIS, scenes=(entry,)).write(tmp_path)
    options = {"test_splits": [], "val_fraction": 0, "batch_size": 1, "mix_prob": 0, "loop": 8}
    batch = next(iter(data(tmp_path, features=["normal"], **options).train_dataloader()))
    assert (batch.x.norm(dim=1) - 1).abs().max() < 1e-5
    assert (batch.x[:, 2] > 0.9).all(), "rooms stay upright"
    with pytest.raises(UserError, match=r"Area_./office_.\.h5: the scene has no normals"):
        next(iter(data(building, features=["normal"]).train_dataloader()))


def test_options_of_a_configuration_file(building: Path) -> None:
    parser = ArgumentParser()
    parser.add_argument("--data", type=RoomData)
    config = parser.parse_object(
        {
            "data": {
                "class_path": "pcseg.data.room_data.RoomData",
                "init_args": {
                    "root": str(building),
                    "features": ["color"],
                    "point_transforms": [
                        {"class_path": "pcseg.data.transforms.RandomRotate", "init_args": {"degrees": 5}},
                        {"class_path": "pcseg.data.transforms.ElasticDistortion"},
                    ],
                    "voxel_transforms": [],
                },
            }
        }
    )
    rooms = parser.instantiate(config).data
    assert [type(t).__name__ for t in rooms.point_transforms] == ["RandomRotate", "ElasticDistortion"]
    assert rooms.point_transforms[0].degrees == 5
    assert rooms.voxel_transforms == []
    assert rooms.in_channels == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid_size": 0.0}, "data.grid_size: 0.0"),
        ({"batch_size": 0}, "data.batch_size: 0"),
        ({"mix_prob": 1.5}, "data.mix_prob: 1.5"),
        ({"batch_size": 1}, "data.mix_prob: samples are mixed in pairs"),
        ({"features": ["rgb"]}, "'rgb' is unknown"),
        ({"test_splits": ["Area_9"]}, "has no area or split 'Area_9'"),
        ({"train_splits": ["Area_5"]}, "is used for both training and test"),
        ({"val_rooms": ["Area_5/office_1"]}, "Area_5/office_1.h5 is used for both validation and test"),
        ({"val_rooms": ["office_1"]}, "has no room 'office_1'"),
        ({"train_splits": []}, "train_splits: is empty"),
        ({"root": Path("nowhere")}, "Prepare the data first"),
    ],
)
def test_invalid_options_give_one_line(building: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        RoomData(**{"root": building, "batch_size": 2, "mix_prob": 0.5} | options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_room_is_named_in_one_line(building: Path, tmp_path: Path, workers: int) -> None:
    folder = shutil.copytree(building, tmp_path / "copy")
    options = {"train_splits": ["Area_2"], "val_fraction": 0, "num_workers": workers}
    for room in (folder / "Area_2").glob("*.h5"):
        with h5py.File(room, "r+") as file:
            file["label"][5] = 31
    with pytest.raises(UserError, match=r"Area_2/office_.\.h5: damaged or changed, its checksum") as error:
        list(data(folder, **options).train_dataloader())
    assert "\n" not in str(error.value)


def test_rooms_with_one_point_and_with_none(tmp_path: Path) -> None:
    for count in (1, 0):
        folder = tmp_path / str(count)
        write_fake_building(folder, rooms={"Area_1": 2}, num_points=count)
        options = {"test_splits": [], "features": ["color", "height", "pos"]}
        if count:
            assert all(batch.num_nodes in (1, 2) for batch in data(folder, **options).train_dataloader())
        else:
            with pytest.raises(UserError, match="none of the 2 training rooms has labels"):
                data(folder, **options)


def write_rooms(folder: Path, rooms: dict[str, tuple[int, bool]]) -> Path:
    """A prepared folder of rooms ``<split>/<name>`` from a seed, with or without labels."""
    entries = []
    for path, (seed, labeled) in rooms.items():
        room = fake_room(seed, num_points=200)
        label = room["label"] if labeled else np.full_like(room["label"], -1)
        write_scene(
            folder / f"{path}.h5", **room | {"label": label}, dataset="d", scene=Path(path).name, schema=S3DIS
        )
        entries.append(describe_scene(folder / f"{path}.h5", folder=folder, source=""))
    Manifest(dataset="d", release="r", schema=S3DIS, scenes=tuple(entries)).write(folder)
    return folder


@pytest.mark.slow
def test_only_labeled_rooms_are_trained_on_and_held_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labeled = {"train/a": (1, True), "train/b": (2, True)}
    unlabeled = {f"train/u{k}": (10 + k, False) for k in range(6)}
    write_rooms(tmp_path, labeled | unlabeled | {"test/c": (3, True), "open/d": (4, False)})
    for fraction in (0.1, 0.5, 0.9):
        rooms = data(tmp_path, train_splits=["train"], test_splits=["test"], val_fraction=fraction)
        assert sorted(names(rooms.val_rooms) + names(rooms.train_rooms)) == ["train/a", "train/b"]
        assert len(rooms.val_rooms) == 1
        assert rooms.has_val_labels
    assert "6 of 8 training rooms have no labels and are left out, such as train/u0.h5" in caplog.text
    with pytest.raises(UserError, match=r"data\.val_rooms: train/u2 has no labels\. Name a room with labels"):
        data(tmp_path, test_splits=["test"], val_rooms=["train/u2"])
    with pytest.raises(UserError, match="none of the 1 training rooms has labels"):
        data(tmp_path, test_splits=["test"], train_splits=["open"])
    assert not data(tmp_path, test_splits=["test"], val_splits=["open"]).has_val_labels


def test_copies_of_a_room_do_not_leak_from_one_split_to_another(tmp_path: Path) -> None:
    rooms = {"train/a": (1, True), "train/b": (2, True), "train/c": (3, True), "test/x": (2, True)}
    write_rooms(tmp_path / "test", rooms)
    with pytest.raises(UserError, match=r"train/b\.h5, used for training, has the points of test/x\.h5"):
        data(tmp_path / "test", test_splits=["test"], val_rooms=["train/a"])
    write_rooms(tmp_path / "val", rooms | {"test/x": (9, True), "train/d": (1, True), "train/e": (5, True)})
    with pytest.raises(UserError, match=r"train/d\.h5, used for training, has the points of train/a\.h5"):
        data(tmp_path / "val", test_splits=["test"], val_rooms=["train/a"])
    for fraction in (0.2, 0.4, 0.6, 0.8):
        held = names(data(tmp_path / "val", test_splits=["test"], val_fraction=fraction).val_rooms)
        assert ("train/a" in held) == ("train/d" in held)


def test_room_axes_undo_any_yaw_and_tilt(tmp_path: Path) -> None:
    """A scan at any angle becomes the aligned scan, up to rotations by 90 degrees about the vertical."""
    pos = scan(1)[0][::7]
    entries = []
    for yaw in (0, 30, 77):
        matrix = rotation("x", np.deg2rad(2 if yaw else 0)) @ rotation("z", np.deg2rad(yaw))
        path = tmp_path / "Area_1" / f"office_{yaw}.h5"
        zeros = np.zeros(len(pos), np.int64)
        color = np.zeros((len(pos), 3), np.uint8)
        write_scene(
            path, pos=pos @ matrix.T, color=color, label=zeros, instance=zeros, dataset="fake", scene=path.stem,
            schema=S3DIS,
        )  # fmt: skip
        entries.append(describe_scene(path, folder=tmp_path, source=str(yaw)))
    files = RoomFiles(root=tmp_path, entries=tuple(entries), room_axes=True)
    for index in range(len(files)):
        found = files.load(index).pos
        errors = [np.abs(found - (pos @ rotation("z", np.pi / 2 * turns).T)).max() for turns in range(4)]
        assert min(errors) < 0.05, index  # 0.3 degrees over the size of a room
        assert files.load(index).pos.tobytes() == found.tobytes()
    # training and prediction compute the same features
    files = replace(files, features=("floor", "ceiling"))
    sample = files.whole(1, grid_size=0.1)[0]
    floor, ceiling = local_ground(files.load(1).pos).measure(sample.pos)
    np.testing.assert_array_equal(sample.floor, floor)
    np.testing.assert_array_equal(sample.ceiling, ceiling)


def test_rooms_without_walls_keep_their_axes() -> None:
    sample = Sample(
        name="a",
        pos=np.zeros((3, 3), np.float32),
        color=np.zeros((3, 3)),
        label=np.zeros(3),
        instance=np.zeros(3),
    )
    turned, remark = in_room_axes(sample)
    np.testing.assert_array_equal(turned.pos, sample.pos)
    assert remark.startswith("room axes: not found")
