"""Published point backbones, with their linear classifier where the model has one like it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcseg.backbones.contract import ImageBackbone, PointBackbone
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.data.features import WIDTHS, num_features
from pcseg.errors import UserError
from pcseg.heads.plain import PlainHead
from pcseg.official import ptv3_names as ptv3
from pcseg.official import sparse_unet_names as spunet
from pcseg.official.loading import UNCOUNTED, LoadReport
from pcseg.official.outcome import Conversion, classes_of, refuse_rest
from pcseg.official.sparse_unet_names import ConversionReport
from pcseg.official.systems import State

OURS_ALONE = ("input_shift", UNCOUNTED)
"""Ends of names that no checkpoint need have."""


@dataclass(frozen=True, kw_only=True)
class PointModel:
    """A published point backbone.

    Args:
        title: Whose it is.
        stem: End of the name of its first weight, which it alone has; the last axis are the input channels.
        classifier: End of the name of its last weight.
        is_ours: Whether a module is our network of this kind.
        load: Copies a state dict into that network and a linear layer, or into the network alone.
        named_tensors: Tensors of both by their published names.
    """

    title: str
    stem: str
    classifier: str
    is_ours: Callable[[nn.Module], bool]
    load: Callable[[State, Any, nn.Linear | None], ConversionReport]
    named_tensors: Callable[[Any, nn.Linear | None], Iterator[tuple[str, Tensor]]]


POINT_MODELS = (
    PointModel(
        title="SpUNet of Pointcept",
        stem="conv_input.0.weight",
        classifier="final.weight",
        is_ours=lambda module: isinstance(module, SparseUNet),
        load=spunet.load_official,
        named_tensors=spunet.named_tensors,
    ),
    PointModel(
        title="Point Transformer V3",
        stem="embedding.stem.conv.weight",
        classifier="seg_head.weight",
        is_ours=lambda module: isinstance(module, PTv3) and module.variant == "ptv3",
        load=ptv3.load_official,
        named_tensors=ptv3.named_tensors,
    ),
    PointModel(
        title="Sonata or Concerto",
        stem="embedding.stem.linear.weight",
        classifier="seg_head.weight",
        is_ours=lambda module: isinstance(module, PTv3) and module.variant == "sonata",
        load=ptv3.load_official,
        named_tensors=ptv3.named_tensors,
    ),
)
"""Point models that can be read."""


def find_point_model(state: State) -> PointModel | None:
    """The published point model that the names are of, if any."""
    for published in POINT_MODELS:
        if _ending(state, published.stem) is not None:
            return published
    return None


def convert_points(
    published: PointModel,
    source: Path,
    state: State,
    config: Mapping[str, Any],
    parts: Any,
    *,
    num_classes: int | None,
    partial: bool,
) -> Conversion:
    """Weights of a point model for the model of a configuration.

    Args:
        published: Whose weights they are.
        source: Names the file in errors.
        state: Published names and tensors.
        config: Training configuration; its input features say where colours are.
        parts: What makes its backbone and head; the backbone may be wrapped, as in probing.
        num_classes: K that is wanted.
        partial: Leave out what has no place here.

    Raises:
        UserError: The configuration has a backbone of another kind or size, other input channels, or no place for a
            name; the file lacks something.

    Convention:
        A decoder that the file lacks as a whole starts anew, as does a head other than a plain one.
    """
    whole, backbone = _backbone(published, source, state, config, parts)
    model = nn.Module()
    model.backbone = whole
    last = _ending(state, published.classifier)
    own = None if last is None else len(last)
    classes = classes_of(source, own, num_classes, partial) or num_classes
    head = parts[1](whole.out_channels, classes or 2)
    fits = isinstance(head, PlainHead) and last is not None and last.shape[-1] == head.classify.in_features
    classify = head.classify if fits and classes == own else None
    if classify is not None:
        model.head = head
    try:
        found = published.load(state, backbone, classify)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    holes = _holes(found)
    if holes:
        raise UserError(f"{source}: lacks {', '.join(holes[:4])} of the backbone in --config")
    classifier = published.classifier.removesuffix("weight")
    refuse_rest(source, [], [name for name in found.unexpected if not name.startswith(classifier)], partial)
    if isinstance(backbone, PTv3):
        ptv3.expect_unit_colors(backbone, _color_channel(config, backbone))
    tensors = model.state_dict(keep_vars=True)
    ours = {id(tensor): name for name, tensor in tensors.items()}
    names = {theirs: ours[id(tensor)] for theirs, tensor in published.named_tensors(backbone, classify)}
    taken = {theirs: names[theirs] for theirs in found.taken}
    kept = set(taken.values())
    missing = [name for name in tensors if name not in kept and not name.endswith(OURS_ALONE)]
    weights = {name: tensor.detach().clone() for name, tensor in tensors.items() if name not in missing}
    if classify is None:
        missing += [f"head.{name}" for name in head.state_dict()]
    report = LoadReport(taken=taken, missing=missing, unexpected=[*found.unexpected, *found.left_out])
    return Conversion(
        title=published.title, state=weights, report=report, num_classes=None if classify is None else classes
    )


def _backbone(
    published: PointModel, source: Path, state: State, config: Mapping[str, Any], parts: Any
) -> tuple[PointBackbone, nn.Module]:
    """The backbone of the configuration, and the network inside that is to be filled."""
    if isinstance(parts[0], ImageBackbone):
        raise UserError(
            f"{source}: weights of {published.title}, and the configuration names an image backbone"
        )
    stem = _ending(state, published.stem)
    assert stem is not None
    width, features = stem.shape[-1], _features(config)
    if features and num_features(features) != width:
        raise UserError(
            f"{source}: takes {width} input channels, and data.features of --config, [{', '.join(features)}], are "
            f"{num_features(features)}; name those that it was trained with"
        )
    whole: PointBackbone = parts[0](width)
    for module in whole.modules():
        if published.is_ours(module):
            return whole, module
    raise UserError(
        f"{source}: weights of {published.title}, and the configuration names {type(whole).__name__}"
    )


def _holes(report: ConversionReport) -> list[str]:
    """What is missing of a backbone, a decoder of which there is nothing at all aside."""
    decoder = any(name.startswith("dec.") for name in report.taken)
    return [name for name in report.missing if decoder or not name.startswith("dec.")]


def _color_channel(config: Mapping[str, Any], backbone: PTv3) -> int | None:
    """Input channel where colours begin; without data in the configuration as published."""
    features = _features(config) or (["pos", "color"] if backbone.variant == "sonata" else ["color"])
    if "color" not in features:
        return None
    return sum(WIDTHS[name] for name in features[: features.index("color")])


def _features(config: Mapping[str, Any]) -> list[str]:
    return list(config.get("data", {}).get("init_args", {}).get("features", []))


def _ending(state: State, end: str) -> Tensor | None:
    return next((tensor for name, tensor in state.items() if f".{name}".endswith(f".{end}")), None)
