"""Kill every command at random times, run it again, and compare its result with that of an undisturbed run.

``python scripts/studies/kills.py --out docs/studies/kills`` writes a table and its numbers. A command can be repeated
alone with ``--commands train``; the results of the others are kept.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from pcseg.checkpoint import read_checkpoint
from pcseg.cli import run
from pcseg.files import write_json, write_text

TRAINING = """
data: {class_path: pcseg.data.room_data.RoomData, init_args: {root: ROOT, grid_size: 0.2, batch_size: 1}}
backbone: {class_path: pcseg.backbones.points.sparse_unet.SparseUNet,
           init_args: {channels: [8, 8], layers: [1, 1], base_channels: 8}}
head: pcseg.heads.LinearHead
trainer: {max_epochs: 30, progress_bar: false, accelerator: cpu}
"""


@dataclass(kw_only=True)
class Outcome:
    """Runs of one command: kills, runs that did not end well, results that differ, temporary files left."""

    kills: int = 0
    runs: int = 0
    failed: int = 0
    different: int = 0
    left: int = 0
    seconds: float = 0.0


def kill_commands(
    *, out: Path = Path("docs/studies/kills"), kills: int = 20, commands: list[str] | None = None
) -> str:
    """Kill commands at random times and write ``OUT.json`` and ``OUT.md``.

    Args:
        out: Files without suffix.
        kills: Kills per command.
        commands: Commands; default: all.
    """
    table = out.with_suffix(".json")
    outcomes = json.loads(table.read_text()) if table.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, result) in inputs(Path(folder)).items():
            if commands is None or name in commands:
                outcomes[name] = asdict(disturb(make, result, Path(folder) / name, kills))
                write_json(table, outcomes)
    rows = [
        f"| `pcseg {name}` | {o['runs']} | {o['kills']} | {o['failed']} | {o['different']} | {o['left']} |"
        for name, o in outcomes.items()
    ]
    text = "\n".join([HEADER, *rows, ""])
    write_text(out.with_suffix(".md"), text)
    return text


HEADER = """# Commands under kills

Each command is killed (SIGKILL) at random times and run again until it ends. Its files are then compared, byte by
byte, with those of an undisturbed run; checkpoints by the hash of their weights and card.

Made by `python scripts/studies/kills.py`.

| Command | Finished runs | Kills | Failed restarts | Different results | Temporary files left |
|---|---|---|---|---|---|"""

Command = Callable[[Path], list[str]]


def inputs(folder: Path) -> dict[str, tuple[Command, Callable[[Path], str]]]:
    """Prepare tiny rooms and a model; return each command and the hash of its result in a folder."""
    raw, rooms, model, config = (folder / name for name in ("raw", "rooms", "model", "config.yaml"))
    config.write_text(TRAINING.replace("ROOT", str(rooms)))
    scan = rooms / "Area_5"
    commands: dict[str, tuple[Command, Callable[[Path], str]]] = {
        "prepare rooms": (
            lambda out: ["prepare", "rooms", str(out), "--rooms", "2", "--points", "3000", "--workers", "2"],
            files_hash,
        ),
        "prepare s3dis": (lambda out: ["prepare", "s3dis", str(raw), str(out), "--workers", "2"], files_hash),
        "train": (
            lambda out: ["train", "--config", str(config), "--out", str(out), "--resume", "true"],
            lambda out: " ".join(read_checkpoint(out / f"{name}.ckpt").hash for name in ("best", "last")),
        ),
        "evaluate": (
            lambda out: ["evaluate", "--ckpt", str(model / "best.ckpt"), "--out", str(out), "--tta", "true"],
            files_hash,
        ),
        "predict": (
            lambda out: [
                "predict",
                str(min(scan.glob("*.h5"))),
                "--ckpt",
                str(model / "best.ckpt"),
                "--out",
                str(out),
            ],
            files_hash,
        ),
    }
    for name, out in (("prepare rooms", raw), ("prepare s3dis", rooms), ("train", model)):
        start(commands[name][0](out)).wait()
    return commands


def start(args: list[str]) -> subprocess.Popen:
    """Start a command in a process group of its own, without output."""
    return subprocess.Popen(
        [sys.executable, "-m", "pcseg", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def files_hash(out: Path) -> str:
    """Return a hash of the names and bytes of all visible files."""
    digest = sha256()
    for path in sorted(path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")):
        digest.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def disturb(make: Command, result: Callable[[Path], str], folder: Path, kills: int) -> Outcome:
    """Kill a command ``kills`` times in all, in as many runs as that takes."""
    begin, rng = time.monotonic(), random.Random(0)
    process = start(make(folder / "whole"))
    process.wait()
    seconds, expected, outcome = time.monotonic() - begin, result(folder / "whole"), Outcome()
    while outcome.kills < kills:
        out = folder / str(outcome.runs)
        for _ in range(4):  # then the run is left alone
            process = start(make(out))
            try:
                process.wait(timeout=rng.uniform(0.4, 1.0) * seconds)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                outcome.kills += 1
        if process.returncode != 0:
            process = start(make(out))
            process.wait()
        outcome.runs += 1
        outcome.failed += process.returncode != 0
        outcome.different += process.returncode == 0 and result(out) != expected
        outcome.left += len(list(out.rglob(".*.tmp"))) + len(list(out.rglob("*.lock")))
    outcome.seconds = round(time.monotonic() - begin, 1)
    return outcome


if __name__ == "__main__":
    run(kill_commands)
