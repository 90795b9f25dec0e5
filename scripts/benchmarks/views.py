"""Views of a scanned room of a million points: a picture and a page as commands, and what a click on one costs.

A click in a browser counts from the press of the button until the page says what is known of the point, and until a
screenshot of 1280 x 720 shows it. Chromium runs beside the server on the same cores, without a screen and a GPU.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.harness import Row, measure
from benchmarks.headless import Page, browse, find_browser

from data_prep.synthetic.plan import plan_area
from data_prep.synthetic.room_types import build_room
from data_prep.synthetic.scanner import scan_room
from pcseg.backbones.points.sparse_unet import sparse_unet_small
from pcseg.checkpoint import KEY, ModelCard, load_checkpoint
from pcseg.data.io.clouds import read_cloud
from pcseg.data.scenes import write_scene
from pcseg.heads import Body, CTBody, PointHead, RCCABody
from pcseg.labels import S3DIS
from pcseg.training.segmentor import Segmentor
from pcseg.views.interactive.browser import MAX_POINTS, BrowserView
from pcseg.views.layers.coloring import By
from pcseg.views.layers.explain_points import explain_cloud
from pcseg.views.layers.head_layers import middle_point
from pcseg.views.subject import Subject, make_subject

ROOT = Path(__file__).resolve().parents[2]
NUM_POINTS = 1_000_000
GRID_SIZE = 0.08
"""Of the models of the generated rooms."""
ROUNDS = 3
SIZE = (1280, 720)
PLACES = ((300, 450), (500, 380), (400, 600))
"""Pixels of a page of :data:`SIZE` that are clicked one after the other."""
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
        for name, body in (("ctnet", CTBody), ("ccnet", RCCABody)):
            write_model(folder / f"{name}.ckpt", body)
        show = ["scripts/visualize.py", str(room), "--ckpt", str(folder / "ctnet.ckpt"), "--by", "affinity"]
        page, imports = folder / "room.html", folder / "imports.py"
        imports.write_text("import pcseg.checkpoint, pcseg.views.layers.explain_points")
        size = f"{NUM_POINTS:,} points"
        return [
            command_row("imports of a model, alone", str(imports)),
            command_row(f"PNG by affinity to classes, {size}", *show, "--png", str(folder / "room.png")),
            command_row(f"page with all colours, {size}", *show, "--html", str(page), written=page),
            *click_rows(room, folder / "ccnet.ckpt", size),
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


def click_rows(room: Path, ckpt: Path, size: str) -> list[Row]:
    """Clicks on the server's side, then in a browser: among colours that stay, and where each picks an attention."""
    torch.set_num_threads(2)
    cloud, model = read_cloud(room), load_checkpoint(ckpt)
    subject = make_subject(cloud, maps=explain_cloud(model, cloud).maps)
    rows = [server_row(subject, f"click, the server's part, three recurrences, {size}")]
    if find_browser() is None:
        print("no Chromium here: clicks in a browser are not measured")
        return rows
    for by, case in (("rgb", "click in a browser"), ("attention", "click in a browser, three recurrences")):
        rows += browser_rows(subject, by, f"{case}, {size}")
    return rows


def server_row(subject: Subject, case: str) -> Row:
    """A click while the attention of the picked point is shown, which every click computes anew."""
    view = BrowserView(subject, "attention")
    target = subject.pos[middle_point(subject)]
    eye = np.percentile(subject.pos[::100], 20, axis=0)

    def click() -> None:
        assert view.click(tuple(eye), tuple(target - eye)) is not None

    try:
        return with_seconds(measure(case, click, "", None, memory=False))
    finally:
        view.stop()


def browser_rows(subject: Subject, by: By, case: str) -> list[Row]:
    """Clicks in a browser that draws as many points as it does by default, and in one that draws all of them."""
    # one after the other: a browser draws once a second even where nothing happens
    ours = clicks_in_a_browser(subject, by, max_points=MAX_POINTS)
    other = clicks_in_a_browser(subject, by, max_points=len(subject))
    return [
        with_seconds(
            Row(
                case=f"{case}, at most {MAX_POINTS:,} drawn, until {what}",
                ours_s=seconds,
                other="all of them drawn",
                other_s=seconds_of_all,
                speedup=seconds_of_all / seconds,
                ours_peak_mb=None,
                other_peak_mb=None,
            )
        )
        for what, seconds, seconds_of_all in zip(("the text", "the picture"), ours, other)
    ]


def clicks_in_a_browser(subject: Subject, by: By, *, max_points: int) -> tuple[float, float]:
    """Median seconds from a click to the text of its answer, and to the ball and the colours."""
    view = BrowserView(subject, by, max_points=max_points)
    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
            browse(f"http://127.0.0.1:{view.port}", Path(profile), size=SIZE) as page,
        ):
            page.wait("document.body !== null && document.body.innerText.includes('Click')")
            page.wait_for_picture(lambda image: (image < 250).any(axis=-1).mean() > 0.3)
            time.sleep(3)  # until what the start has left to draw is drawn
            told, seen = zip(*(click_seconds(page, *place) for place in PLACES))
            return statistics.median(told), statistics.median(seen)
    finally:
        view.stop()


def click_seconds(page: Page, x: int, y: int) -> tuple[float, float]:
    """Seconds from a click until the page has another text, and until a screenshot has another picture there."""
    before, text = page.picture(), page.evaluate("document.body.innerText")
    near = np.s_[y - 10 : y + 11, x - 10 : x + 11]
    start = time.perf_counter()
    page.click(x, y)
    page.wait(f"document.body.innerText !== {json.dumps(text)}", step=0.01)
    told = time.perf_counter() - start
    page.wait_for_picture(lambda image: (abs(image[near] - before[near]).max(axis=-1) > 20).sum() >= 10)
    return told, time.perf_counter() - start


def with_seconds(row: Row) -> Row:
    """The row with its seconds in words, for tables that have ratios and rates only."""
    return replace(row, case=f"{row.case}: {row.ours_s:.2f} s")


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


def write_model(path: Path, body: type[Body]) -> None:
    """An untrained model as the generated rooms are trained with; what it says does not matter here."""
    torch.manual_seed(0)
    model = Segmentor(sparse_unet_small, partial(PointHead, body=body), in_channels=4, schema=S3DIS)
    head = {"class_path": "pcseg.heads.PointHead", "init_args": {"body": f"pcseg.heads.{body.__name__}"}}
    config = {"backbone": PART, "head": head}
    card = ModelCard(
        config=config, schema=S3DIS.to_json(), features=["color", "height"], grid_size=GRID_SIZE, in_channels=4,
        manifest_hash="", seed=0,
    )  # fmt: skip
    torch.save({"state_dict": model.state_dict(), KEY: card.as_dict()}, path)
