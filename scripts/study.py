"""Compare variants over several seeds: ``python scripts/study.py NAME --data data/rooms --out runs/studies``."""

import importlib
import sys
from pathlib import Path

from studies.cost import measure_costs
from studies.harness import run_interventions, run_study
from studies.report import write_report

from pcseg.cli import run
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
        out: Folder of the runs, shared by all studies: a variant of several is trained once.
        report: Folder of the table.
        seeds: Number of seeds.
        jobs: Runs at a time.
        epochs: Length of every training; without a value, that of the configurations.
        variants: Only these; the first of the study always takes part.
    """
    if name not in names():
        raise UserError(f"study {name!r} is unknown; choose from {', '.join(names())}")
    chosen = importlib.import_module(f"studies.{name}").study(variants)
    budget = [] if epochs is None else ["--trainer.max_epochs", str(epochs)]
    outcomes = run_study(chosen, data=data, out=out, seeds=seeds, jobs=jobs, train_options=budget)
    measure_costs(outcomes, data=data)
    interventions = run_interventions(chosen, outcomes, out=out, jobs=jobs)
    command = " ".join(["python scripts/study.py", *sys.argv[1:]])
    write_report(chosen, outcomes, interventions, folder=report, name=name, command=command)
    print(f"{report / name}.md")


if __name__ == "__main__":
    run(study)
