"""Compare variants over several seeds: ``python scripts/study.py NAME --data data/rooms --out runs/studies``."""

import importlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.values import Epochs, NameList, PositiveInt, Processes, checked

FOLDER = Path(__file__).parent / "studies"


def names() -> list[str]:
    """Return the files that define a study; the others are shared by studies."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef study(" in path.read_text())


@checked("--")
def study(
    name: str,
    *,
    data: Path | None = None,
    out: Path = Path("runs/studies"),
    report: Path = Path("docs/studies"),
    seeds: PositiveInt = 3,
    jobs: Processes = 1,
    epochs: Epochs | None = None,
    variants: NameList | None = None,
) -> str:
    """Train the variants of a study on several seeds, score them on unseen rooms, and write the table.

    Finished runs are kept and interrupted ones resume. Writes ``report/NAME.md`` and ``report/NAME.json``.

    Args:
        name: Name of the study; an unknown name lists them.
        data: Prepared folder, as ``scripts/quickstart.sh`` makes it (frames: ``scripts/quickstart_2d.sh``); by default
            that of the study.
        out: Folder of the runs, shared by all studies. Runs with ``epochs`` have a subfolder of their own.
        report: Folder of the table.
        seeds: Number of seeds.
        jobs: Number of runs at a time.
        epochs: Epochs of every training; by default those of the configurations.
        variants: Only these variants; the first of the study is always included. Rows of other variants in an
            existing report are kept if rooms, settings of training and seeds are the same, and so are interventions.
    """
    # imported here: torch takes seconds, which --help does not need
    from studies.cost import measure_costs
    from studies.harness import hashes_of_rooms, run_interventions, run_study
    from studies.report import read_outcomes, write_report

    if name not in names():
        raise UserError(f"{name}: unknown study. Choose from {', '.join(names())}.")
    module = importlib.import_module(f"studies.{name}")
    whole, wanted = module.study(None), module.study(variants)
    data = data or whole.data
    budget = [] if epochs is None else ["--trainer.max_epochs", str(epochs)]
    rooms = hashes_of_rooms(data, whole.other)
    runs = out if epochs is None else out / f"epochs_{epochs}"
    others = [v for v in whole.variants if variants is not None and v.name not in variants]
    before = partial(read_outcomes, report / f"{name}.json", rooms=rooms, budget=budget, seeds=seeds)
    kept = before(others)
    # interventions need the checkpoints of their variant, not only its row
    finished = {outcome.variant.name for outcome in kept} - {wanted.trained}
    todo = replace(wanted, variants=tuple(v for v in wanted.variants if v.name not in finished))
    trained = run_study(todo, data=data, out=runs, seeds=seeds, jobs=jobs, train_options=budget)
    # read again: another command may have added rows meanwhile
    rows = {outcome.variant.name: outcome for outcome in (*kept, *before(others), *trained)}
    outcomes = [rows[v.name] for v in whole.variants if v.name in rows]
    measure_costs(outcomes, data=data)
    interventions = run_interventions(wanted, trained, out=runs, jobs=jobs)
    if not interventions and whole.trained in rows:
        interventions = before(whole.changed(), table="interventions")
    command = " ".join(["python scripts/study.py", *sys.argv[1:]])
    write_report(wanted, outcomes, interventions, folder=report, name=name, command=command, budget=budget)
    return f"{report / name}.md"


if __name__ == "__main__":
    run(study)
