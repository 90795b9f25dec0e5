"""Checkpoints of other projects, or image heads for points, as weights that training can start from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcseg.backbones.images.base import ImageBackbone
from pcseg.backbones.points.convert import load_official as load_spunet
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.checkpoint import KEY, instantiate_parts, load_checkpoint
from pcseg.errors import UserError
from pcseg.heads.image_base import ImageHead
from pcseg.heads.inflate import inflate
from pcseg.heads.plain import PlainHead
from pcseg.heads.point_base import PointContextHead
from pcseg.initial_weights import torch_content
from pcseg.nn.norms import BatchNorm
from pcseg.official.files import read_weights
from pcseg.official.loading import UNCOUNTED, LoadReport, load_official, our_name
from pcseg.official.systems import SYSTEMS, State, System, find_system, number_of_classes, system_names

SPUNET_MARK = "conv_input.0.weight"
SPUNET_CLASSIFIER = "final.weight"
ONLY_POINTS = ("detail.", "auxiliary.")
"""Parts of a point head that the image head need not have."""

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
        source: Checkpoint of CCNet, PyTorch-Encoding's EncNet, CTNet, VAN or SpUNet; with ``inflated`` also one of
            our own image models.
        config: Training configuration; its ``backbone`` and ``head`` count.
        num_classes: K that is wanted; the checkpoint's own by default.
        inflated: The head of an image model is to start the head of the point model in ``config``.
        partial: Leave out what is missing or of another shape.

    Raises:
        UserError: Unknown names, other shapes, another number of classes, or parts of another kind than those of
            ``config``.

    Convention:
        Point heads have ReLU where released CCNet has leaky ReLU, and no bias in front of the auxiliary norm: an
        inflated CCNet head starts close to, not at, what the image head computes. EncNet's and CTNet's are equal.
    """
    parts = instantiate_parts(dict(config), source="--config")
    if inflated:
        return _to_points(source, parts, num_classes, partial)
    state = read_weights(source)
    for mark, read in POINT_MODELS:
        if any(name.endswith(mark) for name in state):
            return read(source, state, parts, num_classes, partial)
    system = _known_system(source, state)
    backbone, make_head = parts
    if not isinstance(backbone, ImageBackbone):
        raise UserError(
            f"{source}: weights of {system.title} are of an image model, and the configuration names a point backbone; "
            "--inflate takes the head alone"
        )
    classes = _classes(source, number_of_classes(system, state, source=str(source)), num_classes, partial)
    model = nn.Module()
    model.backbone = backbone
    if system.classifier is not None:
        model.head = make_head(backbone.out_channels, classes or 0)
    ignored = [name for name in state if name.startswith(system.ignored)]
    state = {name: tensor for name, tensor in state.items() if name not in ignored}
    names = system_names(system, backbone, state)
    report = _load(source, model, state, names, absolute_gain=system.absolute_gain, partial=partial)
    _refuse_rest(source, report.missing, report.unexpected, partial)
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
    classes = _classes(source, own_classes, num_classes, partial)
    head = make_head(backbone(1).out_channels, classes or 0)
    if not isinstance(head, PointContextHead):
        raise UserError(f"--inflate needs a context head for points, not {type(head).__name__}")
    of_head = {name: tensor for name, tensor in state.items() if our_name(name, names) is not None}
    report = _load(source, head, inflate(of_head), names, absolute_gain=absolute_gain, partial=partial)
    _refuse_rest(source, [name for name in report.missing if not name.startswith(ONLY_POINTS)], [], partial)
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
        model = load_checkpoint(source).segmentor
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


def _spunet(source: Path, state: State, parts: Any, num_classes: int | None, partial: bool) -> Conversion:
    """The point backbone of Pointcept, and its linear classifier if the head is a plain one."""
    backbone, make_head = parts
    stem = next(tensor for name, tensor in state.items() if name.endswith(SPUNET_MARK))
    if isinstance(backbone, ImageBackbone):
        raise UserError(f"{source}: weights of SpUNet, and the configuration names an image backbone")
    model = nn.Module()
    model.backbone = backbone(stem.shape[-1])
    if not isinstance(model.backbone, SparseUNet):
        raise UserError(
            f"{source}: weights of SpUNet, and the configuration names {type(model.backbone).__name__}"
        )
    last = next((tensor for name, tensor in state.items() if name.endswith(SPUNET_CLASSIFIER)), None)
    own = None if last is None else len(last)
    classes = _classes(source, own, num_classes, partial) or num_classes
    head = make_head(model.backbone.out_channels, classes or 2)
    plain = isinstance(head, PlainHead) and own is not None and classes == own
    if plain:
        model.head = head
    try:
        found = load_spunet(state, model.backbone, head.classify if plain else None)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    extra = [name for name in found.unexpected if not name.startswith("final.")]
    if found.missing:
        raise UserError(f"{source}: lacks {', '.join(found.missing[:4])} of the backbone in --config")
    _refuse_rest(source, [], extra, partial)
    report = LoadReport(taken={name: name for name in found.taken}, missing=[], unexpected=found.unexpected)
    if not plain:
        report.missing = [f"head.{name}" for name in head.state_dict()]
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return Conversion(
        title="SpUNet of Pointcept", state=weights, report=report, num_classes=classes if plain else None
    )


def _known_system(source: Path, state: State) -> System:
    system = find_system(state)
    if system is None:
        known = ", ".join([*(system.title for system in SYSTEMS), "SpUNet"])
        some = ", ".join(list(state)[:3])
        raise UserError(f"{source}: names like {some} are of no checkpoint that can be converted ({known})")
    return system


def _classes(source: Path, own: int | None, wanted: int | None, partial: bool) -> int | None:
    if own is not None and wanted is not None and own != wanted and not partial:
        raise UserError(f"{source}: trained on {own} classes, not {wanted}; {HINT}, here the classifier")
    return own if wanted is None or own is None else wanted


def _load(source: Path, model: nn.Module, *args: Any, absolute_gain: bool, partial: bool) -> LoadReport:
    try:
        return load_official(model, *args, absolute_gain=absolute_gain, partial=partial)
    except UserError as error:
        raise UserError(f"{source}: {str(error).removeprefix('checkpoint: ')}; {HINT}") from error


def _refuse_rest(source: Path, missing: Iterable[str], unexpected: Iterable[str], partial: bool) -> None:
    """One line on names without a partner, unless the user wants but a part."""
    unexpected = [name for name in unexpected if not name.endswith(UNCOUNTED)]
    for kind, names in (("lacks", list(missing)), ("has no place here for", unexpected)):
        if names and not partial:
            some = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            raise UserError(f"{source}: not of the model in --config, {kind} {some}; {HINT}")


def _taken(model: nn.Module, report: LoadReport) -> dict[str, Tensor]:
    """What was filled, by our names."""
    own = model.state_dict()
    names = set(report.taken.values())
    return {name: own[name].detach().clone() for name in own if name in names}


POINT_MODELS = ((SPUNET_MARK, _spunet),)
"""Point models that can be read: the end of a name that the model alone has, and what reads it."""
