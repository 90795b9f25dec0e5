"""Training runs in processes of their own, and what they write."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pcseg.cli import main

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "train.py"

CONFIG = """
data:
  class_path: pcseg.data.room_data.RoomData
  init_args: {root: ROOT, grid_size: 0.15, batch_size: 2, mix_prob: 0.5}
backbone: {class_path: pcseg.backbones.points.sparse_unet.SparseUNet,
           init_args: {channels: [8, 8], layers: [1, 1], base_channels: 8}}
head: {class_path: pcseg.heads.LinearHead}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.01}}
trainer: {max_epochs: 6, progress_bar: false, ema_decay: 0.9, accelerator: cpu}
out: OUT
"""


def write_config(path: Path, building: Path, out: Path, text: str = CONFIG) -> Path:
    """Write ``text`` with the paths of data and run filled in."""
    path.write_text(text.replace("ROOT", str(building)).replace("OUT", str(out)))
    return path


def start(
    config: Path, *options: str, launcher: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start the training command.

    Args:
        launcher: Arguments of Python that come before the script, such as ``-m torch.distributed.run``.
        env: Further environment variables.
    """
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "tests" / "helpers"), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, *launcher, str(SCRIPT), "--config", str(config), *options],
        env={**os.environ, "PYTHONPATH": paths, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_here(config: Path, *options: str) -> None:
    """Train in this process, which saves the imports of another."""
    before = signal.getsignal(signal.SIGINT)
    try:
        main(["train", "--config", str(config), *options])
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored


def slurm(rank: int, tasks: int) -> dict[str, str]:
    """Return the variables that ``srun`` sets for task ``rank`` of a job on this machine."""
    return {
        "SLURM_JOB_ID": "4242", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": str(tasks), "SLURM_PROCID": str(rank),
        "SLURM_NTASKS_PER_NODE": str(tasks), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(29500 + os.getpid() % 1000),
    }  # fmt: skip


def finish(process: subprocess.Popen) -> str:
    """Wait for a process that must succeed and return its output."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the last checkpoint of a run."""
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


def logged(run: Path, name: str) -> list[float]:
    """Return the logged values of a metric."""
    with open(run / "logs" / "metrics.csv") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]
