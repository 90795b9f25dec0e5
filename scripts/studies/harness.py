"""Variants of an experiment, trained on several seeds in equal budgets, scored on unseen rooms, and compared."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pcseg.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train.

    Args:
        name: Its row in the table.
        config: Configuration, relative to the repository.
        options: What is changed in it, as options of ``scripts/train.py``.
        note: What it is, for the table's reader.
    """

    name: str
    config: str
    options: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Variants that answer one question; the first is what the others are compared with."""

    title: str
    question: str
    variants: tuple[Variant, ...]


def chosen(variants: Sequence[Variant], names: Sequence[str] | None) -> tuple[Variant, ...]:
    """The first of ``variants`` and those called ``names``; all without names.

    Raises:
        UserError: A name that none has.
    """
    if names is None:
        return tuple(variants)
    known = [variant.name for variant in variants]
    for name in names:
        if name not in known:
            raise UserError(f"--variants: no {name!r}; choose from {', '.join(known)}")
    return tuple(variant for i, variant in enumerate(variants) if i == 0 or variant.name in names)


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
        out: Folder of the runs, one folder a variant and seed.
        seeds: Number of seeds, from 0.
        jobs: Runs at a time; the processor's cores are shared among them unless OMP_NUM_THREADS says how many.
        train_options: Options of ``scripts/train.py`` for every variant, the budget above all.

    Raises:
        UserError: A run failed; the message names its log.
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
    if not results.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        train = ["scripts/train.py", "--config", variant.config, "--data.root", str(data.resolve())]
        train += ["--out", str(folder.resolve()), "--seed", str(seed), "--resume", "true"]
        train += ["--trainer.progress_bar", "false", *train_options, *variant.options]
        score = ["scripts/evaluate.py", "--ckpt", str((folder / "best.ckpt").resolve())]
        score += ["--out", str(results.parent.resolve()), "--fragments", "1", "--progress_bar", "false"]
        for command in (train, score):
            _call(command, log=folder / "log.txt", threads=max((os.cpu_count() or 1) // jobs, 1))
    return json.loads(results.read_text())


def _call(command: list[str], *, log: Path, threads: int) -> None:
    environment = {"OMP_NUM_THREADS": str(threads)} | os.environ | {"PYTHONPATH": str(ROOT)}
    with log.open("a") as file:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        lines = log.read_text().strip().splitlines()
        raise UserError(f"{log}: {command[0]} failed: {lines[-1] if lines else 'no output'}")


def spread(values: Sequence[float]) -> str:
    """``mean ± standard deviation`` of values in percent; the deviation needs two."""
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def within_noise(differences: Sequence[float]) -> bool:
    """Whether the mean of paired differences is less than twice its standard error from 0."""
    if len(differences) < 2:
        return True
    return abs(mean(differences)) < 2 * stdev(differences) / math.sqrt(len(differences))


def write_report(study: Study, outcomes: list[Outcome], *, folder: Path, name: str, command: str) -> None:
    """Write ``folder/NAME.md`` and ``folder/NAME.json`` with the command that made them."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = [
        {
            "variant": outcome.variant.name,
            "config": outcome.variant.config,
            "options": list(outcome.variant.options),
            "miou": outcome.mious,
            "class_iou": outcome.class_ious(),
            "cost": outcome.cost,
            "protocols": [result["protocol"] for result in outcome.results],
        }
        for outcome in outcomes
    ]
    content = {"command": command, "study": study.title, "variants": plain}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(study, outcomes, command=command))


def markdown(study: Study, outcomes: list[Outcome], *, command: str) -> str:
    """The study as a page: scores with their spread, differences to the first variant, costs, classes."""
    first, protocol = outcomes[0], outcomes[0].results[0]["protocol"]
    lines = [f"# {study.title}", "", study.question, "", f"Made by `{command}`.", ""]
    lines += [
        f"mIoU in percent of all original points of {protocol['scenes']} unseen rooms "
        f"({protocol['release']}; {', '.join(protocol['splits'])}), {len(first.results)} seeds. Δ is the paired "
        f"difference to *{first.variant.name}*; ≈ marks those within noise (below two standard errors).",
        "",
        "| variant | mIoU | Δ | parameters | time a step | memory a step | |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        pairs = [there - here for there, here in zip(outcome.mious, first.mious)]
        delta = f"{'≈ ' if within_noise(pairs) else ''}{mean(pairs):+.1f}" if outcome is not first else ""
        lines.append(
            f"| {outcome.variant.name} | {spread(outcome.mious)} | {delta} | {_costs(outcome, first)} "
            f"| {outcome.variant.note} |"
        )
    lines += ["", "## Classes", "", "| class | " + " | ".join(o.variant.name for o in outcomes) + " |"]
    lines.append("|---" * (len(outcomes) + 1) + "|")
    columns = [outcome.class_ious() for outcome in outcomes]
    for name in columns[0]:
        cells = " | ".join(f"{column[name]:.1f}" if name in column else "" for column in columns)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def _costs(outcome: Outcome, first: Outcome) -> str:
    if not outcome.cost:
        return " | | "
    ratios = [outcome.cost[key] / first.cost[key] for key in ("step_s", "step_mb")]
    return f"{outcome.cost['parameters'] / 1e6:.2f} M | {ratios[0]:.2f} x | {ratios[1]:.2f} x"
