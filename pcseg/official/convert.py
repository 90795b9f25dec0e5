"""Checkpoints of other projects, or image heads for points, as weights that training can start from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone
from pcseg.checkpoint import KEY, instantiate_parts, load_checkpoint
from pcseg.errors import UserError
from pcseg.heads.image_base import ImageHead
from pcseg.heads.point_base import PointContextHead
from pcseg.nn.norms import BatchNorm
from pcseg.official.files import read_weights
from pcseg.official.inflate import inflate
from pcseg.official.loading import LoadReport, load_official, our_name
from pcseg.official.outcome import HINT, Conversion, classes_of, refuse_rest
from pcseg.official.points import POINT_MODELS, convert_points, find_point_model
from pcseg.official.systems import (
    SYSTEMS,
    State,
    System,
    find_system,
    number_of_classes,
    other_options,
    system_names,
)
from pcseg.training.initial_weights import torch_content

ONLY_POINTS = ("detail.", "auxiliary.")
"""Parts of a point head that the image head need not have."""


def convert(
    source: Path,
    config: Mapping[str, Any],
    *,
    num_classes: int | None = None,
    inflated: bool = False,
    partial: bool = False,
) -> Conversion:
    """Read a published checkpoint for the model of a configuration.

    Args:
        source: Checkpoint of CCNet, PyTorch-Encoding's EncNet, CTNet, VAN, SpUNet, Point Transformer V3, Sonata or
            Concerto; with ``inflated`` also one of our own image models.
        config: Training configuration; its ``backbone`` and ``head`` count, for point models the input features too.
        num_classes: K that is wanted; the checkpoint's own by default.
        inflated: The head of an image model is to start the head of the point model in ``config``.
        partial: Leave out what is missing or of another shape, and take weights for other options.

    Raises:
        UserError: Unknown names, other shapes, another number of classes, parts of another kind than those of
            ``config``, or options with which the weights compute something else.

    Convention:
        On a planar grid an inflated head computes what the image head does: EncNet's without a ``reference_size``,
        CTNet's with ``class_batch_norm``, CCNet's with ``inplace_abn``; without it, which is ReLU in the place of
        leaky ReLU, CCNet's starts close to that.
    """
    parts = instantiate_parts(dict(config), source="--config")
    if inflated:
        return _to_points(source, parts, num_classes, partial)
    state = read_weights(source)
    point_model = find_point_model(state)
    if point_model is not None:
        return convert_points(
            point_model, source, state, config, parts, num_classes=num_classes, partial=partial
        )
    system = _known_system(source, state)
    backbone, make_head = parts
    if not isinstance(backbone, ImageBackbone):
        raise UserError(
            f"{source}: weights of {system.title} are of an image model, and the configuration names a point backbone; "
            "--inflate takes the head alone"
        )
    classes = classes_of(source, number_of_classes(system, state, source=str(source)), num_classes, partial)
    model = nn.Module()
    model.backbone = backbone
    if system.classifier is not None:
        model.head = make_head(backbone.out_channels, classes or 0)
    ignored = [name for name in state if name.startswith(system.ignored)]
    state = {name: tensor for name, tensor in state.items() if name not in ignored}
    names = system_names(system, backbone, state)
    report = _load(source, model, state, names, absolute_gain=system.absolute_gain, partial=partial)
    refuse_rest(source, report.missing, report.unexpected, partial)
    _refuse_options(source, system, model, partial)
    report.unexpected += ignored
    if system.classifier is None:
        head = make_head(backbone.out_channels, 2)
        report.missing += [f"head.{name}" for name in head.state_dict()]
    return Conversion(title=system.title, state=_taken(model, report), report=report, num_classes=classes)


def _to_points(source: Path, parts: Any, num_classes: int | None, partial: bool) -> Conversion:
    """The head of an image model for a point head."""
    backbone, make_head = parts
    if isinstance(backbone, ImageBackbone):
        raise UserError("--inflate starts a point model; the configuration names an image backbone")
    title, state, names, absolute_gain, own_classes = _image_head(source)
    classes = classes_of(source, own_classes, num_classes, partial)
    head = make_head(backbone(1).out_channels, classes or 0)
    if not isinstance(head, PointContextHead):
        raise UserError(f"--inflate needs a context head for points, not {type(head).__name__}")
    of_head = {name: tensor for name, tensor in state.items() if our_name(name, names) is not None}
    report = _load(source, head, inflate(of_head), names, absolute_gain=absolute_gain, partial=partial)
    missing = [name for name in report.missing if not name.startswith(ONLY_POINTS)]
    body = [name for name in report.unexpected if (our_name(name, names) or "").startswith("body.")]
    refuse_rest(source, missing, body, partial)
    if not any(name.startswith("body.") for name in report.taken.values()):
        raise UserError(
            f"{source}: nothing of {title} fits {type(head).__name__}; choose the head of the same system"
        )
    model = nn.Module()
    model.head = head
    report = replace(
        report,
        taken={theirs: f"head.{ours}" for theirs, ours in report.taken.items()},
        missing=[f"head.{name}" for name in report.missing],
        unexpected=[*report.unexpected, *(name for name in state if name not in of_head)],
    )
    weights = _taken(model, report)
    report.missing += [f"backbone.{name}" for name in backbone(1).state_dict()]
    return Conversion(title=f"head of {title}, inflated", state=weights, report=report, num_classes=classes)


def _image_head(source: Path) -> tuple[str, State, dict[str, str], bool, int]:
    """Title, weights, their names here, kind of norms and number of classes of the head of an image checkpoint."""
    if KEY in torch_content(source):
        model = load_checkpoint(source).network
        head = model.head
        if not isinstance(head, ImageHead):
            raise UserError(f"{source}: a model of points; --inflate wants one of images")
        names = {name: name for name in head.state_dict()}
        gains = any(isinstance(m, BatchNorm) and m.absolute_gain for m in head.modules())
        return type(head).__name__, head.state_dict(), names, gains, model.schema.num_classes
    state = read_weights(source)
    system = _known_system(source, state)
    classes = number_of_classes(system, state, source=str(source))
    if classes is None:
        raise UserError(f"{source}: {system.title} is a backbone; --inflate wants a model with a head")
    return system.title, state, system.head, system.absolute_gain, classes


def _known_system(source: Path, state: State) -> System:
    system = find_system(state)
    if system is None:
        known = ", ".join(system.title for system in (*SYSTEMS, *POINT_MODELS))
        some = ", ".join(list(state)[:3])
        raise UserError(f"{source}: names like {some} are of no checkpoint that can be converted ({known})")
    return system


def _refuse_options(source: Path, system: System, model: nn.Module, partial: bool) -> None:
    """One line on options with which the weights fit and compute something else, unless the user wants that."""
    others = other_options(system, model)
    if others and not partial:
        raise UserError(
            f"{source}: weights of {system.title} would compute something else, {'; '.join(others)}; set that in "
            "--config, or take them all the same with --partial"
        )


def _load(source: Path, model: nn.Module, *args: Any, absolute_gain: bool, partial: bool) -> LoadReport:
    try:
        return load_official(model, *args, absolute_gain=absolute_gain, partial=partial)
    except UserError as error:
        raise UserError(f"{source}: {str(error).removeprefix('checkpoint: ')}; {HINT}") from error


def _taken(model: nn.Module, report: LoadReport) -> dict[str, Tensor]:
    """What was filled, by our names."""
    own = model.state_dict()
    names = set(report.taken.values())
    return {name: own[name].detach().clone() for name in own if name in names}
