"""A run's measures: the table ``logs/metrics.csv``, which goes on where the run goes on, and lines for log files."""

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
    """The rows of the first ``steps`` steps of a table, without the columns that are empty.

    A last line that was cut off when its process was killed is left out.
    """
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    rows = [{key: value for key, value in row.items() if key and value} for row in csv.DictReader(lines)]
    return [row for row in rows if row.get("step", "").isdigit() and int(row["step"]) < steps]


class MetricsTable(CSVLogger):
    """Lightning's table of measures; what a run that goes on wrote before stays in it.

    Args:
        out: Folder of the run; the table is ``out/logs/metrics.csv``.
        steps: Steps of the checkpoint that the run goes on with; 0 for a run that begins, which writes over the
            table of a run that ended before its first checkpoint.

    Convention:
        Steps count from 0. Rows of later ones are left out: they were lost with their process and are made again.
    """

    def __init__(self, out: Path, *, steps: int = 0) -> None:
        super().__init__(out, name="", version="logs")
        self._steps = steps
        self._is_begun = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """What writes the rows, on the first process alone."""
        if not self._is_begun:
            self._is_begun = True
            self._begin()
        return super().experiment

    def _begin(self) -> None:
        """Begin the table with the rows that stay; they are never in memory alone."""
        table = Path(self.log_dir) / TABLE
        before = table.with_name(f".before.{TABLE}")
        if self._steps == 0:
            before.unlink(missing_ok=True)
        elif table.exists() and not before.exists():
            table.replace(before)
        rows = read_rows(before, steps=self._steps) if before.exists() else []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*logs directory.*")  # Lightning deletes a table that it finds
            writer = super().experiment
        for row in rows:
            writer.log_metrics({key: value for key, value in row.items() if key != "step"}, int(row["step"]))
        writer.save()
        before.unlink(missing_ok=True)


class EpochLines(Callback):
    """Prints a line an epoch with the progress bar's measures and the time left, for output that is no terminal."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began, self._before = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        done, of = trainer.current_epoch + 1, trainer.max_epochs or 0
        left = (time.monotonic() - self._began) / (done - self._before) * (of - done)
        measures = [f"{name} {float(value):.3f}" for name, value in trainer.progress_bar_metrics.items()]
        line = ", ".join([f"epoch {done} of {of}", *measures, f"{_spoken(left)} left"])
        rich.get_console().print(line, soft_wrap=True, highlight=False)


def _spoken(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
