"""What became of a published checkpoint, and refusals that all kinds of checkpoints share."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pcseg.errors import UserError
from pcseg.official.loading import UNCOUNTED, LoadReport

HINT = "--partial leaves out what does not fit"


@dataclass(kw_only=True)
class Conversion:
    """Weights by the names of a segmentor, and what became of the names on both sides.

    Args:
        title: What was converted.
        state: Parameters and buffers.
        report: Names; ``missing`` ones keep their initial values in training.
        num_classes: K of the model, ``None`` if the weights are of a backbone alone.
    """

    title: str
    state: dict[str, Tensor]
    report: LoadReport
    num_classes: int | None


def classes_of(source: Path, own: int | None, wanted: int | None, partial: bool) -> int | None:
    """Number of classes of a model to fill: that of the checkpoint, or what is wanted where a part is enough.

    Raises:
        UserError: Another number is wanted, and the whole of the checkpoint.
    """
    if own is not None and wanted is not None and own != wanted and not partial:
        raise UserError(f"{source}: trained on {own} classes, not {wanted}; {HINT}, here the classifier")
    return own if wanted is None or own is None else wanted


def refuse_rest(source: Path, missing: Iterable[str], unexpected: Iterable[str], partial: bool) -> None:
    """One line on names without a partner, unless the user wants but a part."""
    unexpected = [name for name in unexpected if not name.endswith(UNCOUNTED)]
    for kind, names in (("lacks", list(missing)), ("has no place here for", unexpected)):
        if names and not partial:
            some = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            raise UserError(f"{source}: not of the model in --config, {kind} {some}; {HINT}")
