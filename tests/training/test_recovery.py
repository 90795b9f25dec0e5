"""Recovery of training from provoked out-of-memory errors, non-finite steps and killed workers."""

import json
import logging
import os
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from helpers.fakes import ConvBackbone, write_fake_building
from lightning.pytorch.plugins import MixedPrecision
from torch_geometric.data import Batch, Data

from pcseg.checkpoint import read_checkpoint
from pcseg.data import rooms
from pcseg.data.manifest import SceneEntry
from pcseg.data.room_data import RoomData
from pcseg.data.scenes import Scene
from pcseg.errors import UserError
from pcseg.heads.linear import LinearHead
from pcseg.labels import S3DIS, LabelSchema
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.training.recovery import SNAPSHOT_STEPS, Recovery, crop_batch, num_voxels
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import train
from pcseg.training.trainer import TrainerOptions


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_building(tmp_path_factory.mktemp("b"), rooms={"Area_1": 6, "Area_5": 1}, num_points=600)


class Trial(Segmentor):
    """Records batch sizes, dtypes and weights of its steps. ``spoil`` may change a batch, ``trouble`` a loss."""

    def __init__(self, trouble, spoil, recovery: Recovery) -> None:
        super().__init__(
            ConvBackbone, LinearHead, in_channels=4, schema=S3DIS, loss=SegmentationLoss(torch.ones(13)),
            optimizer=partial(torch.optim.AdamW, lr=0.01), recovery=recovery,
        )  # fmt: skip
        self.norm = torch.nn.BatchNorm1d(4)
        self.trouble, self.spoil = trouble, spoil
        self.step = 0
        self.steps: list[tuple[int, int]] = []
        self.dtypes: list[torch.dtype] = []
        self.weights: list[torch.Tensor] = []

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.step = batch_idx

    def forward(self, batch: Batch):
        self.steps.append((self.step, len(batch.x)))
        self.spoil(batch, self.step)
        batch.x = self.norm(batch.x)
        self.dtypes.append((batch.x @ batch.x.T[:, :1]).dtype)
        return super().forward(batch)

    def losses(self, output, batch: Batch) -> dict[str, torch.Tensor]:
        total = torch.stack(list(super().losses(output, batch).values())).sum()
        return {"total": self.trouble(self, total, batch, self.step)}

    def on_train_batch_end(self, *_: object) -> None:
        self.weights.append(torch.cat([p.detach().flatten() for p in self.parameters()]))

    def unchanged(self) -> list[bool]:
        """Whether each step but the first left the weights as they were."""
        return [torch.equal(a, b) for a, b in zip(self.weights, self.weights[1:])]


def fit(building: Path, folder: Path, trouble, *, epochs: int = 1, **options) -> tuple[Trial, Recovery]:
    keys = ("precision", "accumulate_grad_batches", "plugins", "gradient_clip_val")
    trainer_options = {key: options.pop(key) for key in keys if key in options}
    spoil = options.pop("spoil", lambda batch, batch_idx: None)
    recovery = Recovery(folder / "skipped", **options)
    model = Trial(trouble, spoil, recovery)
    data = RoomData(building, grid_size=0.2, batch_size=1, point_transforms=[], train_splits=["Area_1"])
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", use_distributed_sampler=False, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **trainer_options,
    )  # fmt: skip
    trainer.fit(model, data.train_dataloader())
    return model, recovery


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),  # between lightning and torch
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*optimizer.step"),
    pytest.mark.filterwarnings("ignore:You defined a .validation_step"),
    pytest.mark.filterwarnings("ignore:.*self.log.*logger"),
]


def nothing(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
    return loss


class FailingBackward(torch.autograd.Function):
    """Runs out of memory in the backward pass."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, *_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_a_validation_batch_that_does_not_fit_is_one_line(building: Path, tmp_path: Path) -> None:
    class Large(ConvBackbone):
        def forward(self, batch):
            if not self.training:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(batch)

    with pytest.raises(UserError, match=r"a validation batch does not fit into memory"):
        train(
            data=RoomData(building, grid_size=0.2, train_splits=["Area_1"]),
            backbone=Large, head=LinearHead, out=tmp_path / "run",
            trainer=TrainerOptions(max_epochs=1, accelerator="cpu", progress_bar=False),
        )  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
        RuntimeError("CPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["gpu", "python", "cpu", "driver", "library"],
)  # fmt: skip
def test_a_forward_pass_out_of_memory_is_repeated_with_half_the_voxels(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        if len(batch.x) > 200:
            raise error
        return loss

    with caplog.at_level(logging.WARNING, "pcseg"):
        model, recovery = fit(building, tmp_path, trouble)
    whole = model.steps[0][1]
    assert whole > 200
    assert recovery.budget is not None
    assert recovery.budget <= 200
    first = [size for step, size in model.steps if step == 0]
    assert first[1] == whole // 2  # in the same step
    assert all(size <= recovery.budget for step, size in model.steps if step > 0)
    assert {step for step, _ in model.steps} == set(range(5))
    assert not any(model.unchanged()), "every step counts"
    assert f"batches are now cropped to {whole // 2}" in caplog.text


def test_a_backward_pass_out_of_memory_skips_the_step(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return FailingBackward.apply(loss) if batch_idx == 2 else loss  # type: ignore[return-value]

    model, recovery = fit(building, tmp_path, trouble)
    sizes = dict(model.steps)
    assert recovery.budget == sizes[2] // 2
    assert sizes[3] <= recovery.budget
    assert model.unchanged() == [False, True, False, False]
    assert "Out of memory" in caplog.text


def test_other_errors_are_not_taken_for_out_of_memory(building: Path, tmp_path: Path) -> None:
    def trouble(*_: object) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit(building, tmp_path, trouble)


def test_a_smallest_batch_out_of_memory_is_one_line(building: Path, tmp_path: Path) -> None:
    def trouble(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match=r"a batch of \d+ voxels does not fit into memory"):
        fit(building, tmp_path, trouble)


def test_a_non_finite_step_is_skipped_and_its_batch_written(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return loss * torch.nan if batch_idx == 1 else loss

    model, recovery = fit(building, tmp_path, trouble)
    assert model.unchanged() == [True, False, False, False]
    assert (recovery.skipped, recovery.consecutive) == (1, 0)
    (path,) = (tmp_path / "skipped").iterdir()
    record = torch.load(path, weights_only=True)
    assert record["batch"]["scene"][0].startswith("Area_1/office_")
    assert len(record["batch"]["x"]) == dict(model.steps)[1]
    assert str(path) in caplog.text


def test_nan_in_a_batch_does_not_reach_the_running_statistics(building: Path, tmp_path: Path) -> None:
    def spoil(batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0:
            batch.x[0, 0] = torch.nan

    model, recovery = fit(building, tmp_path, nothing, spoil=spoil)
    assert recovery.skipped == 1
    assert torch.isfinite(model.norm.running_mean).all()  # type: ignore[arg-type]
    assert model.norm.num_batches_tracked == 4
    assert torch.isfinite(model.weights[-1]).all()


def test_an_infinite_gradient_of_a_finite_loss_is_skipped(building: Path, tmp_path: Path) -> None:
    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, *grads: torch.Tensor) -> torch.Tensor:
            return grads[0] * torch.inf

    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return Steep.apply(loss) if batch_idx == 3 else loss  # type: ignore[return-value]

    model, recovery = fit(building, tmp_path, trouble)
    assert model.unchanged() == [False, False, True, False]
    assert recovery.skipped == 1


@pytest.mark.parametrize("gradient", [1.0, torch.nan])
def test_a_non_finite_step_is_skipped_with_a_scaled_loss(
    building: Path, tmp_path: Path, gradient: float
) -> None:
    """Also a step with finite gradients, which the scaler would make."""

    class Spoiled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x * torch.nan

        @staticmethod
        def backward(ctx, *grads: torch.Tensor) -> torch.Tensor:
            return grads[0] * gradient

    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return Spoiled.apply(loss) if batch_idx == 2 else loss  # type: ignore[return-value]

    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    model, recovery = fit(building, tmp_path, trouble, plugins=[plugin])
    assert model.unchanged() == [False, True, False, False]
    assert torch.isfinite(model.weights[-1]).all()
    assert recovery.skipped == 1


def test_processes_decide_together_with_a_scaled_loss(tmp_path: Path) -> None:
    """Otherwise one of them could switch to 32 bit, or end, on its own."""
    asked = []

    def decide(decision: bool) -> bool:
        asked.append(decision)
        return True

    strategy = SimpleNamespace(reduce_boolean_decision=decide)
    trainer = SimpleNamespace(
        precision_plugin=SimpleNamespace(scaler=object()), strategy=strategy, global_step=1, world_size=2
    )
    for loss in (0.5, torch.nan):
        recovery = Recovery(tmp_path)
        recovery.loss = torch.tensor(loss)
        recovery.check_step(SimpleNamespace(trainer=trainer), None)  # type: ignore[arg-type]
        assert recovery.skipped == 0
    assert asked == [True, False]


def test_training_switches_to_32_bit_after_skipped_steps(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return loss * torch.nan if model.dtypes[-1] == torch.bfloat16 else loss

    model, recovery = fit(building, tmp_path, trouble, epochs=2, precision="bf16-mixed", max_skipped=3)
    assert model.dtypes == [torch.bfloat16] * 3 + [torch.float32] * 7
    assert recovery.full_precision
    assert model.unchanged() == [True, True] + [False] * 7
    assert "continues in 32 bit" in caplog.text


def test_validation_switches_to_32_bit_with_training(building: Path, tmp_path: Path) -> None:
    """Otherwise values that overflow half precision would decide which checkpoint is best."""
    dtypes = []

    class Recorded(LinearHead):
        def forward(self, levels, batch):
            output = super().forward(levels, batch)
            dtypes.append((self.training, output.logits.dtype))
            return output

        def losses(self, output, batch):
            half = output.logits.dtype == torch.bfloat16
            return {"spoiled": output.logits.sum() * (torch.nan if half else 0.0)}

    train(
        data=RoomData(building, grid_size=0.2, batch_size=1, train_splits=["Area_1"]),
        backbone=ConvBackbone, head=Recorded, out=tmp_path / "run",
        trainer=TrainerOptions(
            max_epochs=1, accelerator="cpu", progress_bar=False, precision="bf16-mixed", max_skipped_steps=2
        ),
    )  # fmt: skip
    assert dtypes[:3] == [(True, torch.bfloat16)] * 2 + [(True, torch.float32)]
    assert dtypes[-1] == (False, torch.float32)


def test_divergence_is_one_line(building: Path, tmp_path: Path) -> None:
    def trouble(model: Trial, loss: torch.Tensor, *_: object) -> torch.Tensor:
        return loss * torch.nan

    with pytest.raises(UserError, match=r"training diverged: 4 consecutive steps.*Lower optimizer\.lr"):
        fit(building, tmp_path, trouble, max_skipped=4)
    assert len(list((tmp_path / "skipped").iterdir())) == 4


@pytest.mark.slow
def test_a_skipped_step_resets_statistics_to_a_recent_copy(building: Path, tmp_path: Path) -> None:
    """Not only non-finite ones: a huge finite batch would distort running averages for hundreds of steps."""
    seen = []

    def spoil(batch: Batch, batch_idx: int) -> None:
        seen.append(1)
        if len(seen) == SNAPSHOT_STEPS + 3:
            batch.x[0, 0], batch.x[0, 1] = torch.nan, 1e15

    model, recovery = fit(building, tmp_path, nothing, spoil=spoil, epochs=5)
    assert recovery.skipped == 1
    assert len(seen) == 25
    assert torch.isfinite(model.norm.running_var).all()  # type: ignore[arg-type]
    assert model.norm.running_var.max() < 100  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_normal_step_copies_no_buffers_and_reads_one_value(
    building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []
    monkeypatch.setattr(
        Recovery, "copy_buffers", lambda self, module: copies.append(module.trainer.global_step)
    )
    fit(building, tmp_path, nothing, epochs=5)
    assert copies == [0, 0, 5, 10, 15, 20, 20], "at the start of each epoch and every 20 steps"


def test_the_gradient_is_clipped(building: Path, tmp_path: Path) -> None:
    norms = []

    class Watched(torch.optim.SGD):
        def step(self, closure):
            loss = closure()
            parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
            norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in parameters])))
            return loss

    recovery = Recovery(tmp_path)
    model = Trial(nothing, lambda batch, batch_idx: None, recovery)
    model.optimizer_factory = partial(Watched, lr=0.0)
    data = RoomData(building, grid_size=0.2, batch_size=1, point_transforms=[], train_splits=["Area_1"])
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", use_distributed_sampler=False, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=0.01,
    )  # fmt: skip
    trainer.fit(model, data.train_dataloader())
    assert len(norms) == 5
    assert norms == pytest.approx([0.01] * 5, rel=1e-3)


def test_state_is_restored_per_process() -> None:
    stored = {
        "voxel_budgets": [None, 500], "skipped_steps": 2, "consecutive_skipped_steps": 1, "full_precision": True
    }  # fmt: skip
    first, second = Recovery(), Recovery()
    first.load_state(stored, rank=0, world_size=2)
    second.load_state(stored, rank=1, world_size=2)
    assert (first.budget, second.budget) == (None, 500)
    assert (second.skipped, second.consecutive, second.full_precision) == (2, 1, True)
    alone = Recovery()
    alone.load_state(stored, rank=0, world_size=1)
    assert alone.budget == 500, "with another number of processes, the smallest budget counts"
    chosen = Recovery(budget=900)
    chosen.load_state(stored, rank=1, world_size=2)
    assert chosen.budget == 900, "a budget chosen for this run takes precedence"


def test_changes_are_recorded_in_run_and_checkpoint(building: Path, tmp_path: Path) -> None:
    class Small(ConvBackbone):
        def forward(self, batch):
            if self.training and len(batch.x) > 200:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(batch)

    def run(epochs: int, *, resume: bool = False) -> dict:
        train(
            data=RoomData(building, grid_size=0.2, batch_size=1, train_splits=["Area_1"]), backbone=Small,
            head=LinearHead, out=tmp_path / "run", resume=resume,
            trainer=TrainerOptions(max_epochs=epochs, accelerator="cpu", progress_bar=False),
        )  # fmt: skip
        recovery = read_checkpoint(tmp_path / "run" / "last.ckpt").card.recovery
        assert recovery is not None
        return recovery

    first = run(1)
    (budget,) = first["voxel_budgets"]
    assert 50 < budget <= 200
    assert json.loads((tmp_path / "run" / "recovery.json").read_text()) == first
    table = (tmp_path / "run" / "logs" / "metrics.csv").read_text()
    assert "train/voxel_budget" in table.splitlines()[0]
    assert run(2, resume=True)["voxel_budgets"] == [budget], "restored: no further step runs out of memory"


def test_cropped_batches_are_spheres_with_matching_rows() -> None:
    samples = []
    for count in (300, 100):
        grid_pos = torch.randint(0, 20, (count, 3), dtype=torch.int32)
        data = Data(
            x=grid_pos.float(), pos=grid_pos * 0.1, grid_pos=grid_pos, y=grid_pos[:, 0].long(), scene="a"
        )
        samples.append(data)
    batch = Batch.from_data_list(samples)
    assert num_voxels(crop_batch(batch, None)) == 400
    assert num_voxels(crop_batch(batch, 400)) == 400
    part = crop_batch(batch, 200)
    assert num_voxels(part) == 200
    assert part.ptr.tolist() == [0, 150, 200]
    assert torch.equal(part.x, part.grid_pos.float())
    assert torch.equal(part.y, part.grid_pos[:, 0].long())
    assert part.scene == ["a", "a"]
    kept = part.grid_pos[:150].float()
    away = torch.cdist(samples[0].grid_pos.float(), kept).amin(1) > 0
    radii = [(kept - center).norm(dim=1).amax() for center in kept]
    nearest = [(samples[0].grid_pos[away].float() - center).norm(dim=1).amin() for center in kept]
    assert any(near >= radius for near, radius in zip(nearest, radii)), "no center makes it a sphere"


@pytest.mark.slow
def test_the_error_of_a_killed_worker_names_its_file(
    building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = rooms.verified_scene

    def verified_scene(root: Path, entry: SceneEntry, schema: LabelSchema | None) -> Scene:
        if entry.name == "office_4":
            os.kill(os.getpid(), signal.SIGKILL)
        return original(root, entry, schema)

    monkeypatch.setattr(rooms, "verified_scene", verified_scene)
    data = RoomData(
        building, grid_size=0.3, batch_size=1, num_workers=2, train_splits=["Area_1"], val_rooms=["Area_1/office_1"]
    )  # fmt: skip
    with pytest.raises(UserError, match=r"Area_1/office_4\.h5: a data worker .*lower data\.num_workers"):
        train(
            data=data, backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run",
            trainer=TrainerOptions(max_epochs=3, accelerator="cpu", progress_bar=False),
        )  # fmt: skip
