"""Published systems whose checkpoints can be read: how to recognize them and where their tensors go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from torch import nn

from pcseg.backbones.images.hrnet import HRNet
from pcseg.backbones.images.jpu import JPUBackbone
from pcseg.backbones.images.resnet import ResNet
from pcseg.backbones.images.van import VAN
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.errors import UserError
from pcseg.official.names import points
from pcseg.official.names.heads import CT_HEAD, DSN_BODY, ENC_HEAD, FCN_BODY, RCCA_HEAD
from pcseg.official.names.images import hrnet_names, resnet_jpu_names, resnet_names, van_names
from pcseg.official.names.name_map import NameMap, Names, State, beside, prefix_before, under


@dataclass(frozen=True, kw_only=True)
class System:
    """A published system.

    Args:
        title: Name in messages.
        mark: End of the name of a tensor that only this system has; for points the first weight, whose last axis
            is the number of input channels.
        sign: End of a name that distinguishes the system from a later one with the same mark.
        backbone: Whether a module is the backbone that the weights are for.
        names: Returns the name map of the backbone, given ours and the checkpoint.
        head: Published names of the head, to ours.
        classifier: Name of the weight with one row per class, ``None`` for a backbone alone.
        absolute_gain: Norms scale by ``|weight| + eps``.
        license: License of the weights if it excludes commercial use.
        options: Attributes of backbone and head, or class names of modules, with which the weights compute what was
            published. Their names and shapes fit other values too.
    """

    title: str
    mark: str
    backbone: Callable[[nn.Module], bool]
    names: Callable[[nn.Module, State], NameMap]
    head: Names = field(default_factory=dict)
    classifier: str | None = None
    absolute_gain: bool = False
    sign: str = ""
    license: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def num_classes(self, state: State, *, source: str) -> int | None:
        """Return the number of classes of a checkpoint, ``None`` for a backbone alone.

        Raises:
            UserError: The classifier of a system with a context head is missing.
        """
        prefix = None if self.classifier is None else prefix_before(self.classifier, state)
        if prefix is not None:
            return len(state[f"{prefix}{self.classifier}"])
        if self.head and self.classifier is not None:
            raise UserError(
                f"{source}: {self.classifier} of {self.title} is missing. Use the complete checkpoint."
            )
        return None

    def name_map(
        self, state: State, *, backbone: nn.Module | None, inside: str = "backbone", head: bool = True
    ) -> NameMap:
        """Return the name map of a model with ``backbone`` at ``inside``, and with or without ``head``."""
        whole = NameMap(names={}) if backbone is None else self.names(backbone, state).inside(inside)
        names = whole.names
        if head and self.classifier is not None:
            prefix = prefix_before(self.classifier, state) or ""
            head_names = self.head or {self.classifier.removesuffix(".weight"): "classify"}
            names = names | {prefix + theirs: f"head.{ours}" for theirs, ours in head_names.items()}
        ignored = (*whole.ignored, *beside(prefix_before(self.mark, state) or "", self.mark, state))
        return replace(whole, names=names, ignored=ignored, absolute_gain=self.absolute_gain)


def _paddle_names(backbone: nn.Module, state: State) -> NameMap:
    if isinstance(backbone, HRNet):
        return hrnet_names(backbone, state)
    if isinstance(backbone, JPUBackbone):
        return resnet_jpu_names(backbone, state)
    return resnet_names(backbone, state)


def _is_ptv3(variant: str, *, rotary: bool = False) -> Callable[[nn.Module], bool]:
    return lambda module: (
        isinstance(module, PTv3) and module.variant == variant and (module.rotary is not None) == rotary
    )


SYSTEMS = (
    System(
        title="CCNet",
        mark="head.cca.query_conv.weight",
        backbone=lambda module: isinstance(module, ResNet),
        names=resnet_names,
        head=under("head", "", RCCA_HEAD) | under("dsn", "auxiliary", DSN_BODY),
        classifier="head.bottleneck.3.weight",
        absolute_gain=True,
        options={
            "backbone.output_stride": 8,
            "backbone.dilation": "ccnet",
            "backbone.ceil_pool": True,
            "head.body.merge.norm": "InPlaceABN",
            "head.align_corners": True,
        },
    ),
    System(
        title="EncNet of PyTorch-Encoding",
        mark="head.encmodule.encoding.3.codewords",
        backbone=lambda module: isinstance(module, ResNet),
        names=resnet_names,
        head=under("head", "", ENC_HEAD) | under("auxlayer", "auxiliary", FCN_BODY),
        classifier="head.conv6.1.weight",
        options={
            "backbone.output_stride": 8,
            "backbone.dilation": "encnet",
            "backbone.ceil_pool": False,
            "head.body.context.encoding.reference_size": None,
            "head.body.context.sum_codewords": False,
            "head.body.context.pure_gate": False,
            "head.align_corners": True,
        },
    ),
    System(
        title="CTNet of PaddleSeg",
        mark="head.ccm.ccm_layer.conv0.weight",
        backbone=lambda module: isinstance(module, ResNet | JPUBackbone | HRNet),
        names=_paddle_names,
        head=under("head", "", CT_HEAD),
        classifier="head.cls_head.weight",
        options={
            "backbone.output_stride": 8,
            "backbone.dilation": "ccnet",
            "backbone.ceil_pool": False,
            "backbone.paddle": True,
            "head.body.reduce.norm": "PaddleBatchNorm",
            "head.align_corners": False,
        },
    ),
    System(
        title="VAN",
        mark="patch_embed1.proj.weight",
        backbone=lambda module: isinstance(module, VAN),
        names=van_names,
    ),
    System(
        title="SpUNet of Pointcept",
        mark=points.SPUNET_STEM,
        backbone=lambda module: isinstance(module, SparseUNet),
        names=points.spunet_names,
        classifier=f"{points.SPUNET_HEAD}.weight",
    ),
    System(
        title=points.PTV3_TITLE,
        mark=points.PTV3_STEM,
        backbone=_is_ptv3("ptv3"),
        names=points.ptv3_names,
        classifier=f"{points.PTV3_HEAD}.weight",
    ),
    System(
        title=points.UTONIA,
        mark=points.SONATA_STEM,
        sign=points.UTONIA_ROPE,
        backbone=_is_ptv3("sonata", rotary=True),
        names=points.ptv3_names,
        classifier=f"{points.PTV3_HEAD}.weight",
        license=points.NON_COMMERCIAL,
    ),
    System(
        title=points.SONATA,
        mark=points.SONATA_STEM,
        backbone=_is_ptv3("sonata"),
        names=points.ptv3_names,
        classifier=f"{points.PTV3_HEAD}.weight",
        license=points.NON_COMMERCIAL,
    ),
)


def find_system(state: State, *, source: str) -> System:
    """Return the system of a checkpoint.

    Raises:
        UserError: The names match no system in :data:`SYSTEMS`.
    """
    for system in SYSTEMS:
        signed = any(name.endswith(system.sign) for name in state)
        if signed and prefix_before(system.mark, state) is not None:
            return system
    known = ", ".join(system.title for system in SYSTEMS)
    raise UserError(
        f"{source}: unknown names such as {', '.join(list(state)[:3])}. Convert a checkpoint of one of {known}."
    )


def differing_options(system: System, model: nn.Module) -> list[str]:
    """Return every option of ``model`` that differs from the published one, with both values."""
    found = []
    for name, published in system.options.items():
        try:
            value = attrgetter(name)(model)
            value = type(value).__name__ if isinstance(value, nn.Module) else value
        except AttributeError:  # this backbone or head has no such option
            continue
        if value != published:
            found.append(f"{name} is {value}, published {published}")
    return found
