"""Compare variants over several seeds: ``python scripts/study.py NAME --data data/rooms --out runs/studies``."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

from studies.cost import measure_costs
from studies.harness import run_interventions, run_study
from studies.report import read_outcomes, write_report

from pcseg.cli import run
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError

FOLDER = Path(__file__).parent / "studies"


def names() -> list[str]:
    """Files that define a study; the others are what studies share."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef study(" in path.read_text())


def study(
    name: str,
    *,
    data: Path = Path("data/rooms"),
    out: Path = Path("runs/studies"),
    report: Path = Path("docs/studies"),
    seeds: int = 3,
    jobs: int = 1,
    epochs: int | None = None,
    variants: list[str] | None = None,
) -> None:
    """Train the variants of a study on several seeds, score them on unseen rooms, and write the table.

    Finished runs are kept, a stopped one goes on. Writes ``report/NAME.md`` and ``report/NAME.json``.

    Args:
        name: Which study; a wrong name lists them.
        data: Prepared folder, as ``scripts/quickstart.sh`` leaves it.
        out: Folder of the runs, shared by all studies: a variant of several is trained once. Runs of ``epochs``
            lie in a folder of their own below it.
        report: Folder of the table.
        seeds: Number of seeds.
        jobs: Runs at a time.
        epochs: Length of every training; without a value, that of the configurations.
        variants: Only these; the first of the study always takes part. Rows that the report has of others, with the
            same rooms, budget and seeds, stay in the table.
    """
    if name not in names():
        raise UserError(f"study {name!r} is unknown; choose from {', '.join(names())}")
    module = importlib.import_module(f"studies.{name}")
    whole, wanted = module.study(None), module.study(variants)
    budget = [] if epochs is None else ["--trainer.max_epochs", str(epochs)]
    runs = out if epochs is None else out / f"epochs_{epochs}"
    others = [v for v in whole.variants if variants is not None and v.name not in variants]
    kept = read_outcomes(
        report / f"{name}.json", others, manifest=Manifest.read(data).hash, budget=budget, seeds=seeds
    )
    # interventions need the checkpoints of the first variant, not only its row
    there = set() if wanted.interventions else {outcome.variant.name for outcome in kept}
    todo = replace(wanted, variants=tuple(v for v in wanted.variants if v.name not in there))
    trained = run_study(todo, data=data, out=runs, seeds=seeds, jobs=jobs, train_options=budget)
    rows = {outcome.variant.name: outcome for outcome in (*kept, *trained)}
    outcomes = [rows[v.name] for v in whole.variants if v.name in rows]
    measure_costs(outcomes, data=data)
    interventions = run_interventions(todo, trained, out=runs, jobs=jobs)
    command = " ".join(["python scripts/study.py", *sys.argv[1:]])
    write_report(wanted, outcomes, interventions, folder=report, name=name, command=command, budget=budget)
    print(f"{report / name}.md")


if __name__ == "__main__":
    run(study)
