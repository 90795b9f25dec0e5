"""Logs of a run: a resumed run continues the table of metrics; lines per epoch for log files."""

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.fakes import ConvBackbone, write_fake_building

from pcseg.data.room_data import RoomData
from pcseg.heads.linear import LinearHead
from pcseg.nn.levels import Level, PointBatch
from pcseg.training.logs import EpochLines, MetricsTable, read_rows
from pcseg.training.train import train
from pcseg.training.trainer import TrainerOptions


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def write_steps(out: Path, steps: range, *, steps_done: int = 0) -> None:
    """Log as Lightning does: the learning rate before a step, its loss after it, written together."""
    table = MetricsTable(out, steps=steps_done)
    for step in steps:
        table.log_metrics({"lr": 0.1 / (step + 1)}, step)
        table.log_metrics({"loss": 1.0 / (step + 1)}, step)
        table.save()
        if step % 4 == 3:
            table.log_metrics({"val/miou": step / 100}, step)
            table.save()


@pytest.mark.parametrize("killed_after", [4, 6, 8])
def test_a_resumed_run_continues_the_table(tmp_path: Path, killed_after: int) -> None:
    write_steps(tmp_path / "straight", range(12))
    write_steps(tmp_path / "killed", range(killed_after))
    write_steps(tmp_path / "killed", range(4, 12), steps_done=4)
    straight, killed = (tmp_path / name / "logs" / "metrics.csv" for name in ("straight", "killed"))
    assert len(rows_of(straight)) == 27
    assert killed.read_text() == straight.read_text()
    assert [path.name for path in killed.parent.iterdir()] == ["metrics.csv"]


def test_a_run_without_a_checkpoint_starts_a_new_table(tmp_path: Path) -> None:
    write_steps(tmp_path, range(5))
    write_steps(tmp_path, range(3))
    assert [row["step"] for row in rows_of(tmp_path / "logs" / "metrics.csv")] == list("001122")


def test_a_kill_while_the_table_is_started_loses_no_rows(tmp_path: Path) -> None:
    """The rows stay in a second file until the table contains them; a truncated line is ignored."""
    write_steps(tmp_path, range(8))
    table = tmp_path / "logs" / "metrics.csv"
    expected = rows_of(table)
    table.rename(table.with_name(".before.metrics.csv"))
    table.write_text("half of the rows")
    assert MetricsTable(tmp_path, steps=8).experiment
    assert rows_of(table) == expected
    table.write_text(table.read_text()[:-1])
    assert len(read_rows(table, steps=8)) == len(expected) - 1


class Interrupted(ConvBackbone):
    """Raises in a given training step."""

    at = 0

    def forward(self, batch: PointBatch) -> list[Level]:
        if self.training:
            type(self).at -= 1
            if self.at == 0:
                raise RuntimeError("stopped by the test")
        return super().forward(batch)


@pytest.mark.slow
@pytest.mark.parametrize(("at", "every"), [(4, 1), (6, 1), (8, 2)])
def test_a_resumed_run_ends_with_the_rows_of_an_uninterrupted_run(
    tmp_path: Path, at: int, every: int
) -> None:
    """The run of three steps per epoch stops in the second or third of four epochs. If not every epoch is validated,
    checkpoints are written after a validation and not at the end of an epoch."""
    root = write_fake_building(tmp_path / "building", rooms={"Area_1": 4, "Area_5": 1}, num_points=200)

    def run(name: str, *, resume: bool = False) -> list[dict[str, str]]:
        train(
            data=RoomData(root, grid_size=0.3, batch_size=1, val_rooms=["Area_1/office_1"], train_splits=["Area_1"]),
            backbone=Interrupted,
            head=LinearHead,
            trainer=TrainerOptions(
                max_epochs=4, progress_bar=False, accelerator="cpu", log_every_n_steps=1,
                check_val_every_n_epoch=every,
            ),
            out=tmp_path / name,
            resume=resume,
        )  # fmt: skip
        return rows_of(tmp_path / name / "logs" / "metrics.csv")

    straight = run("straight")
    assert [sum(name in row for row in straight) for name in ("train/acc", "val/miou")] == [4, 4 // every]
    Interrupted.at = at
    with pytest.raises(RuntimeError, match="stopped by the test"):
        run("stopped")
    before = rows_of(tmp_path / "stopped" / "logs" / "metrics.csv")
    assert 0 < len(before) < len(straight)
    assert run("stopped", resume=True) == straight


def test_a_log_file_gets_one_line_per_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fake_building(tmp_path / "building", rooms={"Area_1": 4, "Area_5": 1}, num_points=200)

    def run(max_epochs: int, *, resume: bool = False) -> list[str]:
        train(
            data=RoomData(root, grid_size=0.3, batch_size=1, val_rooms=["Area_1/office_1"], train_splits=["Area_1"]),
            backbone=ConvBackbone,
            head=LinearHead,
            trainer=TrainerOptions(max_epochs=max_epochs, accelerator="cpu"),
            out=tmp_path / "run",
            resume=resume,
        )  # fmt: skip
        return capsys.readouterr().out.splitlines()

    lines = run(2) + run(3, resume=True)
    metrics = r"loss \d+\.\d{3}, val/miou 0\.\d{3}"
    best = re.escape(str(tmp_path / "run" / "best.ckpt")) + r" is the best checkpoint, val/miou 0\.\d{3}"
    expected = [
        f"epoch 1 of 2, {metrics}, 0 min remaining", f"epoch 2 of 2, {metrics}, 0 min remaining", best,
        f"epoch 3 of 3, {metrics}, 0 min remaining", best,
    ]  # fmt: skip
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


def test_the_remaining_time_is_that_of_the_remaining_epochs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that resumes after its second epoch and takes ten minutes per epoch."""
    now = iter([1000.0, 1600.0, 2200.0])
    monkeypatch.setattr("pcseg.training.logs.time.monotonic", lambda: next(now))
    trainer = SimpleNamespace(
        current_epoch=2, max_epochs=12, is_global_zero=True, progress_bar_metrics={"loss": 0.5}
    )
    lines, module = EpochLines(), SimpleNamespace()
    lines.on_train_start(trainer, module)  # pyright: ignore
    for trainer.current_epoch in (2, 3):
        lines.on_train_epoch_end(trainer, module)  # pyright: ignore
    assert capsys.readouterr().out.splitlines() == [
        "epoch 3 of 12, loss 0.500, 1 h 30 min remaining",
        "epoch 4 of 12, loss 0.500, 1 h 20 min remaining",
    ]
