"""The published systems whose checkpoints can be read: how to tell them apart and where their parameters go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.official.backbone_names import (
    VAN_OTHERS,
    hrnet_names,
    resnet_jpu_names,
    resnet_names,
    van_names,
    van_prefix,
)
from pcseg.official.head_names import CT_HEAD, DSN_BODY, ENC_HEAD, FCN_BODY, RCCA_HEAD, Names, under

State = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class System:
    """A published system.

    Args:
        title: What messages call it.
        mark: End of the name of a parameter that this system alone has.
        backbone: Published names to ours of the backbone, given ours and the checkpoint.
        head: Published names to ours of the head.
        classifier: Name of the weight that has a row a class; ``None`` for a backbone alone.
        ignored: Prefixes of names that belong to neither, such as the ImageNet classifier.
        absolute_gain: Norms scale by ``|weight| + eps``.
        options: Attributes of backbone and head with which the weights compute what was published; their names and
            shapes fit other values too.
    """

    title: str
    mark: str
    backbone: Callable[[nn.Module, State], Names]
    head: Names
    classifier: str | None
    ignored: tuple[str, ...] = ()
    absolute_gain: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def _below(prefix: str, names: Callable[[nn.Module, Any], Names]) -> Callable[[nn.Module, State], Names]:
    """``names`` of a backbone whose parameters are called ``prefix.…`` in the checkpoint."""

    def full(backbone: nn.Module, state: State) -> Names:
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        return {prefix + theirs: ours for theirs, ours in names(backbone, inside).items()}

    return full


def _paddle_names(backbone: nn.Module, state: State) -> Names:
    if "conv_layer1_1._conv.weight" in state:
        return hrnet_names(backbone, state)
    return resnet_jpu_names(backbone, state) if hasattr(backbone, "jpu") else resnet_names(backbone, state)


def _van_names(backbone: nn.Module, state: State) -> Names:
    stages: Any = getattr(backbone, "stages", [])
    return van_names([len(stage.blocks) for stage in stages], prefix=van_prefix(state))


SYSTEMS = (
    System(
        title="CCNet",
        mark="head.cca.query_conv.weight",
        backbone=resnet_names,
        head=under("head", "", RCCA_HEAD) | under("dsn", "auxiliary", DSN_BODY),
        classifier="head.bottleneck.3.weight",
        absolute_gain=True,
        options={
            "backbone.output_stride": 8,
            "backbone.dilation": "ccnet",
            "backbone.ceil_pool": True,
            "head.inplace_abn": True,
            "head.align_corners": True,
        },
    ),
    System(
        title="EncNet of PyTorch-Encoding",
        mark="head.encmodule.encoding.3.codewords",
        backbone=_below("pretrained.", resnet_names),
        head=under("head", "", ENC_HEAD) | under("auxlayer", "auxiliary", FCN_BODY),
        classifier="head.conv6.1.weight",
        ignored=("pretrained.fc.",),
        options={
            "backbone.output_stride": 8,
            "backbone.dilation": "encnet",
            "backbone.ceil_pool": False,
            "head.reference_size": None,
            "head.sum_codewords": False,
            "head.pure_gate": False,
            "head.align_corners": True,
        },
    ),
    System(
        title="CTNet of PaddleSeg",
        mark="head.ccm.ccm_layer.conv0.weight",
        backbone=_below("backbone.", _paddle_names),
        head=under("head", "", CT_HEAD),
        classifier="head.cls_head.weight",
        options={
            "backbone.output_stride": 8,
            "backbone.dilation": "ccnet",
            "backbone.ceil_pool": False,
            "backbone.paddle": True,
            "head.paddle": True,
            "head.align_corners": False,
        },
    ),
    System(
        title="VAN",
        mark="patch_embed1.proj.weight",
        backbone=_van_names,
        head={},
        classifier=None,
        ignored=VAN_OTHERS,
    ),
)
"""In the order in which they are tried."""


def find_system(state: State) -> System | None:
    """The system that a checkpoint is of, ``None`` if it is of none here."""
    for system in SYSTEMS:
        if any(name.endswith(system.mark) for name in state):
            return system
    return None


def system_names(system: System, backbone: nn.Module | None, state: State) -> Names:
    """Published names to ours, which start with ``backbone.`` and ``head.``; of the head alone without a backbone."""
    names = {theirs: f"head.{ours}" for theirs, ours in system.head.items()}
    if backbone is not None:
        names |= {theirs: f"backbone.{ours}" for theirs, ours in system.backbone(backbone, state).items()}
    return names


def other_options(system: System, model: nn.Module) -> list[str]:
    """Where ``model`` has an option of the system with another value: name, value and what was published."""
    found = []
    for name, published in system.options.items():
        try:
            value = attrgetter(name)(model)
        except AttributeError:  # no option of this backbone or head
            continue
        if value != published:
            found.append(f"{name} is {value}, published {published}")
    return found


def number_of_classes(system: System, state: State, *, source: str) -> int | None:
    """K of a checkpoint, ``None`` for a backbone alone.

    Raises:
        UserError: The classifier is missing.
    """
    if system.classifier is None:
        return None
    if system.classifier not in state:
        raise UserError(f"{source}: looks like {system.title}, but lacks {system.classifier}")
    return len(state[system.classifier])
