"""Start a training from a checkpoint or from converted weights, which may lack a part of the model."""

import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcseg.checkpoint import KEY, Checkpoint, read_checkpoint, write_checkpoint
from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.network import Network
from pcseg.official.loading import load_published
from pcseg.official.names.name_map import NameMap
from pcseg.training.other_classes import for_classes

WEIGHTS_KEY = "pcseg_weights"
"""Key of the description of converted weights."""

WEIGHTS_VERSION = 1

SPLITS = ("dataset", "train_splits", "val_splits", "test_splits")
"""Arguments of the data that identify what a training reads."""

logger = logging.getLogger(__name__)


def save_weights(
    path: Path,
    state: dict[str, Tensor],
    *,
    missing: list[str],
    origin: str,
    card: dict[str, Any] | None = None,
) -> None:
    """Write weights that :func:`load_initial_weights` reads.

    Args:
        missing: Names of the model that keep their initial values on purpose.
        origin: What the weights were converted from.
        card: Model card, if the weights are a complete model that can be evaluated.
    """
    content: dict[str, Any] = {
        WEIGHTS_KEY: {"version": WEIGHTS_VERSION, "origin": origin, "missing": missing},
        "state_dict": state,
    }
    if card is not None:
        content[KEY] = card
    write_checkpoint(path, content)


def read_initial_weights(path: Path) -> Checkpoint:
    """Read a training checkpoint or converted weights.

    Raises:
        UserError: The file does not exist, is damaged, or holds no weights of this package.
    """
    checkpoint = read_checkpoint(path)
    if WEIGHTS_KEY not in checkpoint.content:
        _ = checkpoint.card  # raises for files of other programs
    return checkpoint


def load_initial_weights(module: nn.Module, checkpoint: Checkpoint) -> list[str]:
    """Load a training checkpoint or converted weights into ``module``.

    If the classes of a checkpoint differ from those of the module, the parts of the head that depend on them are
    carried over as far as possible (:mod:`pcseg.training.other_classes`).

    Returns:
        Names of the parameters and buffers that keep their initial values; none for a training checkpoint.

    Raises:
        UserError: The weights do not fit, or lack something that the conversion did not list as missing.

    Convention:
        Parts that keep their initial values are logged.
    """
    path, content = checkpoint.path, checkpoint.content
    about = content.get(WEIGHTS_KEY, {"version": WEIGHTS_VERSION, "missing": []})
    if about["version"] != WEIGHTS_VERSION:
        raise UserError(f"{path}: converted by another version of pcseg. Convert the checkpoint again.")
    weights, optional = content["state_dict"], tuple(about["missing"])
    if isinstance(module, Network) and WEIGHTS_KEY not in content:
        schema = LabelSchema.from_json(checkpoint.card.schema, source=str(path))
        if schema.names != module.schema.names:
            weights = for_classes(weights, module.state_dict(), schema, module.schema)
            optional = ("head.",)
    names = NameMap(names={name: name for name in weights}, optional=optional)
    try:
        report = load_published(module, weights, names, strict=True)
    except UserError as error:
        raise UserError(
            f"{path}: does not fit the model: {error}. Use the configuration that it was made with."
        ) from error
    if report.missing:
        parts = sorted({".".join(name.split(".")[:2]) for name in report.missing})
        logger.warning("%s: no weights for %s. They keep their initial values.", path, ", ".join(parts))
    return report.missing


def history(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the origin of initial weights: their ``name``, and the data that their own ``training`` read.

    ``name`` is the hash of a checkpoint, or the origin of converted weights, whose training is unknown (``None``).
    ``training`` holds manifest_hash, the splits of the data, and the initial_weights that it started from.
    """
    if WEIGHTS_KEY in checkpoint.content:
        return {"name": checkpoint.content[WEIGHTS_KEY]["origin"], "training": None}
    card = checkpoint.card
    splits = {key: card.data.get(key) for key in SPLITS}
    training = {"manifest_hash": card.manifest_hash, "initial_weights": card.initial_weights, **splits}
    return {"name": f"checkpoint {checkpoint.hash}", "training": training}
