"""PaddleSeg's HRNet with one module per stage: a checkpoint with its names, and the network as a formula."""

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from helpers.published import PADDLE, State, conv, norm
from torch import Tensor


def hrnet_unit(state: State, name: str, out: int, inside: int, size: int) -> None:
    conv(state, f"backbone.{name}._conv", (out, inside, size, size))
    norm(state, f"backbone.{name}._batch_norm", out, PADDLE.norm)


def hrnet_state(*, blocks: Sequence[int], first: int, widths: Sequence[int]) -> State:
    """Return PaddleSeg's HRNet with one module per stage, in the order of its code."""
    state: State = {}
    hrnet_unit(state, "conv_layer1_1", 64, 3, 3)
    hrnet_unit(state, "conv_layer1_2", 64, 64, 3)
    for i in range(blocks[0]):
        name = f"la1.bb_layer2_{i + 1}"
        hrnet_unit(state, f"{name}.conv1", first, 64 if i == 0 else 4 * first, 1)
        hrnet_unit(state, f"{name}.conv2", first, first, 3)
        hrnet_unit(state, f"{name}.conv3", 4 * first, first, 1)
        if i == 0:
            hrnet_unit(state, f"{name}.conv_down", 4 * first, 64, 1)
    before = [4 * first]
    for stage in (2, 3, 4):
        now, tr = list(widths[:stage]), f"tr{stage - 1}"
        for i, width in enumerate(now):
            if i >= len(before) or before[i] != width:
                hrnet_unit(
                    state, f"{tr}.transition_{tr}_layer_{i + 1}", width, before[min(i, len(before) - 1)], 3
                )
        for i, j, k in product(range(stage), range(blocks[stage - 1]), (1, 2)):
            block = f"branches_func.bb_st{stage}_1_branch_layer_{i + 1}_{j + 1}"
            hrnet_unit(state, f"st{stage}.stage_st{stage}_1.{block}.conv{k}", now[i], now[i], 3)
        for i, j in product(range(stage), range(stage)):
            name = f"st{stage}.stage_st{stage}_1.fuse_func.residual_st{stage}_1_layer_{i + 1}_{j + 1}"
            if j > i:
                hrnet_unit(state, name, now[i], now[j], 1)
            for k in range(i - j):
                hrnet_unit(state, f"{name}_{k + 1}", now[i] if k == i - j - 1 else now[j], now[j], 3)
        before = now
    return state


def hrnet_forward(state: State, image: Tensor, *, blocks: Sequence[int]) -> Tensor:
    """Compute its output: the four branches, resized to the finest and concatenated."""

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"backbone.{name}._conv.weight"].to(x)
        # a total of as many zeros as are needed, the odd one at the end
        needed = [max((-(-n // stride) - 1) * stride + weight.shape[-1] - n, 0) for n in x.shape[2:]]
        (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in needed)
        x = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=stride)
        leaves = (state[f"backbone.{name}._batch_norm.{leaf}"].to(x)[:, None, None] for leaf in PADDLE.norm)
        gain, bias, mean, variance = leaves
        return (x - mean) / (variance + 1e-5).sqrt() * gain + bias

    def resized(x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)

    x = unit(unit(image, "conv_layer1_1", 2).relu(), "conv_layer1_2", 2).relu()
    for i in range(blocks[0]):
        name = f"la1.bb_layer2_{i + 1}"
        y = unit(unit(unit(x, f"{name}.conv1").relu(), f"{name}.conv2").relu(), f"{name}.conv3")
        x = (y + (unit(x, f"{name}.conv_down") if i == 0 else x)).relu()
    xs = [x]
    for stage in (2, 3, 4):
        before, xs = xs, []
        for i in range(stage):
            name = f"tr{stage - 1}.transition_tr{stage - 1}_layer_{i + 1}"
            if i >= len(before):
                x = unit(before[-1], name, 2).relu()
            else:
                x = unit(before[i], name).relu() if f"backbone.{name}._conv.weight" in state else before[i]
            for j in range(blocks[stage - 1]):
                block = (
                    f"st{stage}.stage_st{stage}_1.branches_func.bb_st{stage}_1_branch_layer_{i + 1}_{j + 1}"
                )
                x = (x + unit(unit(x, f"{block}.conv1").relu(), f"{block}.conv2")).relu()
            xs.append(x)
        branches, xs = xs, []
        for i, total in enumerate(branches):
            for j, y in enumerate(branches):
                name = f"st{stage}.stage_st{stage}_1.fuse_func.residual_st{stage}_1_layer_{i + 1}_{j + 1}"
                for k in range(i - j):
                    y = unit(y if k == 0 else y.relu(), f"{name}_{k + 1}", 2)
                if j > i:
                    y = resized(unit(y, name), branches[i])
                total = total + y if j != i else total
            xs.append(total.relu())
    return torch.cat([xs[0], *(resized(x, xs[0]) for x in xs[1:])], 1)
