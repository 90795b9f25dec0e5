"""Look through a data set of images before training: ``python scripts/check_images.py ROOT --dataset ade20k``."""

from pathlib import Path

from rich.console import Console

from pcseg.cli import run
from pcseg.data.images.check import check_split
from pcseg.data.images.readers import READERS, ImageSet
from pcseg.errors import UserError


def check_images(
    root: Path,
    *,
    dataset: ImageSet,
    splits: list[str] | str | None = None,
    most: int | None = None,
    workers: int = 1,
) -> None:
    """Read every image and label of a data set and say what is wrong.

    Args:
        root: Folder of the unpacked data set.
        dataset: Which data set it is.
        splits: One split, or a list; all without a value.
        most: Read that many images of a split, evenly spread, instead of all.
        workers: Processes that read.
    """
    console = Console()
    reader = READERS[dataset](root)
    chosen = [splits] if isinstance(splits, str) else list(splits or reader.splits)
    if not chosen:
        raise UserError(f"{root}: no split at all; {reader.dataset} has {reader.layout}")
    faults = 0
    for split in chosen:
        found = check_split(reader, split, most=most, workers=workers)
        faults += len(found.problems)
        lines = [f"{split}: {found.images:,} images, {found.read:,} read, {len(found.problems):,} faults"]
        lines += [f"  {problem}" for problem in found.problems[:20]]
        lines += [f"  and {len(found.problems) - 20:,} more"] if len(found.problems) > 20 else []
        lines += [f"  {remark}" for remark in found.remarks]
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if faults:
        raise UserError(f"{root}: {faults:,} images cannot be used, see above")


if __name__ == "__main__":
    run(check_images)
