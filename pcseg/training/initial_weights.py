"""Weights to start a training from: of a checkpoint, or converted ones, which may leave parameters as they are."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pcseg.checkpoint import KEY, file_hash, load_weights, read_checkpoint
from pcseg.errors import UserError
from pcseg.files import atomic_path
from pcseg.official.loading import UNCOUNTED

WEIGHTS_KEY = "pcseg_weights"
"""Where converted weights say what they are."""

WEIGHTS_VERSION = 1

SPLITS = ("train_splits", "val_splits", "test_splits")
"""Arguments of the data that say what a training saw."""

logger = logging.getLogger(__name__)


def save_weights(
    path: Path,
    state: dict[str, Tensor],
    *,
    missing: list[str],
    origin: str,
    card: dict[str, Any] | None = None,
) -> None:
    """Write weights that :func:`load_initial_weights` reads; under a temporary name first.

    Args:
        path: File to write.
        state: By the names that a segmentor has for them.
        missing: Names of the segmentor that keep their initial values on purpose.
        origin: What they were converted from.
        card: Model card, if the weights are a whole model that can be evaluated.
    """
    content: dict[str, Any] = {
        WEIGHTS_KEY: {"version": WEIGHTS_VERSION, "origin": origin, "missing": missing},
        "state_dict": state,
    }
    if card is not None:
        content[KEY] = card
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_initial_weights(module: nn.Module, path: Path) -> list[str]:
    """Start ``module`` from a checkpoint of training, or from what ``scripts/convert_checkpoint.py`` wrote.

    Returns:
        Names of the parameters and buffers that keep their initial values; a checkpoint leaves none.

    Raises:
        UserError: The weights do not fit, or lack something that the conversion did not name as missing.

    Convention:
        What a conversion leaves to training is told in the log, part by part.
    """
    content = torch_content(path)
    if WEIGHTS_KEY not in content:
        load_weights(module, read_checkpoint(path)[0]["state_dict"], source=str(path))
        return []
    about, weights, own = content[WEIGHTS_KEY], content["state_dict"], module.state_dict()
    if about["version"] != WEIGHTS_VERSION:
        raise UserError(f"{path}: converted by another version; run scripts/convert_checkpoint.py again")
    left = set(about["missing"])
    kept = [name for name in own if name not in weights and (name in left or name.endswith(UNCOUNTED))]
    load_weights(module, {name: own[name] for name in kept} | weights, source=str(path))
    fresh = [name for name in kept if not name.endswith(UNCOUNTED)]
    if fresh:
        parts = sorted({".".join(name.split(".")[:2]) for name in fresh})
        logger.warning("%s has no weights for %s; these start anew", path, ", ".join(parts))
    return fresh


def history(path: Path) -> dict[str, Any]:
    """Where weights to start from come from: ``name``, and ``training`` with what their own training saw.

    ``name`` is the hash of a checkpoint, or what the weights were converted from; of these the training is not
    known. ``training`` has manifest_hash, the splits of the data, and the initial_weights that it began from.

    Raises:
        UserError: No such file, or no weights of ours.
    """
    content = torch_content(path)
    if WEIGHTS_KEY in content:
        return {"name": content[WEIGHTS_KEY]["origin"], "training": None}
    card = read_checkpoint(path)[1]
    data = card.config.get("data", {})
    splits = {key: data.get("init_args", data).get(key) for key in SPLITS}
    training = {"manifest_hash": card.manifest_hash, "initial_weights": card.initial_weights, **splits}
    return {"name": f"checkpoint {file_hash(path)}", "training": training}


def torch_content(path: Path) -> dict[str, Any]:
    """What is in a file of our own, ``{}`` if it is none; its reader then says why."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # read_checkpoint tells what is wrong with it
        return {}
    return content if isinstance(content, dict) else {}
