"""Views of a scanned room of a million points: a picture and a page as commands, and what a click on one costs."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.harness import Row, measure

from data_prep.building.plan import plan_area
from data_prep.building.room_types import build_room
from data_prep.building.scanner import scan_room
from pcseg.backbones.points.sparse_unet import sparse_unet_small
from pcseg.checkpoint import KEY, ModelCard, load_checkpoint
from pcseg.data.clouds import read_cloud
from pcseg.data.scenes import write_scene
from pcseg.explain import explain_cloud
from pcseg.heads.ccnet import PointRCCAHead
from pcseg.heads.ctnet import PointCTHead
from pcseg.labels import S3DIS
from pcseg.segmentor import HeadFactory, Segmentor
from pcseg.views.browser import BrowserView
from pcseg.views.head_layers import middle_point
from pcseg.views.subject import make_subject

ROOT = Path(__file__).resolve().parents[2]
NUM_POINTS = 1_000_000
GRID_SIZE = 0.08
"""Of the models of the generated rooms."""
ROUNDS = 3
MEASURED = """
import resource, runpy, sys
note, sys.argv = sys.argv[1], sys.argv[2:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # ru_maxrss starts with what the parent held when it forked
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    open(note, "w").write(f"{usage.ru_utime + usage.ru_stime} {peak}")
"""
"""Runs a script and notes its seconds of processor time and the peak of its resident set in KB."""

PART = "pcseg.backbones.points.sparse_unet.sparse_unet_small"


def run() -> list[Row]:
    """Commands on two threads, from start to end of their processes; clicks on the server's side."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        room = folder / "office_1.h5"
        write_room(room)
        for name, head in (("ctnet", PointCTHead), ("ccnet", PointRCCAHead)):
            write_model(folder / f"{name}.ckpt", head)
        show = ["scripts/visualize.py", str(room), "--ckpt", str(folder / "ctnet.ckpt"), "--by", "affinity"]
        page, imports = folder / "room.html", folder / "imports.py"
        imports.write_text("import pcseg.checkpoint, pcseg.explain")
        size = f"{NUM_POINTS:,} points"
        return [
            command_row("imports of a model, alone", str(imports)),
            command_row(f"PNG by affinity to classes, {size}", *show, "--png", str(folder / "room.png")),
            command_row(f"page with all colours, {size}", *show, "--html", str(page), written=page),
            click_row(room, folder / "ccnet.ckpt", size),
        ]


def command_row(case: str, script: str, *words: str, written: Path | None = None) -> Row:
    """Median seconds and largest memory of a Python script; the size of the file that it has ``written``."""
    runs = [run_script(script, words) for _ in range(ROUNDS)]
    cpu = statistics.median(run.cpu for run in runs)
    size = "" if written is None else f", {written.stat().st_size / 1e6:.1f} MB"
    return Row(
        case=f"{case}{size}, {cpu:.1f} s of processor time",
        ours_s=statistics.median(run.seconds for run in runs),
        other="",
        other_s=None,
        speedup=None,
        ours_peak_mb=max(run.peak_mb for run in runs),
        other_peak_mb=None,
    )


class Run(NamedTuple):
    """What a process took: seconds from its start to its end, those of processors, and its largest resident set."""

    seconds: float
    cpu: float
    peak_mb: float


def run_script(script: str, words: Sequence[str]) -> Run:
    """Run ``script`` with the arguments ``words`` in a Python process of its own."""
    environment = {"OMP_NUM_THREADS": "2"} | os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "usage")
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", MEASURED, str(note), script, *words],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.perf_counter() - start
        cpu, peak = map(float, note.read_text().split())
    return Run(seconds, cpu, peak / 1024)


def click_row(room: Path, ckpt: Path, size: str) -> Row:
    """A click while the attention of the picked point is shown, which every click computes anew."""
    torch.set_num_threads(2)
    cloud, model = read_cloud(room), load_checkpoint(ckpt)
    subject = make_subject(cloud, maps=explain_cloud(model, cloud).maps)
    view = BrowserView(subject, "attention")
    target = subject.pos[middle_point(subject)]
    eye = np.percentile(subject.pos[::100], 20, axis=0)

    def click() -> None:
        assert view.click(tuple(eye), tuple(target - eye)) is not None

    try:
        return measure(f"click on a point, three recurrences, {size}", click, "", None, memory=False)
    finally:
        view.stop()


def write_room(path: Path) -> None:
    """A generated office, scanned with :data:`NUM_POINTS` points."""
    plan = next(plan for plan in plan_area(0, 1, 4) if plan.room_type == "office")
    model = build_room(plan.build_seed, plan.room_type)
    scan = scan_room(model, points=NUM_POINTS, seed=plan.scan_seed)
    label = np.array([S3DIS.names.index(name) for name in model.labels], np.int16)[scan.instance]
    arrays = {
        "pos": scan.pos.astype(np.float32),
        "color": scan.color,
        "label": label,
        "instance": scan.instance,
    }
    write_scene(path, **arrays, dataset="benchmark", scene=path.stem, schema=S3DIS)


def write_model(path: Path, head: HeadFactory) -> None:
    """An untrained model as the generated rooms are trained with; what it says does not matter here."""
    torch.manual_seed(0)
    model = Segmentor(sparse_unet_small, head, in_channels=4, schema=S3DIS)
    config = {"backbone": PART, "head": {"class_path": f"{head.__module__}.{head.__qualname__}"}}
    card = ModelCard(
        config=config, schema=S3DIS.to_json(), features=["color", "height"], grid_size=GRID_SIZE, in_channels=4,
        manifest_hash="", seed=0,
    )  # fmt: skip
    torch.save({"state_dict": model.state_dict(), KEY: card.as_dict()}, path)
