"""Hand in to ScanNet: ``python scripts/submit_scannet.py --root data/scannet --ckpt best.ckpt --out scannet.zip``."""

from functools import wraps

from pcseg.cli import run
from pcseg.evaluation.submission import submit


@wraps(submit)
def command(**options: object) -> None:
    """Write and check the archive, and say what is in it."""
    done = submit(**options)  # type: ignore[arg-type]
    of = f" of checkpoint {done.checkpoint}" if done.checkpoint else ""
    print(
        f"{done.archive}: {done.scans} scans, {done.points:,} vertices, {done.classes} classes{of}; "
        "names, counts and ids are right"
    )


if __name__ == "__main__":
    run(command)
