"""The protocol stamp: everything that scores depend on, so that numbers are compared only with their like."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pcseg import __version__
from pcseg.checkpoint import LoadedModel, ModelCard
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.schemas import benchmark_of
from pcseg.errors import UserError
from pcseg.inference.points import Vote
from pcseg.inference.tta import Protocol
from pcseg.labels import LabelSchema

NOT_RECIPE = ("out", "resume", "init_from", "trainer.devices", "trainer.num_nodes", "trainer.accelerator",
              "trainer.progress_bar", "data.root", "data.num_workers", "data.test_splits", "data.train_splits",
              "data.val_splits", "data.val_rooms")  # fmt: skip
"""Settings of training that may differ between the folds of a cross-validation."""

OF_A_FOLD = ("splits", "scenes", "points", "checkpoint", "predictions", "initial_weights")
"""Entries of a stamp that differ between the folds of a cross-validation."""


def data_arguments(model: LoadedModel) -> dict[str, Any]:
    """The arguments of the training data in the configuration of a checkpoint; empty if it has none."""
    data = model.config.get("data", {})
    return data.get("init_args", data)


def trained_on(model: LoadedModel, key: str, *, option: str) -> Any:
    """One argument of the training data; :class:`UserError` names the option to give if it is not known."""
    value = data_arguments(model).get(key)
    if value is None:
        raise UserError(f"{model.path}: its configuration does not name the data's {key}; give {option}")
    return value


def protocol_of(schema: LabelSchema) -> Protocol:
    """The protocol that the field uses for data of these classes."""
    try:
        benchmark_of(schema, source="")
    except UserError:
        return "s3dis"
    return "scannet"


def protocol_stamp(
    model: LoadedModel,
    manifest: Manifest,
    entries: Sequence[SceneEntry],
    options: dict[str, Any],
    votes: Sequence[Vote],
    *,
    protocol: Protocol,
    boundary: float,
) -> dict[str, Any]:
    """Everything that the scores depend on; ``predictions`` is the hash of what the predictions depend on."""
    return {
        "protocol": protocol,
        "dataset": manifest.dataset,
        "release": manifest.release,
        "splits": sorted({entry.split for entry in entries}),
        "kept_from_training": kept_from_training(model, manifest, [entry.split for entry in entries]),
        "scenes": len(entries),
        "points": sum(entry.num_points for entry in entries),
        **predictions_depend_on(model, manifest, options, votes),
        "passes": len(votes),
        "boundary": boundary or None,
        "checkpoint": model.hash,
        "checkpoint_version": model.card.version,
        "recipe": recipe_hash(model),
        "seed": model.card.seed,
        **origin_stamp(model.card),
        "schema": model.schema.name,
        "classes": list(model.schema.names),
        "predictions": predictions_hash(model, manifest, options, votes),
    }


def predictions_depend_on(
    model: LoadedModel, manifest: Manifest, options: dict[str, Any], votes: Sequence[Vote]
) -> dict[str, Any]:
    """What the predictions of a checkpoint depend on."""
    return {
        "manifest": manifest.hash,
        "grid_size": model.grid_size,
        "features": list(model.features),
        **options,
        "votes": [getattr(vote, "__name__", str(vote)) for vote in votes],
        "pcseg": __version__,
    }


def predictions_hash(
    model: LoadedModel, manifest: Manifest, options: dict[str, Any], votes: Sequence[Vote]
) -> str:
    """Names the folder in which predictions are kept apart from those of other protocols."""
    fields = predictions_depend_on(model, manifest, options, votes)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def recipe_hash(model: LoadedModel) -> str:
    """Hash of the training configuration without splits, places and devices: equal for folds of one recipe."""
    config = {key: value for key, value in model.config.items() if key != "data"}
    config["data"] = data_arguments(model)
    flat = _flat(config)
    kept = {key: value for key, value in flat.items() if not key.startswith(NOT_RECIPE)}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def origin_stamp(card: ModelCard) -> dict[str, Any]:
    """What a model was trained on, and what its training began from; converted weights were not trained here."""
    return {
        "trained_on_manifest": None if card.converted_from else card.manifest_hash,
        "initial_weights": card.converted_from or (card.initial_weights or {}).get("name"),
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, part in value.items():
        flat |= _flat(part, f"{prefix}.{key}" if prefix else str(key))
    return flat


def kept_from_training(model: LoadedModel, manifest: Manifest, splits: Sequence[str]) -> bool | None:
    """Whether neither training nor the choice of the checkpoint saw ``splits``; ``None`` where it is not known.

    Convention:
        The trainings that made the checkpoint a training began from count too. What published weights saw is not
        known: a model that was only converted from them has ``None``, one that was trained from them is judged by
        its training, and the stamp names them.
    """
    if model.card.converted_from:
        return None
    answers = [_kept(data_arguments(model), model.card.manifest_hash, manifest, splits)]
    began = model.card.initial_weights
    while began and began["training"]:
        answers.append(_kept(began["training"], began["training"]["manifest_hash"], manifest, splits))
        began = began["training"]["initial_weights"]
    return False if False in answers else None if None in answers else True


def _kept(
    arguments: dict[str, Any], manifest_hash: str, manifest: Manifest, splits: Sequence[str]
) -> bool | None:
    """Whether one training with these arguments of the data saw none of ``splits``."""
    if manifest.hash != manifest_hash or arguments.get("test_splits") is None:
        return None
    seen = set(arguments.get("val_splits") or ())
    if arguments.get("train_splits") is not None:  # others, such as ScanNet's test split, are not looked at
        return not set(splits) & (seen | set(arguments["train_splits"]))
    return set(splits) <= set(arguments["test_splits"]) - seen


def fold_differences(stamps: Sequence[dict[str, Any]]) -> list[str]:
    """Entries in which the stamps differ though folds of one cross-validation must not; with their values."""
    keys = dict.fromkeys(key for stamp in stamps for key in stamp if key not in OF_A_FOLD)
    differences = []
    for key in keys:
        values = list(dict.fromkeys(json.dumps(stamp.get(key)) for stamp in stamps))
        if len(values) > 1:
            differences.append(f"{key} ({' against '.join(value[:60] for value in values[:2])})")
    return differences
