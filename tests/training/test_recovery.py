"""Training that survives what is provoked here: no memory, no numbers, a worker that is killed."""

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

from pcseg.data.room_data import RoomData
from pcseg.errors import UserError
from pcseg.heads.linear import LinearHead
from pcseg.training.memory import Meter, budget_from_memory, crop_batch, free_memory, num_voxels
from pcseg.training.recovery import Survival
from pcseg.training.segmentor import Segmentor
from pcseg.training.train import TrainerOptions, train


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_building(tmp_path_factory.mktemp("b"), rooms={"Area_1": 6, "Area_5": 1}, num_points=600)


class Trial(Segmentor):
    """Notes what reaches the step and the weights after it; ``trouble`` may spoil a step."""

    def __init__(self, trouble, spoil) -> None:
        from pcseg.labels import S3DIS
        from pcseg.losses.segmentation import SegmentationLoss

        super().__init__(
            ConvBackbone, LinearHead, in_channels=4, schema=S3DIS,
            loss=SegmentationLoss(torch.ones(13)), optimizer=partial(torch.optim.AdamW, lr=0.01),
        )  # fmt: skip
        self.norm = torch.nn.BatchNorm1d(4)
        self.trouble, self.spoil = trouble, spoil
        self.steps: list[tuple[int, int]] = []
        self.dtypes: list[torch.dtype] = []
        self.weights: list[torch.Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.steps.append((batch_idx, len(batch.x)))
        self.spoil(batch, batch_idx)
        batch.x = self.norm(batch.x)
        self.dtypes.append((batch.x @ batch.x.T[:, :1]).dtype)
        return self.trouble(self, super().training_step(batch, batch_idx), batch, batch_idx)

    def on_train_batch_end(self, *_: object) -> None:
        self.weights.append(torch.cat([p.detach().flatten() for p in self.parameters()]))


def fit(building: Path, folder: Path, trouble, *, epochs: int = 1, **options) -> tuple[Trial, Survival]:
    keys = ("precision", "accumulate_grad_batches", "plugins")
    trainer_options = {key: options.pop(key) for key in keys if key in options}
    spoil = options.pop("spoil", lambda batch, batch_idx: None)
    survival, model = Survival(folder / "bad", **options), Trial(trouble, spoil)
    data = RoomData(building, grid_size=0.2, batch_size=1, point_transforms=[], train_splits=["Area_1"])
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", use_distributed_sampler=False, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[survival],
        **trainer_options,
    )  # fmt: skip
    trainer.fit(model, data.train_loader())
    return model, survival


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),  # between lightning and torch
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*optimizer.step"),
    pytest.mark.filterwarnings("ignore:You defined a .validation_step"),
]


def nothing(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
    return loss


class FailingBackward(torch.autograd.Function):
    """Runs out of memory on the way back."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, *_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_a_room_of_validation_that_is_too_large_is_seen_in_blocks(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every voxel counts once, and with context enough the predictions are those of the whole room."""
    data = RoomData(building, grid_size=0.1, train_splits=["Area_1"])
    (batch,) = data.val_loader()
    model = Trial(nothing, None)
    model.eval()
    with torch.no_grad():
        Segmentor.validation_step(model, batch, 0)
        whole, sizes = model.val_confusion.counts, []
        model.val_confusion.reset()

        def step(part: Batch, batch_idx: int) -> None:
            sizes.append(len(part.x))
            if len(part.x) > 250:
                raise torch.OutOfMemoryError("CUDA out of memory")
            Segmentor.validation_step(model, part, batch_idx)

        Survival(tmp_path)._validate(step, batch, 0)
    assert max(sizes[1:]) <= sizes[0] // 2
    assert len(sizes) > 3
    assert model.val_confusion.labeled.tolist() == whole.sum(1).tolist()
    assert (model.val_confusion.counts - whole).abs().sum() <= 0.1 * whole.sum()  # narrow context where dense
    assert "seen in blocks" in caplog.text


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
def test_a_forward_pass_without_memory_is_made_with_half_the_voxels(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        if len(batch.x) > 200:
            raise error
        return loss

    with caplog.at_level(logging.WARNING, "pcseg"):
        model, survival = fit(building, tmp_path, trouble, budget=None)
    whole = model.steps[0][1]
    assert whole > 200
    assert survival.budget is not None
    assert survival.budget <= 200
    first = [size for step, size in model.steps if step == 0]
    assert first[1] == whole // 2  # at once, in the same step
    assert all(size <= survival.budget for step, size in model.steps if step > 0)  # and so it stays
    assert {step for step, _ in model.steps} == set(range(5))
    assert all(not torch.equal(a, b) for a, b in zip(model.weights, model.weights[1:])), "every step counts"
    assert f"at most {whole // 2} from now on" in caplog.text


def test_a_backward_pass_without_memory_costs_one_step(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return FailingBackward.apply(loss) if batch_idx == 2 else loss  # type: ignore[return-value]

    model, survival = fit(building, tmp_path, trouble, budget=None)
    sizes = dict(model.steps)
    assert survival.budget == sizes[2] // 2
    assert sizes[3] <= survival.budget
    same = [torch.equal(a, b) for a, b in zip(model.weights, model.weights[1:])]
    assert same == [False, True, False, False]
    assert "memory ran out" in caplog.text


def test_other_errors_are_not_taken_for_want_of_memory(building: Path, tmp_path: Path) -> None:
    def trouble(*_: object) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit(building, tmp_path, trouble)


def test_no_memory_for_anything_is_one_line(building: Path, tmp_path: Path) -> None:
    def trouble(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match=r"memory does not hold a step of \d+ voxels"):
        fit(building, tmp_path, trouble)


def test_a_bad_step_is_skipped_and_its_batch_recorded(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return loss * torch.nan if batch_idx == 1 else loss

    model, survival = fit(building, tmp_path, trouble)
    same = [torch.equal(a, b) for a, b in zip(model.weights, model.weights[1:])]
    assert same == [True, False, False, False]
    assert (survival.bad_steps, survival.bad_in_a_row) == (1, 0)
    (path,) = (tmp_path / "bad").iterdir()
    record = torch.load(path, weights_only=True)
    assert record["batch"]["scene"][0].startswith("Area_1/office_")
    assert len(record["batch"]["x"]) == dict(model.steps)[1]
    assert str(path) in caplog.text


def test_nan_in_a_batch_leaves_no_trace_in_the_running_statistics(building: Path, tmp_path: Path) -> None:
    def spoil(batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0:
            batch.x[0, 0] = torch.nan

    model, survival = fit(building, tmp_path, nothing, spoil=spoil)
    assert survival.bad_steps == 1
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

    model, survival = fit(building, tmp_path, trouble)
    same = [torch.equal(a, b) for a, b in zip(model.weights, model.weights[1:])]
    assert same == [False, False, True, False]
    assert survival.bad_steps == 1


@pytest.mark.parametrize("gradient", [1.0, torch.nan])
def test_a_bad_step_is_skipped_where_the_loss_is_scaled(
    building: Path, tmp_path: Path, gradient: float
) -> None:
    """Also one whose gradients are finite: the scaler looked at them before, and would step."""

    class Spoilt(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x * torch.nan

        @staticmethod
        def backward(ctx, *grads: torch.Tensor) -> torch.Tensor:
            return grads[0] * gradient

    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return Spoilt.apply(loss) if batch_idx == 2 else loss  # type: ignore[return-value]

    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    model, survival = fit(building, tmp_path, trouble, plugins=[plugin])
    same = [torch.equal(a, b) for a, b in zip(model.weights, model.weights[1:])]
    assert same == [False, True, False, False]
    assert torch.isfinite(model.weights[-1]).all()
    assert survival.bad_steps == 1


def test_processes_share_the_decision_where_the_loss_is_scaled(tmp_path: Path) -> None:
    """Else one of them goes on in 32 bit, or ends, and the others do not."""
    asked = []
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision: asked.append(decision))
    trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=object()), strategy=strategy)
    for loss in (0.5, torch.nan):
        survival = Survival(tmp_path)
        survival._loss = loss
        assert not survival._is_good(trainer, torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    assert asked == [True, False]


def test_mixed_precision_gives_way_after_k_bad_steps(
    building: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(model: Trial, loss: torch.Tensor, batch: Batch, batch_idx: int) -> torch.Tensor:
        return loss * torch.nan if model.dtypes[-1] == torch.bfloat16 else loss

    model, survival = fit(building, tmp_path, trouble, epochs=2, precision="bf16-mixed", max_bad_steps=3)
    assert model.dtypes == [torch.bfloat16] * 3 + [torch.float32] * 7
    assert survival.full_precision
    same = [torch.equal(a, b) for a, b in zip(model.weights, model.weights[1:])]
    assert same == [True, True] + [False] * 7
    assert "goes on in 32 bit" in caplog.text


def test_validation_follows_training_into_32_bit(building: Path, tmp_path: Path) -> None:
    """Else what is too large for half precision would choose the checkpoint."""
    dtypes = []

    class Watched(LinearHead):
        def forward(self, levels, batch):
            output = super().forward(levels, batch)
            dtypes.append((self.training, output.logits.dtype))
            return output

        def losses(self, output, batch):
            half = output.logits.dtype == torch.bfloat16
            return {"spoilt": output.logits.sum() * (torch.nan if half else 0.0)}

    train(
        data=RoomData(building, grid_size=0.2, batch_size=1, train_splits=["Area_1"]),
        backbone=ConvBackbone, head=Watched, out=tmp_path / "run",
        trainer=TrainerOptions(
            max_epochs=1, accelerator="cpu", progress_bar=False, precision="bf16-mixed", max_bad_steps=2
        ),
    )  # fmt: skip
    assert dtypes[:3] == [(True, torch.bfloat16)] * 2 + [(True, torch.float32)]
    assert dtypes[-1] == (False, torch.float32)


def test_divergence_ends_in_one_line(building: Path, tmp_path: Path) -> None:
    def trouble(model: Trial, loss: torch.Tensor, *_: object) -> torch.Tensor:
        return loss * torch.nan

    with pytest.raises(UserError, match=r"4 steps in a row without a finite loss.*lower optimizer\.lr"):
        fit(building, tmp_path, trouble, max_bad_steps=4)
    assert len(list((tmp_path / "bad").iterdir())) == 4


def test_the_budget_is_found_from_the_memory_there_is(
    building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, survival = fit(building, tmp_path, nothing)
    assert survival.budget is not None
    assert survival.budget > 10_000
    assert not survival.measures
    assert len({size for _, size in model.steps}) > 1  # nothing was cropped
    needed = 0.8 * free_memory(torch.device("cpu")) / survival.budget  # type: ignore[operator]
    monkeypatch.setattr("pcseg.training.recovery.free_memory", lambda device: needed * 150 / 0.8)
    model, survival = fit(building, tmp_path, nothing)
    assert survival.budget is not None
    assert 100 < survival.budget < 200
    assert [size for step, size in model.steps if step > 0] == [survival.budget] * 4
    monkeypatch.setattr("pcseg.training.recovery.free_memory", lambda device: 1000.0)
    with pytest.raises(UserError, match="memory does not hold a step"):
        fit(building, tmp_path, nothing)


def test_the_meter_sees_what_is_kept_for_the_backward_pass() -> None:
    weight, used = torch.randn(50, 60, requires_grad=True), []
    for rows in (1000, 3000):
        meter = Meter(torch.device("cpu"), rows)
        with meter.running():
            x = torch.randn(rows, 50, requires_grad=True) * 1
            (x @ weight).relu().sum()
        used.append(meter.used() - 2 * 4 * weight.numel())
    assert used[0] == 2 * 4 * 1000 * (50 + 60)
    assert used[1] == 3 * used[0]
    assert budget_from_memory(1e9, used=1e6, voxels=1000) == 800_000


def test_a_budget_that_was_asked_for_and_one_that_was_found(tmp_path: Path) -> None:
    found = Survival(tmp_path)
    found.load_state_dict(
        {**Survival(tmp_path).state_dict(), "budget": 500, "measures": False, "bad_steps": 2}
    )
    assert (found.budget, found.measures, found.bad_steps) == (500, False, 2)
    asked = Survival(tmp_path, budget=900)
    asked.load_state_dict(found.state_dict())
    assert (asked.budget, asked.bad_steps) == (900, 2)


def test_crops_are_spheres_and_keep_rows_together() -> None:
    samples = []
    for count in (300, 100):
        grid_pos = torch.randint(0, 20, (count, 3), dtype=torch.int32)
        data = Data(
            x=grid_pos.float(), pos=grid_pos * 0.1, grid_pos=grid_pos, y=grid_pos[:, 0].long(), scene="a"
        )
        samples.append(data)
    batch = Batch.from_data_list(samples)
    assert crop_batch(batch, None) is batch
    assert crop_batch(batch, 400) is batch
    part = crop_batch(batch, 200)
    assert num_voxels(part) == 200
    assert part.ptr.tolist() == [0, 150, 200]
    assert torch.equal(part.x, part.grid_pos.float())
    assert torch.equal(part.y, part.grid_pos[:, 0].long())
    assert part.scene == ["a", "a"]
    kept = part.grid_pos[:150].float()
    away = torch.cdist(samples[0].grid_pos.float(), kept).amin(1) > 0
    radii = [(kept - middle).norm(dim=1).amax() for middle in kept]
    nearest = [(samples[0].grid_pos[away].float() - middle).norm(dim=1).amin() for middle in kept]
    assert any(near >= radius for near, radius in zip(nearest, radii)), "no middle makes it a sphere"


def test_a_killed_worker_is_named_with_its_file(
    building: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pcseg.data import dataset

    original = dataset.read_scene

    def read_scene(path: Path):
        if path.name == "office_4.h5":
            os.kill(os.getpid(), signal.SIGKILL)
        return original(path)

    monkeypatch.setattr(dataset, "read_scene", read_scene)
    data = RoomData(
        building, grid_size=0.3, batch_size=1, num_workers=2, train_splits=["Area_1"], val_rooms=["Area_1/office_1"]
    )  # fmt: skip
    with pytest.raises(UserError, match=r"a data worker .*Area_1/office_4\.h5.*lower data\.num_workers"):
        train(
            data=data, backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run",
            trainer=TrainerOptions(max_epochs=3, accelerator="cpu", progress_bar=False),
        )  # fmt: skip
