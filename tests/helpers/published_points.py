"""Point backbones under their published names and in the published layouts, and back."""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.official.loading import LoadReport, load_published
from pcseg.official.names.points import (
    INPUT_BUFFERS,
    PTV3,
    PTV3_HEAD,
    SPUNET,
    SPUNET_HEAD,
    from_kernel,
    from_spunet,
    ptv3_names,
    published_name,
    spunet_names,
)


def load_published_points(
    state: Mapping[str, Tensor],
    backbone: nn.Module,
    classify: nn.Linear | None = None,
    *,
    strict: bool = False,
) -> LoadReport:
    """Copy published tensors into a backbone and, if given, a linear classifier."""
    model = nn.Module()
    model.backbone = backbone
    is_ptv3 = isinstance(backbone, PTv3)
    names = (ptv3_names if is_ptv3 else spunet_names)(backbone, state).inside("backbone")
    names = replace(names, names={layer_scale_name(theirs): ours for theirs, ours in names.names.items()})
    if classify is not None:
        model.classify = classify
        head = PTV3_HEAD if is_ptv3 else SPUNET_HEAD
        for name in state:
            module, _, leaf = name.rpartition(".")
            if f".{module}".endswith(f".{head}"):
                names.names[name] = f"classify.{leaf}"
    report = load_published(model, state, names, strict=strict)
    report.missing = [
        name for name in report.missing if name not in {f"backbone.{own}" for own in INPUT_BUFFERS}
    ]
    return report


def published_state(backbone: nn.Module, classify: nn.Linear | None = None) -> dict[str, Tensor]:
    """Return the tensors of a backbone and classifier by their published names, in the published layout."""
    is_ptv3 = isinstance(backbone, PTv3)
    state = {
        layer_scale_name(published_name(name, PTV3 if is_ptv3 else SPUNET)): tensor.detach()
        for name, tensor in backbone.state_dict().items()
        if name not in INPUT_BUFFERS
    }
    if classify is not None:
        head = PTV3_HEAD if is_ptv3 else SPUNET_HEAD
        state |= {f"{head}.{name}": tensor.detach() for name, tensor in classify.state_dict().items()}
    return {name: to_kernel(tensor) if is_ptv3 else to_spunet(name, tensor) for name, tensor in state.items()}


def layer_scale_name(name: str) -> str:
    """Return the published name of the layer scale of a :class:`~helpers.published_ptv3.PublishedPTv3`."""
    return re.sub(r"\.scale([12])\.gamma$", r".ls\1.0.gamma", name)


def to_spunet(name: str, tensor: Tensor) -> Tensor:
    """Return the inverse of :func:`from_spunet`."""
    if (".proj.0." in name or name.startswith(f"{SPUNET_HEAD}.")) and tensor.ndim == 2:
        out_channels, in_channels = tensor.shape
        return tensor.t().reshape(out_channels, 1, 1, 1, in_channels)
    return to_kernel(tensor)


def to_kernel(tensor: Tensor) -> Tensor:
    """Return the inverse of :func:`from_kernel`."""
    if tensor.ndim != 3:
        return tensor
    volume, in_channels, out_channels = tensor.shape
    edge = round(volume ** (1 / 3))
    return tensor.view(edge, edge, edge, in_channels, out_channels).permute(4, 0, 1, 2, 3).contiguous()


def round_trip(name: str, tensor: Tensor, *, spunet: bool) -> Tensor:
    """Return ``tensor`` after conversion to the layout here and back."""
    return to_spunet(name, from_spunet(name, tensor)) if spunet else to_kernel(from_kernel(name, tensor))
