"""Logs of a run: the table ``logs/metrics.csv``, which a resumed run continues, and one line per epoch."""

import csv
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import rich
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment

TABLE = "metrics.csv"


def read_rows(path: Path, *, steps: int) -> list[dict[str, str]]:
    """Return the rows of the first ``steps`` steps of a table, without empty columns.

    A last line that was truncated when its process was killed is left out.
    """
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    rows = [{key: value for key, value in row.items() if key and value} for row in csv.DictReader(lines)]
    return [row for row in rows if row.get("step", "").isdigit() and int(row["step"]) < steps]


class MetricsTable(CSVLogger):
    """Lightning's table of metrics, which keeps the rows of a run that is resumed.

    Args:
        out: Folder of the run; the table is ``out/logs/metrics.csv``.
        steps: Number of steps of the checkpoint that the run resumes from; 0 for a new run, which overwrites the
            table of a run that ended before its first checkpoint.

    Convention:
        Steps count from 0. Rows of later steps are dropped, because the resumed run makes these steps again.
    """

    def __init__(self, out: Path, *, steps: int = 0) -> None:
        super().__init__(out, name="", version="logs")
        self._steps = steps
        self._is_started = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Writer of the rows, on the first process only."""
        if not self._is_started:
            self._is_started = True
            self._start()
        return super().experiment

    def _start(self) -> None:
        """Start the table with the rows to keep; a file holds them at all times."""
        table = Path(self.log_dir) / TABLE
        before = table.with_name(f".before.{TABLE}")
        if self._steps == 0:
            before.unlink(missing_ok=True)
        elif table.exists() and not before.exists():
            table.replace(before)
        rows = read_rows(before, steps=self._steps) if before.exists() else []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*logs directory.*")  # Lightning deletes an existing table
            writer = super().experiment
        for row in rows:
            writer.log_metrics({key: value for key, value in row.items() if key != "step"}, int(row["step"]))
        writer.save()
        before.unlink(missing_ok=True)


class EpochLines(Callback):
    """Prints one line per epoch with the progress bar's metrics and the remaining time, for log files."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start, self._first = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 0
        remaining = (time.monotonic() - self._start) / (done - self._first) * (total - done)
        metrics = [f"{name} {float(value):.3f}" for name, value in trainer.progress_bar_metrics.items()]
        line = ", ".join([f"epoch {done} of {total}", *metrics, f"{_duration(remaining)} remaining"])
        rich.get_console().print(line, soft_wrap=True, highlight=False)


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
