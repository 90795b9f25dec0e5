"""Views of a scanned room of a million points: a picture and a page as commands, and the time that a click takes.

A click in a browser counts from the press of the button until the page shows the values of the point, and until a
screenshot of 1280 x 720 shows the marked point. Chromium runs on the same cores as the server, without a GPU.
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
from benchmarks.headless import browse, find_browser, screenshot, wait_for_screenshot
from playwright.sync_api import Page

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
from pcseg.views.layers.coloring import By, Coloring
from pcseg.views.layers.explain_points import explain_cloud
from pcseg.views.layers.head_layers import center_point
from pcseg.views.subject import Subject

ROOT = Path(__file__).resolve().parents[2]
NUM_POINTS = 1_000_000
GRID_SIZE = 0.08
"""Meters, as for the generated rooms."""
ROUNDS = 3
SIZE = (1280, 720)
CLICKED = ((300, 450), (500, 380), (400, 600))
"""Pixels of a page of :data:`SIZE` that are clicked one after the other."""
MEASURED = """
import resource, runpy, sys
note, sys.argv = sys.argv[1], sys.argv[2:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # ru_maxrss starts at the value of the parent when it forked
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    open(note, "w").write(f"{usage.ru_utime + usage.ru_stime} {peak}")
"""
"""Runs a script and writes its CPU seconds and its peak resident set in KB."""

BACKBONE = "pcseg.backbones.points.sparse_unet.sparse_unet_small"


def run() -> list[Row]:
    """Measure commands on two threads from start to end of their processes, and clicks on the server."""
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
            command_row("imports of a model only", str(imports)),
            command_row(f"PNG by affinity to classes, {size}", *show, "--png", str(folder / "room.png")),
            command_row(f"page with all layers, {size}", *show, "--html", str(page), written=page),
            *click_rows(room, folder / "ccnet.ckpt", size),
        ]


def command_row(case: str, script: str, *words: str, written: Path | None = None) -> Row:
    """Return median seconds and peak memory of a Python script, and the size of the file that it has ``written``."""
    runs = [run_script(script, words) for _ in range(ROUNDS)]
    cpu = statistics.median(run.cpu for run in runs)
    size = "" if written is None else f", {written.stat().st_size / 1e6:.1f} MB"
    return Row(
        case=f"{case}{size}, {cpu:.1f} CPU seconds",
        ours_s=statistics.median(run.seconds for run in runs),
        ours_peak_mb=max(run.peak_mb for run in runs),
    )


class Run(NamedTuple):
    """Seconds of a process from start to end, CPU seconds, and peak resident set."""

    seconds: float
    cpu: float
    peak_mb: float


def run_script(script: str, words: Sequence[str]) -> Run:
    """Run ``script`` with the arguments ``words`` in a separate Python process."""
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
    """Measure clicks on the server, then in a browser: with fixed colors, and where each click shows its attention."""
    torch.set_num_threads(2)
    subject = explain_cloud(load_checkpoint(ckpt), read_cloud(room))
    rows = [server_row(subject, f"click, time on the server, three recurrences, {size}")]
    if find_browser() is None:
        print("Chromium is not installed: clicks in a browser are not measured")
        return rows
    for by, case in (("rgb", "click in a browser"), ("attention", "click in a browser, three recurrences")):
        rows += browser_rows(subject, by, f"{case}, {size}")
    return rows


def server_row(subject: Subject, case: str) -> Row:
    """Measure a click while the attention of the picked point is shown, which is computed for every click."""
    view = BrowserView(subject, Coloring(by="attention"))
    target = subject.pos[center_point(subject)]
    eye = np.percentile(subject.pos[::100], 20, axis=0)

    def click() -> None:
        assert view.click(tuple(eye), tuple(target - eye)) is not None

    try:
        return with_seconds(measure(case, click, memory=False))
    finally:
        view.stop()


def browser_rows(subject: Subject, by: By, case: str) -> list[Row]:
    """Measure clicks in a browser that draws the default number of points, and in one that draws all of them."""
    # one after the other: a browser draws once a second even if nothing changes
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
            )
        )
        for what, seconds, seconds_of_all in zip(("the text", "the picture"), ours, other)
    ]


def clicks_in_a_browser(subject: Subject, by: By, *, max_points: int) -> tuple[float, float]:
    """Return median seconds from a click to the text, and to the ball and the colors."""
    view = BrowserView(subject, Coloring(by=by), max_points=max_points)
    try:
        with browse(f"http://127.0.0.1:{view.port}", size=SIZE) as page:
            page.wait_for_selector("text=Click a point")
            wait_for_screenshot(page, lambda image: (image < 250).any(axis=-1).mean() > 0.3)
            time.sleep(3)  # the first frames are slower
            text, picture = zip(*(click_seconds(page, *pixel) for pixel in CLICKED))
            return statistics.median(text), statistics.median(picture)
    finally:
        view.stop()


def click_seconds(page: Page, x: int, y: int) -> tuple[float, float]:
    """Return seconds from a click until the page has another text, and until a screenshot differs at the pixel."""
    before, text = screenshot(page), page.inner_text("body")
    near = np.s_[y - 10 : y + 11, x - 10 : x + 11]
    start = time.perf_counter()
    page.mouse.click(x, y)
    page.wait_for_function(f"document.body.innerText !== {json.dumps(text)}", polling=10)
    seconds = time.perf_counter() - start
    wait_for_screenshot(page, lambda image: (abs(image[near] - before[near]).max(axis=-1) > 20).sum() >= 10)
    return seconds, time.perf_counter() - start


def with_seconds(row: Row) -> Row:
    """Return a row with its seconds in the name, because tables show ratios and rates only."""
    return replace(row, case=f"{row.case}: {row.ours_s:.2f} s")


def write_room(path: Path) -> None:
    """Write a generated office, scanned with :data:`NUM_POINTS` points."""
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
    """Write an untrained model with the configuration of the generated rooms."""
    torch.manual_seed(0)
    model = Segmentor(sparse_unet_small, partial(PointHead, body=body), in_channels=4, schema=S3DIS)
    head = {"class_path": "pcseg.heads.PointHead", "init_args": {"body": f"pcseg.heads.{body.__name__}"}}
    card = ModelCard(
        config={"backbone": BACKBONE, "head": head}, schema=S3DIS.to_json(), features=["color", "height"],
        grid_size=GRID_SIZE, in_channels=4, manifest_hash="", seed=0,
    )  # fmt: skip
    torch.save({"state_dict": model.state_dict(), KEY: card.as_dict()}, path)
