"""Lightning saves and restores the position of the training loader, also inside an epoch."""

from pathlib import Path

import lightning as L
import pytest
import torch
from helpers.fakes import write_fake_building

from pcseg.data.room_data import RoomData


class Recorder(L.LightningModule):
    """Records its batches and saves a checkpoint after one of them."""

    def __init__(self, save_after: int, path: Path) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.save_after, self.path = save_after, path
        self.seen: list[tuple] = []

    def training_step(self, batch, batch_idx: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch_idx, *batch.scene, batch.x.sum().item()))
        return self.weight * 1.0

    def on_train_batch_end(self, *_: object) -> None:
        if self.trainer.global_step == self.save_after:
            self.trainer.save_checkpoint(self.path)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_building(tmp_path_factory.mktemp("b"), rooms={"Area_1": 6, "Area_5": 1}, num_points=300)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # between lightning and torch
@pytest.mark.parametrize(("workers", "after"), [(0, 2), (0, 6), (2, 7)])
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_run(
    building: Path, tmp_path: Path, workers: int, after: int
) -> None:
    def fit(checkpoint: Path | None = None) -> list[tuple]:
        data = RoomData(building, grid_size=0.3, batch_size=2, loop=2, mix_prob=0.5, num_workers=workers)
        trainer = L.Trainer(
            max_epochs=3, accelerator="cpu", use_distributed_sampler=False, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        model = Recorder(after, tmp_path / "middle.ckpt")
        trainer.fit(model, data.train_dataloader(seed=5), ckpt_path=checkpoint, weights_only=True)
        return model.seen

    straight = fit()
    assert [entry[:2] for entry in straight] == [(e, b) for e in range(3) for b in range(5)]
    assert fit(tmp_path / "middle.ckpt") == straight[after:]
