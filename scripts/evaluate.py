"""Score a model on a test split: ``python scripts/evaluate.py --ckpt best.ckpt --out results``.

A model of images is scored on all pixels, one of points on all points; ``--ckpt FILE --help`` lists its options.
"""

from functools import wraps

from checkpoint_kind import names_image_model
from rich.console import Console
from rich.markdown import Markdown

from pcseg.cli import run
from pcseg.evaluation.images import evaluate_images
from pcseg.evaluation.points import evaluate
from pcseg.evaluation.report import Report


def show(report: Report) -> None:
    """Show what was written to ``results.md``."""
    Console(width=120).print(Markdown(report.as_markdown()))


@wraps(evaluate)
def command(**options: object) -> None:
    """Evaluate a model of points."""
    show(evaluate(**options))  # type: ignore[arg-type]


@wraps(evaluate_images)
def image_command(**options: object) -> None:
    """Evaluate a model of images."""
    show(evaluate_images(**options))  # type: ignore[arg-type]


if __name__ == "__main__":
    run(image_command if names_image_model() else command)
