"""Self-describing checkpoints: weights with configuration, label schema, input features, version and seed."""

import hashlib
import io
import os
import zipfile
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import ArgumentParser

from pcseg import __version__
from pcseg.backbones.contract import PointBackbone  # noqa: F401 - named in the factory types below
from pcseg.config_names import flat
from pcseg.errors import UserError, reason
from pcseg.files import atomic_path
from pcseg.labels import LabelSchema
from pcseg.network import BackboneChoice, HeadFactory, Network
from pcseg.pretrained import SUFFIX, content_hash, packaged, read_half

FORMAT_VERSION = 1
KEY = "pcseg"

SEAL = b"pcseg sha256 "
"""Beginning of the comment of a checkpoint file; the hash of all bytes before the comment follows."""

WITHOUT_EFFECT = (
    "data.init_args.root", "data.init_args.num_workers", "trainer.devices", "trainer.num_nodes", "trainer.accelerator",
    "trainer.progress_bar", "trainer.voxel_budget", "trainer.max_skipped_steps", "out", "resume", "init_from",
)  # fmt: skip
"""Options of the machine, which do not count in the hash of a checkpoint."""

FREE_TO_CHANGE = (*WITHOUT_EFFECT, "data.init_args.batch_size", "trainer.accumulate_grad_batches")
"""Options that may differ between a run and its continuation, which may have another number of processes."""

OF_MACHINE = tuple(f"config.{name}" for name in WITHOUT_EFFECT)

CROPS = 2  # voxels per forward pass of a network with context, in crops of its training

ModelKind = Literal["points", "images"]
"""Whether a model predicts the classes of points or of pixels."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Properties of a trained model besides its weights.

    Args:
        config: Resolved training configuration.
        schema: Label schema, as :meth:`LabelSchema.to_json`.
        features: Names of the input features, in order.
        grid_size: Edge of a voxel in meters.
        room_axes: Whether the model sees rooms in level axes along their walls.
        kind: Whether the model predicts points or images.
        manifest_hash: Hash of the training data's manifest.
        missing_fields: Substitute for a field that a cloud lacks: a color in 0..255, or ``estimate``.
        converted_from: Published weights that the model was converted from, without further training.
        initial_weights: Origin of the initial weights, see :func:`pcseg.training.initial_weights.history`; ``None``
            for a model trained from scratch.
        recovery: Changes that recovery made to the run, see :meth:`pcseg.training.recovery.Recovery.state`.
        temperature: Divisor of the logits that calibrates the probabilities (:mod:`pcseg.metrics.calibration`).
        about: Command, scores, calibration and limits of a released model.
    """

    config: dict[str, Any]
    schema: str
    features: list[str]
    grid_size: float
    in_channels: int
    manifest_hash: str
    seed: int
    room_axes: bool = False
    kind: ModelKind = "points"
    version: str = __version__
    format_version: int = FORMAT_VERSION
    missing_fields: dict[str, Any] = field(
        default_factory=lambda: {"color": [127.5, 127.5, 127.5], "normal": "estimate"}
    )
    converted_from: str | None = None
    initial_weights: dict[str, Any] | None = None
    recovery: dict[str, Any] | None = None
    temperature: float = 1.0
    about: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def data(self) -> dict[str, Any]:
        """Arguments of the training data; empty if the configuration names none."""
        data = self.config.get("data", {})
        return data.get("init_args", data)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A trained network in evaluation mode and its card."""

    network: Network
    card: ModelCard
    schema: LabelSchema
    hash: str
    path: Path

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
    def points_per_pass(self) -> int | None:
        """Voxels per forward pass that suit a network with context: :data:`CROPS` crops of its training."""
        crop = 0 if self.card.data.get("whole_rooms") else self.card.data.get("max_voxels", 0)
        return None if self.network.head.is_local else CROPS * crop or None


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file, read once.

    Args:
        content: Card, weights, and the state of training.
    """

    path: Path
    content: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of weights and card, equal for equal trainings.

        *Convention*: folders, devices, and the voxel budget that the free memory allowed do not count.
        """
        card = {key: value for key, value in self.content.get(KEY, {}).items() if key != "recovery"}
        words = sorted(
            f"{key} {value!r}" for key, value in flat(card).items() if not key.startswith(OF_MACHINE)
        )
        return content_hash("\n".join(words), self.content.get("state_dict", {}))[:16]

    @cached_property
    def card(self) -> ModelCard:
        """Model card.

        Raises:
            UserError: The file is not a checkpoint of pcseg, or has another format version.
        """
        if KEY not in self.content:
            raise UserError(f"{self.path}: not a pcseg checkpoint. Convert it with `pcseg convert`.")
        values = self.content[KEY]
        written_by = f"written by pcseg {values.get('version')}"
        if values.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{self.path}: checkpoint format {values.get('format_version')}, {written_by}; this version reads "
                f"{FORMAT_VERSION}. Use a matching version of pcseg."
            )
        unknown = sorted(values.keys() - {field.name for field in fields(ModelCard)})
        if unknown:
            raise UserError(f"{self.path}: unknown fields {', '.join(unknown)}, {written_by}. Update pcseg.")
        kind = "images" if values["features"] == ["image"] else "points"  # older cards do not name it
        return ModelCard(**{"kind": kind, **values})

    def model(self) -> LoadedModel:
        """Build the model and load its weights.

        Raises:
            UserError: As :attr:`card`, or the weights do not fit the model of the configuration.
        """
        card, source = self.card, str(self.path)
        schema = LabelSchema.from_json(card.schema, source=source)
        backbone, head = instantiate_parts(card.config, source=source)
        network = Network(backbone, head, in_channels=card.in_channels, schema=schema)
        load_weights(network, self.content["state_dict"], source=source)
        network.temperature = card.temperature
        return LoadedModel(network=network.eval(), card=card, schema=schema, hash=self.hash, path=self.path)


def write_checkpoint(path: Path | str, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically, with the SHA-256 of the file in the comment at its end.

    A checkpoint is a zip file, whose comment other programs ignore.

    Raises:
        UserError: The operating system refuses to write the file.
    """
    with atomic_path(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch raises it when the disk is full
            raise OSError(reason(error)) from error
        with temporary.open("r+b") as file:
            file.seek(-2, os.SEEK_END)  # the length of the comment
            file.write((len(SEAL) + 64).to_bytes(2, "little"))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.write(SEAL + digest.encode())


def _is_whole(data: bytes) -> bool:
    """Return whether the checksum at the end of a checkpoint fits; files of older versions have none."""
    start = len(data) - len(SEAL) - 64
    if data[start - 2 : start] != (len(SEAL) + 64).to_bytes(2, "little"):
        return SEAL not in data[-4096:] and zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    digest = hashlib.sha256(memoryview(data)[:start]).hexdigest()
    return data[start:] == SEAL + digest.encode()


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint without building its model; ``indoor-small`` names the model that ships with pcseg.

    Raises:
        UserError: The file does not exist or is damaged.
    """
    path = packaged(Path(path))
    if path.suffix == SUFFIX:
        card, state = read_half(path)
        return Checkpoint(path, {KEY: card, "state_dict": state})
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint. Train one with `pcseg train`.")
    try:
        data = path.read_bytes()
        if not _is_whole(data):
            raise UserError(f"{path}: damaged, its checksum differs. Restore a copy or train again.")
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # torch raises anything from EOFError to UnpicklingError for a damaged file
        raise UserError(
            f"{path}: not a readable checkpoint ({type(error).__name__}). Train again."
        ) from error
    return Checkpoint(path, content if isinstance(content, dict) else {})


def load_checkpoint(path: Path | str) -> LoadedModel:
    """Build the model of a checkpoint and load its weights.

    Raises:
        UserError: The file cannot be read, is not a checkpoint of pcseg, or its weights do not fit.
    """
    return read_checkpoint(path).model()


def instantiate_parts(config: dict[str, Any], *, source: str) -> tuple[BackboneChoice, HeadFactory]:
    """Return backbone and head of a configuration, without loading pretrained weights.

    Raises:
        UserError: The configuration names no backbone and head, or does not fit this version.
    """
    if not config.keys() >= {"backbone", "head"}:
        raise UserError(
            f"{source}: trained from Python without `config`, so its backbone and head are unknown. Build the model "
            "and use pcseg.checkpoint.load_weights."
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--backbone", type=BackboneChoice)
    parser.add_argument("--head", type=HeadFactory)
    try:
        parsed = parser.parse_object(
            {"backbone": without_pretrained(config["backbone"]), "head": config["head"]}
        )
    except Exception as error:  # jsonargparse raises several types
        raise UserError(f"{source}: its configuration does not fit this version: {reason(error)}.") from error
    parts = parser.instantiate(parsed)
    return parts.backbone, parts.head


def without_pretrained(config: Any) -> Any:
    """Return the configuration of a backbone of pcseg without files that only training reads and writes."""
    if not isinstance(config, dict):
        return config
    if "init_args" in config and str(config.get("class_path", "")).startswith("pcseg."):
        arguments = config["init_args"].items()
        config = config | {"init_args": {k: v for k, v in arguments if k not in ("pretrained", "cache")}}
    return {key: without_pretrained(value) for key, value in config.items()}


def load_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor], *, source: str) -> None:
    """Load ``weights`` into ``module``; names and shapes must match exactly.

    Raises:
        UserError: Lists the first missing, unexpected and misshapen entries.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{source}: its weights do not fit the model: {reason(error)}") from error
