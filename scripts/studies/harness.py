"""Variants of an experiment, trained on several seeds in equal budgets, scored on unseen rooms, and compared."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pcseg.errors import UserError
from pcseg.files import write_text

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train.

    Args:
        name: Its row in the table.
        config: Configuration, relative to the repository.
        options: What is changed in it, as options of ``scripts/train.py``.
        note: What it is, for the table's reader.
        base: Name of the variant that it is compared with; the first of the study without one.
    """

    name: str
    config: str
    options: tuple[str, ...] = ()
    note: str = ""
    base: str = ""


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A change of the first variant while it predicts, one of ``studies.interventions.CHANGES``."""

    change: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """Variants that answer one question; the first is what the others are compared with, unless they have a base.

    ``remarks`` end the page: what the table does not show.
    """

    title: str
    question: str
    variants: tuple[Variant, ...]
    interventions: tuple[Intervention, ...] = ()
    remarks: str = ""


def chosen(variants: Sequence[Variant], names: Sequence[str] | None) -> tuple[Variant, ...]:
    """The first of ``variants``, those called ``names`` and their bases; all without names.

    Raises:
        UserError: A name that none has.
    """
    if names is None:
        return tuple(variants)
    known = [variant.name for variant in variants]
    for name in names:
        if name not in known:
            raise UserError(f"--variants: no {name!r}; choose from {', '.join(known)}")
    wanted = {variants[0].name, *names, *(variant.base for variant in variants if variant.name in names)}
    return tuple(variant for variant in variants if variant.name in wanted)


@dataclass(kw_only=True)
class Outcome:
    """Scores of a variant, one entry a seed, and what it costs."""

    variant: Variant
    results: list[dict[str, Any]] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)

    @property
    def mious(self) -> list[float]:
        return [100 * result["scores"]["miou"]["excluded"] for result in self.results]

    def class_ious(self) -> dict[str, float]:
        """Mean over the seeds, in percent; classes without a score are left out."""
        names = [entry["name"] for entry in self.results[0]["classes"]]
        rows = [[entry["iou"] for entry in result["classes"]] for result in self.results]
        columns = {name: list(column) for name, column in zip(names, zip(*rows))}
        return {name: 100 * mean(column) for name, column in columns.items() if None not in column}


def run_study(
    study: Study, *, data: Path, out: Path, seeds: int, jobs: int, train_options: Sequence[str]
) -> list[Outcome]:
    """Train and score every variant with every seed; what is done already is not done again.

    Args:
        study: Which variants.
        data: Prepared folder.
        out: Folder of the runs, one folder a variant and seed. Studies may share it: a variant that is part of
            several is trained once.
        seeds: Number of seeds, from 0.
        jobs: Runs at a time; the processor's cores are shared among them unless OMP_NUM_THREADS says how many.
        train_options: Options of ``scripts/train.py`` for every variant, the budget above all.

    Raises:
        UserError: A run failed, the message names its log; or it was made with other options.
    """
    runs = [(variant, seed) for seed in range(seeds) for variant in study.variants]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(study.title, total=len(runs))

        def work(run: tuple[Variant, int]) -> dict[str, Any]:
            result = _train_and_score(*run, data=data, out=out, jobs=jobs, train_options=train_options)
            progress.advance(task)
            return result

        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(work, runs))
    outcomes = {variant.name: Outcome(variant=variant) for variant in study.variants}
    for (variant, _), result in zip(runs, results):
        outcomes[variant.name].results.append(result)
    return list(outcomes.values())


def _train_and_score(
    variant: Variant, seed: int, *, data: Path, out: Path, jobs: int, train_options: Sequence[str]
) -> dict[str, Any]:
    """The results of one run as ``scripts/evaluate.py`` writes them."""
    folder = out / variant.name / f"seed_{seed}"
    results = folder / "evaluation" / "results.json"
    _require_same_options(folder / "options.json", [variant.config, *train_options, *variant.options])
    if not results.is_file():
        train = ["scripts/train.py", "--config", variant.config, "--data.root", str(data.resolve())]
        train += ["--out", str(folder.resolve()), "--seed", str(seed), "--resume", "true"]
        train += ["--trainer.progress_bar", "false", *train_options, *variant.options]
        score = ["scripts/evaluate.py", "--ckpt", str((folder / "best.ckpt").resolve())]
        score += ["--out", str(results.parent.resolve()), "--fragments", "1", "--progress_bar", "false"]
        for command in (train, score):
            _call(command, log=folder / "log.txt", jobs=jobs)
    return json.loads(results.read_text())


def run_interventions(study: Study, outcomes: Sequence[Outcome], *, out: Path, jobs: int) -> list[Outcome]:
    """Score the trained runs of the first variant once for every intervention; what is done is not done again.

    Args:
        study: Which interventions.
        outcomes: Those of :func:`run_study`.
        out: Folder of the runs.
        jobs: Runs at a time.
    """
    first, changes = outcomes[0].variant, [intervention.change for intervention in study.interventions]
    folders = [out / first.name / f"seed_{seed}" for seed in range(len(outcomes[0].results))]

    def work(folder: Path) -> None:
        places = {change: folder / "interventions" / change / "results.json" for change in changes}
        todo = [change for change, place in places.items() if not place.is_file()]
        if todo:
            score = ["scripts/studies/intervene.py", "--ckpt", str((folder / "best.ckpt").resolve())]
            score += ["--out", str((folder / "interventions").resolve()), "--changes", json.dumps(todo)]
            _call(score, log=folder / "interventions.txt", jobs=jobs)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, folders))
    return [
        Outcome(
            variant=replace(first, name=intervention.change, note=intervention.note),
            results=[
                json.loads((folder / "interventions" / intervention.change / "results.json").read_text())
                for folder in folders
            ],
        )
        for intervention in study.interventions
    ]


def _require_same_options(path: Path, options: list[str]) -> None:
    """Note how a run is made, and refuse one that was made otherwise: its score would be taken for this one's."""
    if path.is_file() and json.loads(path.read_text()) != options:
        raise UserError(f"{path.parent} was trained with other options; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(options) + "\n")


def _call(command: list[str], *, log: Path, jobs: int) -> None:
    threads = max((os.cpu_count() or 1) // jobs, 1)
    environment = {"OMP_NUM_THREADS": str(threads)} | os.environ | {"PYTHONPATH": str(ROOT)}
    with log.open("a") as file:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        lines = log.read_text().strip().splitlines()
        raise UserError(f"{log}: {command[0]} failed: {lines[-1] if lines else 'no output'}")
