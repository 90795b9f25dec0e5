"""Compare point and image models on unseen rooms: ``python scripts/compare.py ROOMS FRAMES --plain A --images B``."""

from functools import wraps

from rich.console import Console
from rich.markdown import Markdown

from pcseg.cli import run
from pcseg.evaluation.comparison import compare


@wraps(compare)
def command(*args: object, **options: object) -> None:
    """Compare, and show what was written to ``comparison.md``."""
    report = compare(*args, **options)  # type: ignore[arg-type]
    Console(width=140).print(Markdown(report.as_markdown()))


if __name__ == "__main__":
    run(command)
