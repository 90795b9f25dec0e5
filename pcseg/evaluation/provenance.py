"""Provenance of scores: everything they depend on, and whether training saw the test data."""

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

import pcseg
from pcseg.checkpoint import LoadedModel, ModelCard
from pcseg.config_names import flat
from pcseg.data.images.readers import IMAGE_READERS
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.errors import UserError
from pcseg.inference.points import PointOptions
from pcseg.inference.tta import EvaluationProtocol, TTAPass

NOT_RECIPE = ("out", "resume", "init_from", "trainer.devices", "trainer.num_nodes", "trainer.accelerator",
              "trainer.progress_bar", "data.root", "data.num_workers", "data.test_splits", "data.train_splits",
              "data.val_splits", "data.val_rooms")  # fmt: skip
"""Settings of training that may differ between the folds of a cross-validation."""

FOLD_FIELDS = ("splits", "scenes", "points", "checkpoint", "predictions", "initial_weights")
"""Fields of a provenance record that differ between the folds of a cross-validation."""

FRAME_SETS = ("room_frames", "scannet_frames")
"""Image data sets whose images show scanned rooms; all others are photos of other places."""

NOT_PREDICTION_CODE = ("cli", "config_names.py", "evaluation", "losses", "metrics", "training", "views")
"""Files and folders of the package that predictions do not depend on."""


def training_argument(model: LoadedModel, key: str, *, option: str) -> Any:
    """Return an argument of the training data; raise :class:`UserError` with the option to give if it is unknown."""
    value = model.card.data.get(key)
    if value is None:
        raise UserError(f"{model.path}: its configuration does not name {key} of the data. Give {option}.")
    return value


def default_protocol(manifest: Manifest) -> EvaluationProtocol:
    """Return the evaluation protocol of a data set."""
    name = manifest.dataset.lower()
    return "s3dis" if name.startswith("s3dis") else "scannet" if name.startswith("scannet") else "generic"


def provenance_record(
    model: LoadedModel,
    manifest: Manifest,
    entries: Sequence[SceneEntry],
    options: PointOptions,
    passes: Sequence[TTAPass],
    *,
    protocol: EvaluationProtocol,
    boundary: float,
) -> dict[str, Any]:
    """Return everything that scores on points depend on; ``predictions`` is a hash of what predictions depend on."""
    splits = sorted({entry.split for entry in entries})
    predictions = {
        "manifest": manifest.hash,
        "grid_size": model.grid_size,
        "features": list(model.features),
        **asdict(options),
        "tta": list(map(str, passes)),
        **code_record(model),
    }
    return {
        "protocol": protocol,
        "dataset": manifest.dataset,
        "release": manifest.release,
        "splits": splits,
        "kept_from_training": kept_from_training(model.card, splits, manifest_hash=manifest.hash),
        "scenes": len(entries),
        "points": sum(entry.num_points for entry in entries),
        **predictions,
        "passes": len(passes),
        "boundary": boundary or None,
        **model_record(model),
        "recipe": recipe_hash(model),
        "predictions": _hash(predictions),
    }


def model_record(model: LoadedModel) -> dict[str, Any]:
    """Return the part of a provenance record that describes the model."""
    card = model.card
    return {
        "checkpoint": model.hash,
        "checkpoint_version": card.version,
        "seed": card.seed,
        "trained_on_manifest": None if card.converted_from else card.manifest_hash,
        "initial_weights": card.converted_from or (card.initial_weights or {}).get("name"),
        "schema": model.schema.name,
        "classes": list(model.schema.names),
    }


def code_record(model: LoadedModel) -> dict[str, str]:
    """Return the versions of the code that predictions depend on."""
    return {"pcseg": pcseg.__version__, "code": code_hash(model), "torch": torch.__version__}


def code_hash(model: LoadedModel) -> str:
    """Return a hash of the source code that predictions depend on: of this package and of the model's own parts."""
    hashes = [_package_hash()]
    for part in (type(model.network.backbone), type(model.network.head)):
        try:
            source = Path(inspect.getfile(part)).read_bytes()
        except (OSError, TypeError):  # a class without a file, for example from a notebook
            source = repr(part).encode()
        hashes.append(hashlib.sha256(source).hexdigest())
    return _hash(hashes)


@cache
def _package_hash() -> str:
    root = Path(pcseg.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if name.parts[0] not in NOT_PREDICTION_CODE:
            digest.update(name.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def recipe_hash(model: LoadedModel) -> str:
    """Return a hash of the training configuration without splits, paths and devices: equal for folds of one recipe."""
    config = {key: value for key, value in model.card.config.items() if key != "data"}
    config["data"] = model.card.data
    return _hash({key: value for key, value in flat(config).items() if not key.startswith(NOT_RECIPE)})


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def kept_from_training(
    card: ModelCard, splits: Sequence[str], *, manifest_hash: str | None = None, image_set: str | None = None
) -> bool | None:
    """Return whether neither training nor checkpoint selection saw ``splits``; ``None`` if this is unknown.

    Args:
        manifest_hash: Hash of the manifest, for an evaluation on prepared rooms.
        image_set: Name of the data set, for an evaluation on images.

    Convention:
        Without ``manifest_hash`` and ``image_set`` the evaluation is on rooms and frames of them, however they were
        prepared: a training on rooms or frames is judged by the names of its splits alone.

        The trainings of checkpoints that a training was initialized from count too. The training data of published
        weights are unknown: a model that was only converted from them has ``None``; a fine-tuned one is judged by its
        own training, and its provenance record names them.
    """
    if card.converted_from:
        return None
    trainings = [card.data | {"manifest_hash": card.manifest_hash}]
    initial = card.initial_weights
    while initial and initial["training"]:
        trainings.append(initial["training"])
        initial = initial["training"]["initial_weights"]
    answers = [_kept(training, splits, manifest_hash, image_set) for training in trainings]
    return False if False in answers else None if None in answers else True


def _kept(
    training: dict[str, Any], splits: Sequence[str], manifest_hash: str | None, image_set: str | None
) -> bool | None:
    """Return whether one training, given by its data arguments and ``manifest_hash``, saw none of ``splits``."""
    trained_set = training.get("dataset")
    if image_set is None and trained_set is not None and trained_set not in FRAME_SETS:
        return True  # photos, but the evaluation is on rooms
    same = trained_set == image_set and manifest_hash in (None, training["manifest_hash"])
    if (manifest_hash or image_set) and not same:
        return None
    default = IMAGE_READERS[trained_set].test_splits if trained_set in IMAGE_READERS else None
    test = training.get("test_splits") or default
    if test is None:
        return None
    seen = set(training.get("val_splits") or ())
    if training.get("train_splits") is not None:  # other splits, such as ScanNet's test split, are not used
        return not set(splits) & (seen | set(training["train_splits"]))
    return set(splits) <= set(test) - seen


def fold_differences(records: Sequence[dict[str, Any]]) -> list[str]:
    """Return the fields, with values, that must be equal in all folds of a cross-validation but are not."""
    keys = dict.fromkeys(key for record in records for key in record if key not in FOLD_FIELDS)
    differences = []
    for key in keys:
        values = list(dict.fromkeys(json.dumps(record.get(key)) for record in records))
        if len(values) > 1:
            differences.append(f"{key} ({' and '.join(value[:60] for value in values[:2])})")
    return differences
