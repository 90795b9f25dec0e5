"""What the parameters of the published image models are called here, and how to load them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pcseg.errors import UserError

Names = dict[str, str]
"""Published names of modules or parameters, to ours."""

PADDLE_BUFFERS = {"_mean": "running_mean", "_variance": "running_var"}


def under(published: str, ours: str, names: Names) -> Names:
    """``names`` of a module that is itself called ``published`` there and ``ours`` here."""
    return {f"{published}.{theirs}": f"{ours}.{name}".lstrip(".") for theirs, name in names.items()}


def _paddle_unit(published: str, ours: str, kind: str) -> Names:
    return {f"{published}._conv": f"{ours}.{kind}", f"{published}._batch_norm": f"{ours}.norm"}


def _torch_unit(published: str, ours: str, kind: str) -> Names:
    return {f"{published}.0": f"{ours}.{kind}", f"{published}.1": f"{ours}.norm"}


# CTNet, PaddleSeg
CHANNEL_GATE = {f"conv{i}": f"convs.{i}" for i in range(4)} | {"line": "mix"}
CHANNEL_CONTEXT = under("ccm_layer", "gate", CHANNEL_GATE) | {
    "fc1.0._conv": "classify",
    "fc1.0._batch_norm": "norm",
}
CLASS_ATTENTION = (
    _paddle_unit("f_query", "query", "conv")
    | _paddle_unit("f_key", "key", "linear")
    | _paddle_unit("f_value", "value", "linear")
    | _paddle_unit("f_up", "up", "linear")
    | _paddle_unit("fuse", "fuse", "conv")
)
SPATIAL_CONTEXT = (
    under("scm_block", "attention", CLASS_ATTENTION)
    | _paddle_unit("conv3x3.0", "local", "conv")
    | _paddle_unit("conv1x1.0", "merge", "linear")
)
CT_HEAD = (
    _paddle_unit("conv3x3", "body.reduce", "conv")
    | under("ccm", "body.channel_context", CHANNEL_CONTEXT)
    | under("scm", "body.spatial_context", SPATIAL_CONTEXT)
    | {"cls_head": "body.classify"}
    | _paddle_unit("aux_head.0", "auxiliary.reduce", "linear")
    | {"aux_head.1": "auxiliary.classify"}
)

# EncNet, PyTorch-Encoding
ENCODING = {"codewords": "codewords", "scale": "smoothing"}
CONTEXT_ENCODING = (
    _torch_unit("encoding", "project", "linear")
    | under("encoding.3", "encoding", ENCODING)
    | {"encoding.4": "norm", "fc.0": "gate", "selayer": "presence"}
)
ENC_HEAD = (
    _torch_unit("conv5", "body.reduce", "conv")
    | _torch_unit("connect.0", "body.connect.0", "linear")
    | _torch_unit("connect.1", "body.connect.1", "linear")
    | _torch_unit("fusion", "body.fuse", "conv")
    | under("encmodule", "body.context", CONTEXT_ENCODING)
    | {"conv6.1": "body.classify"}
)
FCN_BODY = _torch_unit("conv5", "reduce", "conv") | {"conv5.4": "classify"}

# CCNet
CRISS_CROSS = {"query_conv": "query", "key_conv": "key", "value_conv": "value", "gamma": "gamma"}
RCCA_HEAD = (
    _torch_unit("conva", "body.before", "conv")
    | under("cca", "body.attention", CRISS_CROSS)
    | _torch_unit("convb", "body.after", "conv")
    | _torch_unit("bottleneck", "body.merge", "conv")
    | {"bottleneck.3": "body.classify"}
)
DSN_BODY = {"0": "reduce.conv", "1": "reduce.norm", "3": "classify"}

# VAN
VAN_BLOCK = {
    "layer_scale_1": "scale1",
    "layer_scale_2": "scale2",
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj_1": "attention.0",
    "attn.spatial_gating_unit.conv0": "attention.2.near",
    "attn.spatial_gating_unit.conv_spatial": "attention.2.far",
    "attn.spatial_gating_unit.conv1": "attention.2.mix",
    "attn.proj_2": "attention.3",
    "mlp.fc1": "mlp.0",
    "mlp.dwconv.dwconv": "mlp.1",
    "mlp.fc2": "mlp.3",
}


def van_names(depths: Sequence[int]) -> Names:
    """Names of a VAN with so many blocks in its stages."""
    names: Names = {}
    for i, depth in enumerate(depths):
        names |= {
            f"patch_embed{i + 1}.proj": f"stages.{i}.embed",
            f"patch_embed{i + 1}.norm": f"stages.{i}.embed_norm",
            f"norm{i + 1}": f"stages.{i}.norm",
        }
        for j in range(depth):
            names |= under(f"block{i + 1}.{j}", f"stages.{i}.blocks.{j}", VAN_BLOCK)
    return names


@dataclass(kw_only=True)
class LoadReport:
    """Which names were taken (ours), which of ours are missing, and which published ones are left over."""

    taken: list[str]
    missing: list[str]
    unexpected: list[str]


def our_name(published: str, names: Names) -> str | None:
    """What the published parameter or buffer is called here, ``None`` if that is not known."""
    if published in names:
        return names[published]
    module, _, leaf = published.rpartition(".")
    return f"{names[module]}.{PADDLE_BUFFERS.get(leaf, leaf)}" if module in names else None


def load_official(module: nn.Module, state: Mapping[str, Tensor], names: Names) -> LoadReport:
    """Copy published parameters into ``module``.

    Args:
        module: Ours.
        state: Published parameters and buffers by name.
        names: Their names here.

    Raises:
        UserError: A shape does not fit.

    Convention:
        Axes of length one may differ: a 1×1 convolution is a linear map here. Nothing but the report tells of
        names that are missing or left over.
    """
    own = module.state_dict()
    taken, unexpected = [], []
    for published, tensor in state.items():
        name = our_name(published, names)
        if name is None or name not in own:
            unexpected.append(published)
            continue
        if _long_axes(tensor) != _long_axes(own[name]):
            shapes = f"{tuple(tensor.shape)}, not {tuple(own[name].shape)}"
            raise UserError(f"checkpoint: {published} (here {name}) has shape {shapes} as in this model")
        with torch.no_grad():
            own[name].copy_(tensor.reshape(own[name].shape))
        taken.append(name)
    missing = [name for name in own if name not in taken and not name.endswith("num_batches_tracked")]
    return LoadReport(taken=taken, missing=missing, unexpected=unexpected)


def _long_axes(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if size > 1]
