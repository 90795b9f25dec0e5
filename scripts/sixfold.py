"""Cross-validate over all areas: ``python scripts/sixfold.py configs/s3dis/plain.yaml --out runs/s3dis_sixfold``."""

import sys
from functools import wraps
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from pcseg.cli import run
from pcseg.evaluation.cross_validation import cross_validate

TRAIN = Path(__file__).resolve().with_name("train.py")


@wraps(cross_validate)
def command(*args: object, **options: object) -> None:
    """Cross-validate, and show what was written to ``results.md``."""
    report = cross_validate(*args, **options)  # type: ignore[arg-type]
    Console(width=120).print(Markdown(report.as_markdown()))


if __name__ == "__main__":
    run(command, args=["--train_script", str(TRAIN), *sys.argv[1:]])
