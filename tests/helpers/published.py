"""Small checkpoints with the names of the published systems, and their backbones as plain formulas."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTHS, WIDTHS, STEM = (1, 2, 2, 1), (4, 6, 8, 10), (4, 4, 8)
STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Style:
    """Names and structure of a ResNet of output stride 8 in one code base.

    Args:
        stem: Convolution and norm of each stem layer.
        block: Convolution and norm of layer k = 0, 1, 2 of block b of stage s.
        shortcut: Convolution and norm of the shortcut of stage s.
        norm: Leaves of a norm: weight, bias, mean, variance.
        first_dilations: Of the first blocks of the stages.
        pools: Shortcuts with a stride pool instead.
        ceil: Pooling behind the stem rounds up.
        absolute: Norms scale by ``|weight| + 1e-5``.
    """

    stem: tuple[tuple[str, str], ...]
    block: Callable[[int, int, int], tuple[str, str]]
    shortcut: Callable[[int], tuple[str, str]]
    norm: tuple[str, str, str, str] = ("weight", "bias", "running_mean", "running_var")
    first_dilations: tuple[int, ...] = DILATIONS
    pools: bool = False
    ceil: bool = False
    absolute: bool = False
    stem_out: int = STEM[2]


CCNET = Style(
    stem=tuple((f"conv{i}", f"bn{i}") for i in (1, 2, 3)),
    block=lambda s, b, k: (f"layer{s + 1}.{b}.conv{k + 1}", f"layer{s + 1}.{b}.bn{k + 1}"),
    shortcut=lambda s: (f"layer{s + 1}.0.downsample.0", f"layer{s + 1}.0.downsample.1"),
    ceil=True,
    absolute=True,
)
ENCNET = Style(
    stem=tuple((f"pretrained.{a}", f"pretrained.{b}") for a, b in (("conv1.0", "conv1.1"), ("conv1.3", "conv1.4"),
                                                                    ("conv1.6", "bn1"))),
    block=lambda s, b, k: (f"pretrained.layer{s + 1}.{b}.conv{k + 1}", f"pretrained.layer{s + 1}.{b}.bn{k + 1}"),
    shortcut=lambda s: (f"pretrained.layer{s + 1}.0.downsample.0", f"pretrained.layer{s + 1}.0.downsample.1"),
    first_dilations=(1, 1, 1, 2),
)  # fmt: skip
PADDLE = Style(
    stem=tuple((f"backbone.conv1_{i}._conv", f"backbone.conv1_{i}._batch_norm") for i in (1, 2, 3)),
    block=lambda s, b, k: (f"backbone.bb_{s}_{b}.conv{k}._conv", f"backbone.bb_{s}_{b}.conv{k}._batch_norm"),
    shortcut=lambda s: (f"backbone.bb_{s}_0.short._conv", f"backbone.bb_{s}_0.short._batch_norm"),
    norm=("weight", "bias", "_mean", "_variance"),
    pools=True,
)


def conv(state: State, name: str, shape: tuple[int, ...], *, bias: bool = False) -> None:
    fan_in = torch.Size(shape[1:]).numel()
    state[f"{name}.weight"] = torch.randn(shape) * (2 / fan_in) ** 0.5
    if bias:
        state[f"{name}.bias"] = torch.randn(shape[0])


def norm(state: State, name: str, width: int, leaves: Iterable[str] = Style.norm) -> None:
    weight, bias, mean, variance = leaves
    state[f"{name}.{weight}"] = torch.randn(width) + 0.5  # some are negative
    state[f"{name}.{bias}"] = torch.randn(width)
    state[f"{name}.{mean}"] = torch.randn(width)
    state[f"{name}.{variance}"] = torch.rand(width) + 0.5


def resnet_state(style: Style) -> State:
    """Return random weights as the published code saves them."""
    state: State = {}
    widths = (3, *STEM)
    for i, (c, n) in enumerate(style.stem):
        conv(state, c, (widths[i + 1], widths[i], 3, 3))
        norm(state, n, widths[i + 1], style.norm)
    before = STEM[2]
    for s, (depth, width) in enumerate(zip(DEPTHS, WIDTHS)):
        for b in range(depth):
            shapes = [(width, before, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            for k, shape in enumerate(shapes):
                c, n = style.block(s, b, k)
                conv(state, c, shape)
                norm(state, n, shape[0], style.norm)
            if b == 0:
                c, n = style.shortcut(s)
                conv(state, c, (4 * width, before, 1, 1))
                norm(state, n, 4 * width, style.norm)
            before = 4 * width
    return state


def resnet_forward(state: State, style: Style, image: Tensor) -> list[Tensor]:
    """Compute the outputs of the four stages by the formulas of the paper."""

    def unit(x: Tensor, names: tuple[str, str], stride: int = 1, dilation: int = 1) -> Tensor:
        weight = state[f"{names[0]}.weight"].to(x)
        padding = dilation if weight.shape[-1] == 3 else 0
        x = F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)
        gain, bias, mean, variance = (state[f"{names[1]}.{leaf}"].to(x)[:, None, None] for leaf in style.norm)
        gain = gain.abs() + 1e-5 if style.absolute else gain
        return (x - mean) / (variance + 1e-5).sqrt() * gain + bias

    x = image
    for i, names in enumerate(style.stem):
        x = unit(x, names, stride=2 if i == 0 else 1).relu()
    x = F.max_pool2d(x, 3, 2, 1, ceil_mode=style.ceil)
    outputs = []
    for s, depth in enumerate(DEPTHS):
        for b in range(depth):
            stride = STRIDES[s] if b == 0 else 1
            dilation = style.first_dilations[s] if b == 0 else DILATIONS[s]
            y = unit(x, style.block(s, b, 0)).relu()
            y = unit(y, style.block(s, b, 1), stride, dilation).relu()
            y = unit(y, style.block(s, b, 2))
            if b == 0:
                if style.pools and stride == 2:
                    x, stride = F.avg_pool2d(x, 2, 2, ceil_mode=True), 1
                x = unit(x, style.shortcut(s), stride)
            x = (x + y).relu()
        outputs.append(x)
    return outputs


def torch_units(state: State, units: dict[str, tuple[tuple[int, ...], bool]]) -> None:
    """Add sequences of a convolution, with or without bias, and a norm, as ``name.0`` and ``name.1``."""
    for name, (shape, bias) in units.items():
        conv(state, f"{name}.0", shape, bias=bias)
        norm(state, f"{name}.1", shape[0])


def ccnet_state(*, num_classes: int = 3, channels: int = 6) -> State:
    """Return a complete CCNet: ``head`` and ``dsn`` beside layers without a prefix."""
    state = resnet_state(CCNET)
    last, inner = 4 * WIDTHS[3], WIDTHS[3]
    torch_units(state, {
        "head.conva": ((inner, last, 3, 3), False),
        "head.convb": ((inner, inner, 3, 3), False),
        "head.bottleneck": ((channels, last + inner, 3, 3), False),
        "dsn": ((channels, 4 * WIDTHS[2], 3, 3), True),
    })  # fmt: skip
    for name, width in (("query", inner // 8), ("key", inner // 8), ("value", inner)):
        conv(state, f"head.cca.{name}_conv", (width, inner, 1, 1), bias=True)
    state["head.cca.gamma"] = torch.tensor([0.7])
    conv(state, "head.bottleneck.3", (num_classes, channels, 1, 1), bias=True)
    conv(state, "dsn.3", (num_classes, channels, 1, 1), bias=True)
    return state


def encnet_state(*, num_classes: int = 3, channels: int = 6, codewords: int = 5) -> State:
    """Return a complete EncNet with SE-loss and auxiliary head, without laterals."""
    state = resnet_state(ENCNET)
    c3, c4 = 4 * WIDTHS[2], 4 * WIDTHS[3]
    torch_units(state, {
        "head.conv5": ((channels, c4, 3, 3), False),
        "head.encmodule.encoding": ((channels, channels, 1, 1), False),
        "auxlayer.conv5": ((c3 // 4, c3, 3, 3), False),
    })  # fmt: skip
    state["head.encmodule.encoding.3.codewords"] = torch.randn(codewords, channels)
    state["head.encmodule.encoding.3.scale"] = -torch.rand(codewords)
    norm(state, "head.encmodule.encoding.4", codewords)
    conv(state, "head.encmodule.fc.0", (channels, channels), bias=True)
    conv(state, "head.encmodule.selayer", (num_classes, channels), bias=True)
    conv(state, "head.conv6.1", (num_classes, channels, 1, 1), bias=True)
    conv(state, "auxlayer.conv5.4", (num_classes, c3 // 4, 1, 1), bias=True)
    conv(state, "pretrained.fc", (10, c4), bias=True)
    counters = {
        name.replace("running_mean", "num_batches_tracked") for name in state if "running_mean" in name
    }
    return state | {name: torch.tensor(7) for name in counters}


def ctnet_head(state: State, *, c3: int, c4: int, num_classes: int, channels: int, key: int) -> None:
    """Add the head of CTNet, ``head.…``."""
    units = {
        "conv3x3": (channels, c4, 3, 3), "ccm.fc1.0": (num_classes, channels, 1, 1),
        "scm.scm_block.f_query": (key, channels, 3, 3), "scm.scm_block.f_key": (key, channels, 1, 1),
        "scm.scm_block.f_value": (key, channels, 1, 1), "scm.scm_block.f_up": (channels, key, 1, 1),
        "scm.scm_block.fuse": (channels, channels, 3, 3), "scm.conv3x3.0": (channels, channels, 3, 3),
        "scm.conv1x1.0": (channels, 2 * channels, 1, 1), "aux_head.0": (c3, c3, 1, 1),
    }  # fmt: skip
    for name, shape in units.items():
        conv(state, f"head.{name}._conv", shape, bias=True)
        norm(state, f"head.{name}._batch_norm", shape[0], PADDLE.norm)
    for i, size in enumerate((9, 17, 33, 65)):
        state[f"head.ccm.ccm_layer.conv{i}.weight"] = torch.randn(1, 1, size)
    state["head.ccm.ccm_layer.line.weight"] = torch.randn(4, 1)
    conv(state, "head.cls_head", (num_classes, channels, 1, 1), bias=True)
    conv(state, "head.aux_head.1", (num_classes, c3, 1, 1), bias=True)


def ctnet_state(*, num_classes: int = 3, channels: int = 6, key: int = 4) -> State:
    """Return a complete CTNet on a ResNet of output stride 8."""
    state = resnet_state(PADDLE)
    options: dict[str, Any] = {"num_classes": num_classes, "channels": channels, "key": key}
    ctnet_head(state, c3=4 * WIDTHS[2], c4=4 * WIDTHS[3], **options)
    return state
