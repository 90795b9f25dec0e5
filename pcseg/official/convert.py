"""Convert checkpoints of other projects, or image heads for points, to weights that training can start from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.checkpoint import KEY, instantiate_parts, read_checkpoint
from pcseg.data.features import WIDTHS, num_features
from pcseg.errors import UserError
from pcseg.heads import ImageHead, LinearHead, PointHead
from pcseg.nn.norms import BatchNorm
from pcseg.official.files import read_weights
from pcseg.official.loading import LoadReport, first, load_published
from pcseg.official.names.heads import inflate
from pcseg.official.names.name_map import NameMap, State, prefix_before
from pcseg.official.names.points import INPUT_BUFFERS, to_spconv2
from pcseg.official.systems import System, differing_options, find_system

ONLY_POINTS = ("detail.", "auxiliary.")
"""Parts of a point head that the image head need not have."""

HINT = "Pass --partial to leave out what does not fit."


@dataclass(kw_only=True)
class Conversion:
    """Converted weights.

    Args:
        state: Parameters and buffers by the names of the model.
        report: Outcome of every name; ``missing`` ones keep their initial values in training.
        num_classes: Number of classes of the model, ``None`` for a backbone alone.
        license: License of the weights if it excludes commercial use.
    """

    title: str
    state: dict[str, Tensor]
    report: LoadReport
    num_classes: int | None
    license: str = ""


def convert(
    source: Path, config: Mapping[str, Any], *, num_classes: int | None = None, partial: bool = False
) -> Conversion:
    """Read a published checkpoint for the model of a configuration.

    Args:
        source: Checkpoint of one of :data:`~pcseg.official.systems.SYSTEMS`.
        config: Training configuration: its ``backbone`` and ``head``, and for points the input features. A point
            backbone may be wrapped, as in linear probing.
        num_classes: Expected number of classes; by default that of the checkpoint.
        partial: Skip missing tensors and tensors of another shape, and accept other options.

    Raises:
        UserError: Names, shapes, options, input features or the number of classes do not fit.

    Convention:
        The decoder keeps its initial values if the checkpoint is one of an encoder. Of a point model the classifier
        is converted if the head is a linear one. A point backbone must be complete even with ``partial``.
    """
    parts = instantiate_parts(dict(config), source="--config")
    state = to_spconv2(read_weights(source))
    system = find_system(state, source=str(source))
    model = nn.Module()
    model.backbone, inside = _backbone(system, source, state, config, parts[0])
    inner = model.get_submodule(inside)
    own = system.num_classes(state, source=str(source))
    classes = _classes(source, own, num_classes, partial)
    head = parts[1](model.backbone.out_channels, classes or num_classes or 2)
    with_head = own is not None and (bool(system.head) or _is_linear(system, head, state))
    if with_head:
        model.head = head
    names = system.name_map(state, backbone=inner, inside=inside, head=with_head)
    report = _load(source, model, state, names, partial)
    if not system.head and not isinstance(inner, ImageBackbone):
        _require_complete(source, report, names)
    differing = differing_options(system, model)
    if differing and not partial:
        raise UserError(
            f"{source}: the weights of {system.title} need other options: {'; '.join(differing)}. Set them in "
            "--config, or pass --partial to accept these."
        )
    if isinstance(inner, PTv3):
        features = _features(config) or (["pos", "color"] if inner.variant == "sonata" else ["color"])
        inner.expect_published_input(color=_channel("color", features), pos=_channel("pos", features))
        own = {f"{inside}.{name}" for name in INPUT_BUFFERS}
        report.missing = [name for name in report.missing if name not in own]
    weights = _loaded(model, report)
    if not with_head:
        report.missing += [f"head.{name}" for name in head.state_dict()]
    return Conversion(
        title=system.title, state=weights, report=report, num_classes=classes if with_head else None,
        license=system.license,
    )  # fmt: skip


def inflate_head(
    source: Path, config: Mapping[str, Any], *, num_classes: int | None = None, partial: bool = False
) -> Conversion:
    """Convert the head of an image model for the point head of a configuration.

    Args:
        source: Checkpoint of a published image system, or of an image model trained here.
        config, num_classes, partial: As in :func:`convert`.

    Raises:
        UserError: As in :func:`convert`.

    Convention:
        On a planar grid the inflated head computes what the image head does: EncNet's without a ``reference_size``,
        CTNet's with ``class_batch_norm``, CCNet's with :class:`~pcseg.nn.norms.InPlaceABN` norms. With other norms
        CCNet's only comes close, because ReLU replaces leaky ReLU.
    """
    backbone, make_head = instantiate_parts(dict(config), source="--config")
    if isinstance(backbone, ImageBackbone):
        raise UserError("--config: names an image backbone. Name a point model for --inflate.")
    title, state, names, own = _image_head(source)
    classes = _classes(source, own, num_classes, partial)
    channels = backbone(1)
    model = nn.Module()
    model.head = make_head(channels.out_channels, classes or 0)
    if not isinstance(model.head, PointHead):
        raise UserError(
            f"--config: head {type(model.head).__name__} has no context. Name a context head for --inflate."
        )
    body = [name for name in state if (names.our_name(name) or "").startswith("head.body.")]
    names = replace(
        names,
        ignored=tuple(name for name in state if name not in body),
        optional=tuple(f"head.{part}" for part in ONLY_POINTS),
        layout=inflate,
    )
    report = _load(source, model, state, names, partial)
    if not any(name.startswith("head.body.") for name in report.taken.values()):
        raise UserError(
            f"{source}: nothing of {title} fits {type(model.head.body).__name__}. Name the body of the same system."
        )
    weights = _loaded(model, report)
    report.missing += [f"backbone.{name}" for name in channels.state_dict()]
    return Conversion(title=f"head of {title}, inflated", state=weights, report=report, num_classes=classes)


def _image_head(source: Path) -> tuple[str, State, NameMap, int]:
    """Return title, weights, name map and number of classes of the head of an image checkpoint."""
    try:
        checkpoint = read_checkpoint(source)
    except UserError:  # a file of another program
        checkpoint = None
    if checkpoint is not None and KEY in checkpoint.content:
        model = checkpoint.model().network
        if not isinstance(model.head, ImageHead):
            raise UserError(f"{source}: holds a point model. Name an image model for --inflate.")
        state = model.head.state_dict()
        gains = any(isinstance(m, BatchNorm) and m.absolute_gain for m in model.head.modules())
        names = NameMap(names={name: f"head.{name}" for name in state}, absolute_gain=gains)
        return type(model.head.body).__name__, state, names, model.schema.num_classes
    state = read_weights(source)
    system = find_system(state, source=str(source))
    classes = system.num_classes(state, source=str(source))
    if classes is None or not system.head:
        raise UserError(f"{source}: {system.title} has no context head. Name an image model for --inflate.")
    return system.title, state, system.name_map(state, backbone=None), classes


def _backbone(
    system: System, source: Path, state: State, config: Mapping[str, Any], choice: Any
) -> tuple[Any, str]:
    """Return the backbone of the configuration, and the name of the module in it that is to be filled."""
    width = state[f"{prefix_before(system.mark, state)}{system.mark}"].shape[-1]
    whole = choice if isinstance(choice, ImageBackbone) else choice(width)
    inside = next((name for name, module in whole.named_modules() if system.backbone(module)), None)
    if inside is None:
        kind = "image" if isinstance(whole, ImageBackbone) else "point"
        raise UserError(
            f"{source}: holds weights of {system.title}, but --config names the {kind} backbone "
            f"{type(whole).__name__}. Name the backbone of {system.title}, or pass --inflate for an image head."
        )
    if not isinstance(whole, ImageBackbone):
        _check_features(source, config, width)
    return whole, f"backbone.{inside}".rstrip(".")


def _check_features(source: Path, config: Mapping[str, Any], width: int) -> None:
    features = _features(config)
    if features and num_features(features) != width:
        raise UserError(
            f"{source}: takes {width} input channels, but data.features of --config, [{', '.join(features)}], has "
            f"{num_features(features)}. Name the features that it was trained with."
        )


def _classes(source: Path, own: int | None, wanted: int | None, partial: bool) -> int | None:
    """Return the number of classes of the model to fill."""
    if own is not None and wanted is not None and own != wanted and not partial:
        raise UserError(f"{source}: trained on {own} classes, not {wanted}. {HINT}")
    return own if wanted is None or own is None else wanted


def _is_linear(system: System, head: nn.Module, state: State) -> bool:
    """Return whether ``head`` is a linear layer on features of the width that the classifier of ``state`` reads."""
    prefix = prefix_before(system.classifier or "", state)
    return (
        isinstance(head, LinearHead)
        and state[f"{prefix}{system.classifier}"].shape[-1] == head.classify.in_features
    )


def _load(source: Path, model: nn.Module, state: State, names: NameMap, partial: bool) -> LoadReport:
    try:
        return load_published(model, state, names, strict=not partial, partial=partial)
    except UserError as error:
        raise UserError(f"{source}: does not fit the model of --config: {error}. {HINT}") from error


def _require_complete(source: Path, report: LoadReport, names: NameMap) -> None:
    missing = [name for name in report.missing if name.startswith("backbone.")]
    holes = [name for name in missing if not name.startswith(names.optional)]
    if holes:
        raise UserError(f"{source}: lacks {first(holes)}. Name the backbone that it was trained with.")


def _channel(name: str, features: list[str]) -> int | None:
    """Return the first input channel of a feature, ``None`` without it."""
    if name not in features:
        return None
    return sum(WIDTHS[other] for other in features[: features.index(name)])


def _features(config: Mapping[str, Any]) -> list[str]:
    return list(config.get("data", {}).get("init_args", {}).get("features", []))


def _loaded(model: nn.Module, report: LoadReport) -> dict[str, Tensor]:
    """Return the tensors of ``model`` that were loaded."""
    missing = set(report.missing)
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name not in missing}
