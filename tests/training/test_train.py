"""Training as a whole: it learns, resumes exactly after a kill, and two processes equal one."""

import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from helpers.fakes import ConvBackbone, StoppingBackbone, fake_room, write_fake_building
from helpers.training_runs import CONFIG, logged, run_here, slurm, start, weights, write_config

from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.checkpoint import load_checkpoint
from pcseg.data.manifest import Manifest, describe_scene
from pcseg.data.room_data import RoomData
from pcseg.data.scenes import write_scene
from pcseg.errors import UserError
from pcseg.heads.linear import LinearHead
from pcseg.labels import S3DIS
from pcseg.training.schedules import OneCycle
from pcseg.training.train import train
from pcseg.training.trainer import TrainerOptions, build_trainer


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_building(tmp_path_factory.mktemp("building"), rooms={"Area_1": 6, "Area_5": 1})


@pytest.mark.slow
def test_learns_one_room(building: Path, tmp_path: Path) -> None:
    data = RoomData(
        building, grid_size=0.1, point_transforms=[], voxel_transforms=[], loop=10, batch_size=1,
        val_rooms=["Area_1/office_1"], train_splits=["Area_1"],
    )  # fmt: skip
    data.train_rooms = data.train_rooms[:1]
    best = train(
        data=data,
        backbone=partial(SparseUNet, channels=(16, 16), layers=(1, 1), base_channels=16),
        head=LinearHead,
        optimizer=partial(torch.optim.AdamW, lr=0.01),
        trainer=TrainerOptions(max_epochs=8, progress_bar=False, accelerator="cpu"),
        out=tmp_path / "run",
    )
    assert logged(tmp_path / "run", "train/acc")[-1] > 0.98
    with pytest.raises(UserError, match="trained from Python"):
        load_checkpoint(best)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_run(building: Path, tmp_path: Path) -> None:
    straight = write_config(tmp_path / "a.yaml", building, tmp_path / "straight")
    killed = write_config(tmp_path / "b.yaml", building, tmp_path / "killed")
    run_here(straight)
    last = torch.load(tmp_path / "straight" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 5, "even if another epoch is the best"
    process = start(killed)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert torch.load(tmp_path / "killed" / "last.ckpt", weights_only=True)["epoch"] < 5, "killed too late"
    run_here(killed, "--resume", "true")
    expected, found = weights(tmp_path / "straight"), weights(tmp_path / "killed")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_an_interrupted_run_reports_what_is_saved(building: Path, tmp_path: Path) -> None:
    class Interrupted(ConvBackbone):
        def forward(self, batch: object) -> NoReturn:
            raise KeyboardInterrupt

    options = TrainerOptions(max_epochs=1, accelerator="cpu", progress_bar=False)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt, match="no checkpoint is saved yet"):
            train(
                data=RoomData(building),
                backbone=Interrupted,
                head=LinearHead,
                trainer=options,
                out=tmp_path / "run",
            )
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored


@pytest.mark.slow
def test_two_processes_equal_one(building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batches on one process, and on two tasks of SLURM that stop and continue as one, give the same weights.

    Each room is validated once.
    """
    text = CONFIG.replace("pcseg.backbones.points.sparse_unet.SparseUNet", "helpers.fakes.StoppingBackbone")
    text = text.replace("init_args: {channels: [8, 8], layers: [1, 1], base_channels: 8}", "init_args: {}")
    text = text.replace("mix_prob: 0.5", "mix_prob: 0.0, val_rooms: [Area_1/office_1, Area_1/office_2, "
                        "Area_1/office_3], train_splits: [Area_1]")  # fmt: skip
    text += "loss: {class_path: pcseg.losses.segmentation.SegmentationLoss, init_args: {lovasz: 0.0}}\n"
    one = write_config(tmp_path / "one.yaml", building, tmp_path / "one", text)
    two = write_config(tmp_path / "two.yaml", building, tmp_path / "two", text)
    run_here(one)
    shared = ("--data.batch_size", "1", "--trainer.devices", "2")
    tasks = [start(two, *shared, env={"STOP_AT": "5", **slurm(rank, 2)}) for rank in range(2)]
    outputs = [task.communicate(timeout=300)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [1, 1], outputs
    assert "stopped. Continue with --resume true." in outputs[0]
    assert torch.load(tmp_path / "two" / "last.ckpt", weights_only=True)["epoch"] == 3
    run_here(two, "--resume", "true")
    assert logged(tmp_path / "one", "val/points") == logged(tmp_path / "two", "val/points")
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.slow
def test_the_schedule_continues_with_another_number_of_steps(
    building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a change of the number of processes: the rate goes on from the same epoch, and ends as planned."""

    def run(batch_size: int, *, resume: bool) -> None:
        train(
            data=RoomData(building, grid_size=0.3, batch_size=batch_size, train_splits=["Area_1"], val_fraction=0.4),
            backbone=StoppingBackbone, head=LinearHead, optimizer=partial(torch.optim.SGD, lr=1.0),
            trainer=TrainerOptions(max_epochs=6, accelerator="cpu", progress_bar=False, log_every_n_steps=1),
            out=tmp_path / "run", resume=resume, config={"data": {"init_args": {"batch_size": batch_size}}},
        )  # fmt: skip

    monkeypatch.setenv("STOP_AT", "13")  # after three epochs of four steps
    with pytest.raises(UserError, match="stopped"):
        run(1, resume=False)
    monkeypatch.setenv("STOP_AT", "0")
    run(2, resume=True)
    rates = logged(tmp_path / "run", "lr-SGD/pg1")
    assert len(rates) == 3 * 4 + 3 * 2
    schedule = OneCycle()
    for step in range(1, 6):  # the first step after the change has the rate that the earlier run planned
        assert rates[12 + step] == pytest.approx(schedule((6 + step) / 11), abs=1e-6)


def test_every_process_needs_a_validation_room(
    building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data, devices, message in [
        (RoomData(building, val_fraction=0.0), 1, "0 rooms to validate on for 1 processes"),
        (RoomData(building, val_fraction=0.1), 2, "1 rooms to validate on for 2 processes"),
    ]:
        options = TrainerOptions(devices=devices, accelerator="cpu")
        with pytest.raises(UserError, match=message):
            train(data=data, backbone=ConvBackbone, head=LinearHead, trainer=options, out=tmp_path / "run")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    with pytest.raises(UserError, match="1 rooms to validate on for 16 processes"):
        train(
            data=RoomData(building), backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run",
            trainer=TrainerOptions(devices="auto", num_nodes=2),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_invalid_trainer_options_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.devices: 0 is out of range"):
        build_trainer(TrainerOptions(devices=0, accelerator="cpu"), tmp_path, [])


def test_an_output_path_that_is_a_file_is_one_line(building: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be created"):
        train(data=RoomData(building), backbone=ConvBackbone, head=LinearHead, out=tmp_path / "file")


def test_runs_and_checkpoints_that_do_not_fit_are_refused(building: Path, tmp_path: Path) -> None:
    def run(epochs: int = 1, *, resume: bool = False, config: dict | None = None) -> None:
        train(
            data=RoomData(building, grid_size=0.3, train_splits=["Area_1"]),
            backbone=ConvBackbone,
            head=LinearHead,
            trainer=TrainerOptions(max_epochs=epochs, progress_bar=False, accelerator="cpu"),
            out=tmp_path / "run",
            resume=resume,
            config=config or {"trainer": {"max_epochs": 1}, "backbone": "conv", "head": "plain"},
        )

    run()
    with pytest.raises(UserError, match="contains a run"):
        run()
    with pytest.raises(UserError, match=r"other options: trainer\.max_epochs"):
        run(2, resume=True, config={"trainer": {"max_epochs": 2}, "backbone": "conv", "head": "plain"})
    with pytest.raises(UserError, match="does not fit this version"):
        load_checkpoint(tmp_path / "run" / "best.ckpt")
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "nothing.ckpt")
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes((tmp_path / "run" / "best.ckpt").read_bytes()[:1000])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(damaged)


def test_data_without_labels_is_refused_before_training(tmp_path: Path) -> None:
    room = fake_room(1, num_points=200)
    entries = []
    for path, labeled in {"train/a": True, "val/b": False}.items():
        label = room["label"] if labeled else np.full_like(room["label"], -1)
        arrays = room | {"label": label}
        write_scene(tmp_path / f"{path}.h5", **arrays, dataset="d", scene=path[-1], schema=S3DIS)
        entries.append(describe_scene(tmp_path / f"{path}.h5", folder=tmp_path, source=""))
    Manifest(dataset="d", release="r", schema=S3DIS, scenes=tuple(entries)).write(tmp_path)
    data = RoomData(tmp_path, test_splits=[], train_splits=["train"], val_splits=["val"])
    with pytest.raises(UserError, match="data: the rooms to validate on have no labels"):
        train(data=data, backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_score_without_labels_never_chooses_a_checkpoint(building: Path, tmp_path: Path) -> None:
    """Labels that no validation voxel shows are found at the end of the first epoch."""
    data = RoomData(building, grid_size=0.5)
    collate = data.collate
    data.collate = lambda *, training: collate(training=True) if training else without_labels(collate)  # type: ignore[method-assign]
    with pytest.raises(UserError, match="no validation voxel has a label"):
        train(
            data=data, backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run",
            trainer=TrainerOptions(max_epochs=2, progress_bar=False, accelerator="cpu"),
        )  # fmt: skip
    assert not (tmp_path / "run" / "best.ckpt").exists()


def without_labels(collate: Callable[..., Any]) -> Callable[[Any], Any]:
    def make(items: Any) -> Any:
        batch = collate(training=False)(items)
        batch.y[:] = -1
        return batch

    return make
