"""Calibrate a point model on scenes of its validation splits and release it: the command ``pcseg calibrate``."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from pcseg.checkpoint import KEY, LoadedModel, ModelCard, read_checkpoint, write_checkpoint
from pcseg.data.indoor import INDOOR, LABEL_SETS, from_indoor
from pcseg.data.manifest import Manifest
from pcseg.data.sample import load_sample
from pcseg.errors import UserError
from pcseg.evaluation.points import entries_in, open_scene
from pcseg.evaluation.provenance import training_argument
from pcseg.evaluation.tables import percent, table
from pcseg.files import write_text
from pcseg.inference.clouds import predict_sample
from pcseg.inference.device import choose_device
from pcseg.inference.points import PointOptions
from pcseg.metrics.calibration import accuracy_table, apply_temperature, calibration_error, fit_temperature
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.pretrained import SUFFIX, write_half
from pcseg.values import NameList, PositiveInt, checked

OF_THE_RUN = ("out", "resume", "init_from", "trainer", "config")
"""Parts of a training's configuration that a released model does not carry."""


@checked("--")
def calibrate(
    ckpt: Path,
    out: Path,
    *,
    root: Path | None = None,
    splits: NameList | None = None,
    test_splits: NameList | None = None,
    points: PositiveInt = 20_000,
    notes: str = "",
    device: str = "auto",
    progress_bar: bool = True,
) -> str:
    """Fit the temperature of a point model and write the calibrated model and its card.

    The temperature is fitted on every second scene of ``splits``; the errors are measured on the others and on
    ``test_splits``.

    Args:
        ckpt: Checkpoint of the model.
        out: Calibrated model: ``.safetensors`` for half precision, otherwise a checkpoint. A card ``.md`` is written
            beside it.
        root: Prepared folder; default: the training data.
        splits: Splits to calibrate on; default: the validation splits of training.
        test_splits: Splits to score; default: the test splits of training.
        points: Number of points per scene that are used.
        notes: Text for the card, such as the command that made the model.
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress.

    Raises:
        UserError: A checkpoint or folder is missing or damaged, a split is unknown, or not a point model.
    """
    checkpoint = read_checkpoint(ckpt)
    model = checkpoint.model()
    if model.kind != "points":
        raise UserError(f"{ckpt}: an image model. Choose the checkpoint of a point model.")
    model.network.to(choose_device(device)).temperature = 1.0
    root = root or Path(training_argument(model, "root", option="--root"))
    manifest = Manifest.read(root)
    splits = splits or list(training_argument(model, "val_splits", option="--splits"))
    test_splits = test_splits or list(training_argument(model, "test_splits", option="--test_splits"))
    options = PointOptions().for_model(model)
    unseen = list(_looked_at(model, manifest, root, splits, points, options, progress_bar))
    if len(unseen) < 2:
        raise UserError(f"--splits: {len(unseen)} scenes in {', '.join(splits)}. Use splits of at least two.")
    temperature = fit_temperature(*_joined(unseen[::2]))
    groups = {", ".join(splits): unseen[1::2]}
    groups[", ".join(test_splits)] = list(
        _looked_at(model, manifest, root, test_splits, points, options, progress_bar)
    )
    about = {
        "notes": notes,
        "manifest_hash": manifest.hash,
        "scores": {
            name: _scores(*_joined(scenes), model, temperature) for name, scenes in groups.items() if scenes
        },
    }
    card = replace(checkpoint.card, temperature=temperature, about=about, config=released(checkpoint.card))
    state = checkpoint.content["state_dict"]
    if out.suffix == SUFFIX:
        write_half(out, card.as_dict(), state)
    else:
        write_checkpoint(out, {KEY: card.as_dict(), "state_dict": state})
    text = card_text(card, out)
    write_text(out.with_suffix(".md"), text)
    return text


def released(card: ModelCard) -> dict[str, Any]:
    """Return the configuration without paths and options of the run."""
    config = {key: value for key, value in card.config.items() if key not in OF_THE_RUN}
    if "init_args" in config.get("data", {}):
        data = config["data"]
        config["data"] = data | {"init_args": data["init_args"] | {"root": Path(card.data["root"]).name}}
    return config


def _looked_at(
    model: LoadedModel,
    manifest: Manifest,
    root: Path,
    splits: Sequence[str],
    points: int,
    options: PointOptions,
    progress_bar: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the probabilities ``(P, K)`` and true classes ``(P,)`` of random labeled points of every scene."""
    entries = entries_in(manifest, splits, root=root)
    console = Console(stderr=True, quiet=not progress_bar)
    for number, entry in enumerate(track(entries, ", ".join(splits), console=console)):
        sample = load_sample(open_scene(root, entry, model), name=f"{entry.split}/{entry.name}")
        labeled = np.flatnonzero(sample.label >= 0)
        if not len(labeled):
            continue
        found = predict_sample(model, sample, options=options, probabilities=True)
        assert found.probability is not None
        rows = np.random.default_rng(number).permutation(labeled)[:points]
        yield found.probability[rows], sample.label[rows].astype(np.int64)


def _joined(scenes: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([scene[0] for scene in scenes]), np.concatenate([scene[1] for scene in scenes])


def _scores(
    probability: np.ndarray, label: np.ndarray, model: LoadedModel, temperature: float
) -> dict[str, Any]:
    """Return accuracy, mIoU per label set, errors of calibration and the table of accuracies."""
    calibrated = apply_temperature(probability, temperature)
    correct = probability.argmax(axis=1) == label
    scores: dict[str, Any] = {
        "points": len(label),
        "error_before": calibration_error(probability.max(axis=1), correct),
        "error": calibration_error(calibrated.max(axis=1), correct),
        "accuracy_at": accuracy_table(calibrated.max(axis=1), correct),
        "sets": {},
    }
    if model.schema.names == INDOOR.names:
        maps = {str(name): (schema, from_indoor(name)[:-1]) for name, schema in LABEL_SETS.items()}
    else:
        maps = {model.schema.name: (model.schema, np.arange(model.schema.num_classes))}
    for name, (schema, target) in maps.items():
        known = target >= 0
        merged = np.zeros((len(label), schema.num_classes), np.float32)
        np.add.at(merged.T, target[known], calibrated.T[known])
        matrix = ConfusionMatrix(schema.num_classes)
        matrix.update(
            torch.from_numpy(merged.argmax(axis=1)), torch.from_numpy(target[label].astype(np.int64))
        )
        iou = matrix.iou().tolist()
        scores["sets"][name] = {
            "accuracy": matrix.overall_accuracy(),
            "miou": matrix.mean_iou(),
            "iou": {k: round(value, 4) for k, value in zip(schema.names, iou) if value == value},
        }
    return scores


def card_text(card: ModelCard, path: Path) -> str:
    """Return the card of a calibrated model as Markdown."""
    about = card.about or {}
    lines = [f"# {path.stem}", "", *([about["notes"], ""] if about["notes"] else [])]
    lines += [f"Data hash {card.manifest_hash}, seed {card.seed}, pcseg {card.version}. "
              f"Voxels of {100 * card.grid_size:g} cm, features {', '.join(card.features)}. "
              f"Temperature {card.temperature:.3f}."]  # fmt: skip
    for name, scores in about["scores"].items():
        sets = [
            [k, percent(row["accuracy"], 1), percent(row["miou"], 1)] for k, row in scores["sets"].items()
        ]
        levels = [
            [f"{low:g}", percent(share, 1), percent(right, 1)] for low, share, right in scores["accuracy_at"]
        ]
        lines += ["", f"## Scenes of {name}", "", table(["classes", "accuracy [%]", "mIoU [%]"], sets), ""]
        lines += [
            f"Expected calibration error {scores['error']:.3f} ({scores['error_before']:.3f} before).",
            "",
        ]
        lines += [table(["confidence at least", "points [%]", "accuracy [%]"], levels)]
        iou = next(iter(scores["sets"].values()))["iou"]
        ranked = sorted(iou, key=lambda k: iou[k])
        lines += ["", "Worst classes (IoU in %): "
                  + ", ".join(f"{k} {100 * iou[k]:.0f}" for k in ranked[:8]) + ". Best: "
                  + ", ".join(f"{k} {100 * iou[k]:.0f}" for k in ranked[:-6:-1]) + "."]  # fmt: skip
    return "\n".join(lines) + "\n"
