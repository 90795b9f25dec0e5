"""Why context helps or not, measured on trained heads: ``python scripts/why_context.py --data data/rooms``."""

from studies.why_context import why_context

from pcseg.cli import run

if __name__ == "__main__":
    run(why_context)
