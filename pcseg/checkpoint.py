"""Checkpoints that know what they are: configuration, classes, input features, version and seed inside."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentParser

from pcseg import __version__
from pcseg.backbones.contract import PointBackbone  # noqa: F401 - named in the factory types below
from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.network import BackboneChoice, HeadFactory, Network

FORMAT_VERSION = 1
KEY = "pcseg"

ModelKind = Literal["points", "images"]
"""What a model predicts: the classes of points or of pixels."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a trained model needs besides its weights.

    Args:
        config: Resolved training configuration.
        schema: Classes, as :meth:`LabelSchema.to_json`.
        features: Names of the input features, in order.
        grid_size: Edge of a voxel in metres.
        in_channels: Width of the input features.
        kind: Whether the model predicts points or images.
        manifest_hash: Hash of the training data's manifest.
        seed: Seed of the run.
        missing_fields: What stands in for a field that a cloud lacks: a colour in 0..255, or ``estimate``.
        converted_from: Published weights that the model was converted from, without training here.
        initial_weights: What training began from, as :func:`pcseg.training.initial_weights.history` tells it;
            ``None``: from scratch.
    """

    config: dict[str, Any]
    schema: str
    features: list[str]
    grid_size: float
    in_channels: int
    manifest_hash: str
    seed: int
    kind: ModelKind = "points"
    version: str = __version__
    format_version: int = FORMAT_VERSION
    missing_fields: dict[str, Any] = field(
        default_factory=lambda: {"color": [127.5, 127.5, 127.5], "normal": "estimate"}
    )
    converted_from: str | None = None
    initial_weights: dict[str, Any] | None = None
    recovery: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A trained network in evaluation mode with everything its card says."""

    network: Network
    card: ModelCard
    schema: LabelSchema
    hash: str
    path: Path

    @property
    def config(self) -> dict[str, Any]:
        return self.card.config

    @property
    def kind(self) -> ModelKind:
        return self.card.kind

    @property
    def features(self) -> list[str]:
        return self.card.features

    @property
    def grid_size(self) -> float:
        return self.card.grid_size

    @property
    def missing_fields(self) -> dict[str, Any]:
        return self.card.missing_fields


def read_checkpoint(path: Path) -> tuple[dict[str, Any], ModelCard]:
    """The raw content of a checkpoint and its card, without building a model.

    Raises:
        UserError: No such file, not a checkpoint, or written by another format.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}; train one with scripts/train.py")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything from EOFError to UnpicklingError on a damaged file
        raise UserError(f"{path}: not a readable checkpoint ({type(error).__name__}); train again") from error
    if not isinstance(content, dict) or KEY not in content:
        raise UserError(f"{path}: not a checkpoint of pcseg; convert it with pcseg convert")
    fields = content[KEY]
    if fields.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path}: checkpoint format {fields.get('format_version')}, this version reads {FORMAT_VERSION}; "
            f"it was written by pcseg {fields.get('version')}"
        )
    fields.setdefault("kind", "images" if fields["features"] == ["image"] else "points")  # older cards
    return content, ModelCard(**fields)


def load_checkpoint(path: Path) -> LoadedModel:
    """Build the model of a checkpoint and load its weights.

    Raises:
        UserError: As :func:`read_checkpoint`, or weights whose names or shapes do not fit the model.
    """
    path = Path(path)
    content, card = read_checkpoint(path)
    schema = LabelSchema.from_json(card.schema, source=str(path))
    backbone, head = instantiate_parts(card.config, source=str(path))
    network = Network(backbone, head, in_channels=card.in_channels, schema=schema)
    load_weights(network, content["state_dict"], source=str(path))
    network.eval()
    return LoadedModel(network=network, card=card, schema=schema, hash=file_hash(path), path=path)


def refuse_options(command: Callable[..., object], model: LoadedModel, values: Mapping[str, object]) -> None:
    """Raise :class:`UserError` if a command was given an option that does not apply to the kind of a model.

    Args:
        command: Function of the command, whose signature has the defaults.
        model: The model.
        values: The options that do not apply to its kind, by name. They must have their defaults.
    """
    parameters = inspect.signature(command).parameters
    for name, value in values.items():
        if value != parameters[name].default:
            kind = {"points": "a point model", "images": "an image model"}[model.kind]
            raise UserError(
                f"--{name}: does not apply to {model.path}, which is {kind}. Leave the option out."
            )


def instantiate_parts(config: dict[str, Any], *, source: str) -> tuple[BackboneChoice, HeadFactory]:
    """The backbone and head that a configuration names, without pretrained weights: the checkpoint has its own."""
    if not config.keys() >= {"backbone", "head"}:
        raise UserError(
            f"{source}: trained from Python without `config`, so it does not name its parts; "
            "build the model and use pcseg.checkpoint.load_weights"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--backbone", type=BackboneChoice)
    parser.add_argument("--head", type=HeadFactory)
    try:
        parsed = parser.parse_object({"backbone": _untrained(config["backbone"]), "head": config["head"]})
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{source}: its configuration does not fit this version: {reason}") from error
    parts = parser.instantiate(parsed)
    return parts.backbone, parts.head


def _untrained(config: Any) -> Any:
    """``config`` without the files that ``pretrained`` options name."""
    if isinstance(config, dict):
        return {key: _untrained(value) for key, value in config.items() if key != "pretrained"}
    return config


def load_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor], *, source: str) -> None:
    """Load ``weights`` strictly.

    Raises:
        UserError: Names the missing, unexpected and misshapen entries (the first few of each).
    """
    own = module.state_dict()
    shapes = [
        f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    problems = {
        "missing": sorted(own.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - own.keys()),
        "other shape": sorted(shapes),
    }
    found = [f"{kind}: {_first(names)}" for kind, names in problems.items() if names]
    if found:
        raise UserError(f"{source}: weights do not fit the model; " + "; ".join(found))
    module.load_state_dict(weights)


def _first(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def file_hash(path: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def differing_keys(mine: Any, theirs: Any, prefix: str = "") -> list[str]:
    """Dotted names of the entries in which two nested configurations differ."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = sorted(mine.keys() | theirs.keys())
        return [
            name
            for key in keys
            for name in differing_keys(mine.get(key), theirs.get(key), f"{prefix}.{key}" if prefix else key)
        ]
    return [] if mine == theirs else [prefix]
