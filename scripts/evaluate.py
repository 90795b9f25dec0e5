"""Score a model on all points of a test split: ``python scripts/evaluate.py --ckpt best.ckpt --out results``."""

from functools import wraps

from rich.console import Console
from rich.markdown import Markdown

from pcseg.cli import run
from pcseg.evaluate import evaluate


@wraps(evaluate)
def command(**options: object) -> None:
    """Evaluate, and show what was written to ``results.md``."""
    report = evaluate(**options)  # type: ignore[arg-type]
    Console(width=120).print(Markdown(report.as_markdown()))


if __name__ == "__main__":
    run(command)
