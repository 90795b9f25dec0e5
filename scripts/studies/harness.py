"""Train variants on several seeds with equal budgets and score them on unseen rooms."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from studies.settings import require_same_settings, settings_of

from pcseg.data.manifest import MANIFEST_NAME, Manifest
from pcseg.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A configuration of training.

    Args:
        name: Name of its row in the table.
        config: Name of a configuration.
        options: Changes of it, as options of ``pcseg train``.
        note: Description for the reader of the table.
        base: Name of the variant it is compared with; by default the first of the study.
        score: Options of ``pcseg evaluate``.
    """

    name: str
    config: str
    options: tuple[str, ...] = ()
    note: str = ""
    base: str = ""
    score: tuple[str, ...] = ("--fragments", "1")


def with_options(name: str, config: str, note: str, *options: str) -> Variant:
    """Return a variant of ``config`` with other options; its base is the variant called like the configuration."""
    return Variant(name=name, config=config, options=options, note=note, base=Path(config).stem)


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A change of a trained model during prediction; its names are in ``studies.interventions`` (CTNet) and
    ``studies.slab_interventions``."""

    change: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A claim that was written down before the study ran: ``row`` exceeds the best of ``against`` by ``least`` mIoU.

    Rows are variants and interventions.
    """

    claim: str
    row: str
    against: tuple[str, ...]
    least: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """Variants that answer one question; they are compared with their base, or with the first.

    Args:
        interventions: Changes of one trained variant.
        intervened: Name of this variant; by default the first.
        criteria: Claims that the table confirms or not.
        data: Prepared folder, unless another is given.
        other: Prepared folder whose split test is scored instead of the test split of ``data``.
    """

    title: str
    question: str
    variants: tuple[Variant, ...]
    interventions: tuple[Intervention, ...] = ()
    intervened: str = ""
    criteria: tuple[Criterion, ...] = ()
    data: Path = Path("data/rooms")
    other: Path | None = None

    @property
    def trained(self) -> str:
        """Name of the variant that the interventions change; empty without interventions."""
        return (self.intervened or self.variants[0].name) if self.interventions else ""

    def changed(self) -> list[Variant]:
        """Return the rows of the interventions, in order."""
        base = [variant for variant in self.variants if variant.name == self.trained]
        return [replace(row, name=i.change, note=i.note) for row in base for i in self.interventions]


def chosen(variants: Sequence[Variant], names: Sequence[str] | None) -> tuple[Variant, ...]:
    """Return the variants called ``names``, their bases and the first one; without names, all.

    Raises:
        UserError: An unknown name.
    """
    if names is None:
        return tuple(variants)
    known = [variant.name for variant in variants]
    for name in names:
        if name not in known:
            raise UserError(f"--variants: unknown variant {name!r}. Choose from {', '.join(known)}.")
    wanted = {variants[0].name, *names, *(variant.base for variant in variants if variant.name in names)}
    return tuple(variant for variant in variants if variant.name in wanted)


@dataclass(kw_only=True)
class Outcome:
    """Scores of a variant, one entry per seed, the settings of its training, and its cost."""

    variant: Variant
    results: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, float | None] = field(default_factory=dict)

    @property
    def mious(self) -> list[float]:
        return [100 * result["scores"]["miou"]["excluded"] for result in self.results]

    def class_ious(self) -> dict[str, float]:
        """Return the mean IoU of every class over the seeds in percent, without classes that have no score."""
        names = [entry["name"] for entry in self.results[0]["classes"]]
        rows = [[entry["iou"] for entry in result["classes"]] for result in self.results]
        columns = {name: list(column) for name, column in zip(names, zip(*rows))}
        return {name: 100 * mean(column) for name, column in columns.items() if None not in column}


def run_study(
    study: Study, *, data: Path, out: Path, seeds: int, jobs: int, train_options: Sequence[str]
) -> list[Outcome]:
    """Train and score every variant with every seed; finished runs are kept.

    Args:
        study: The variants.
        data: Prepared folder.
        out: Folder of the runs, one folder per variant and seed. Studies may share it: a variant of several
            studies is trained once.
        seeds: Number of seeds.
        jobs: Number of runs at a time; they share the cores unless OMP_NUM_THREADS is set.
        train_options: Options of ``pcseg train`` for every variant, such as the number of epochs.

    Raises:
        UserError: A run failed (the message names its log), or a finished run was made with other settings or rooms.
    """
    rooms = hashes_of_rooms(data, study.other)
    outcomes = {
        variant.name: Outcome(
            variant=variant, settings=settings_of(variant.config, [*train_options, *variant.options])
        )
        for variant in study.variants
    }
    runs = [(variant, seed) for seed in range(seeds) for variant in study.variants]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(study.title, total=len(runs))

        def work(run: tuple[Variant, int]) -> dict[str, Any]:
            folder = out / run[0].name / f"seed_{run[1]}"
            require_same_settings(folder, outcomes[run[0].name].settings)
            result = _train_and_score(
                *run, data=data, other=study.other, folder=folder, jobs=jobs, train_options=train_options
            )
            if not made_with(rooms, result["provenance"]):
                raise UserError(
                    f"{folder}: trained or scored on other rooms than those of the study. Give another --out."
                )
            progress.advance(task)
            return result

        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(work, runs))
    for (variant, _), result in zip(runs, results):
        outcomes[variant.name].results.append(result)
    return list(outcomes.values())


def hashes_of_rooms(data: Path, other: Path | None) -> dict[str, str]:
    """Return the hashes of the rooms to train on and to score, as provenance records name them; none for images.

    Raises:
        UserError: There are no other rooms, which would be noticed after training only.
    """
    if other is None and not (data / MANIFEST_NAME).is_file():
        return {}
    trained = Manifest.read(data).hash
    return {"trained_on_manifest": trained, "manifest": Manifest.read(other).hash if other else trained}


def made_with(hashes: Mapping[str, str], provenance: Mapping[str, Any]) -> bool:
    """Return whether a score was made with ``hashes``, such as those of :func:`hashes_of_rooms`."""
    return all(provenance.get(key) == value for key, value in hashes.items())


def _train_and_score(
    variant: Variant,
    seed: int,
    *,
    data: Path,
    other: Path | None,
    folder: Path,
    jobs: int,
    train_options: Sequence[str],
) -> dict[str, Any]:
    """Return the results of one run as ``pcseg evaluate`` writes them."""
    results = folder / "evaluation" / "results.json"
    score = ["pcseg", "evaluate", "--ckpt", str((folder / "best.ckpt").resolve())]
    score += ["--progress_bar", "false", *variant.score]
    todo = []
    if not results.is_file():
        train = ["pcseg", "train", "--config", variant.config, "--data.root", str(data.resolve())]
        train += ["--out", str(folder.resolve()), "--seed", str(seed), "--resume", "true"]
        train += ["--trainer.progress_bar", "false", *train_options, *variant.options]
        todo = [train, [*score, "--out", str(results.parent.resolve())]]
    if other is not None:
        results = folder / f"evaluation_{other.name}" / "results.json"
        if not results.is_file():
            score += ["--root", str(other.resolve()), "--splits", "test"]
            todo += [[*score, "--out", str(results.parent.resolve())]]
    for command in todo:
        run_module(command, log=folder / "log.txt", jobs=jobs)
    return json.loads(results.read_text())


def run_interventions(study: Study, outcomes: Sequence[Outcome], *, out: Path, jobs: int) -> list[Outcome]:
    """Score the trained runs of one variant with every intervention; finished scores of the same runs are kept.

    Args:
        study: The interventions.
        outcomes: Result of :func:`run_study`.
        out: Folder of the runs.
        jobs: Number of runs at a time.
    """
    trained = next((found for found in outcomes if found.variant.name == study.trained), None)
    if trained is None:  # not among the chosen variants
        return []
    changes = [intervention.change for intervention in study.interventions]
    folders = [out / trained.variant.name / f"seed_{seed}" for seed in range(len(trained.results))]

    def work(run: tuple[Path, dict[str, Any]]) -> None:
        folder, result = run
        made = {"checkpoint": result["provenance"]["checkpoint"]}
        files = {change: folder / "interventions" / change / "results.json" for change in changes}
        todo = [
            change
            for change, file in files.items()
            if not (file.is_file() and made_with(made, json.loads(file.read_text())["provenance"]))
        ]
        if todo:
            score = ["studies.intervene", "--ckpt", str((folder / "best.ckpt").resolve())]
            score += ["--out", str((folder / "interventions").resolve()), "--changes", json.dumps(todo)]
            run_module(score, log=folder / "interventions.txt", jobs=jobs)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, zip(folders, trained.results)))
    return [
        Outcome(
            variant=row,
            settings=trained.settings,
            results=[
                json.loads((folder / "interventions" / row.name / "results.json").read_text())
                for folder in folders
            ],
        )
        for row in study.changed()
    ]


def run_module(command: list[str], *, log: Path, jobs: int = 1) -> None:
    """Run a module in a separate process with its output in ``log``; :class:`UserError` if it fails."""
    threads = max((os.cpu_count() or 1) // jobs, 1)
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    environment = {"OMP_NUM_THREADS": str(threads)} | os.environ | {"PYTHONPATH": path}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        lines = log.read_text().strip().splitlines()
        raise UserError(f"{log}: {' '.join(command[:2])} failed: {lines[-1] if lines else 'no output'}")
