"""Parts of a training step on a GPU, whose launches and waits are counted without one.

``PYTHONPATH=tests python -m helpers.training_step 100000`` prints a table for 8 clouds of 100,000 voxels.
"""

import math
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from helpers.launches import Counts, counting
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pcseg import heads
from pcseg.backbones.points.ptv3 import ptv3_base
from pcseg.backbones.points.sparse_unet import sparse_unet_base
from pcseg.heads import Head, PointHead
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.nn.levels import Level
from pcseg.training.recovery import Recovery, parameters_of
from pcseg.training.segmentor import best_class
from pcseg.training.trainer import move_averages

BACKBONES = {"sparse_unet_base": sparse_unet_base, "ptv3_base": ptv3_base}
HEADS = {
    "linear": heads.LinearHead,
    "fcn": partial(PointHead, body=partial(heads.FCNBody, width=128)),
    "ccnet": partial(PointHead, body=heads.RCCABody),
    "ctnet": partial(PointHead, body=heads.CTBody),
    "ctnet_centers": partial(PointHead, body=partial(heads.CTBody, class_features="centers", heads=4)),
    "ctnet_slab": partial(PointHead, body=partial(heads.CTBody, class_features="slab")),
    "encnet": partial(PointHead, body=heads.EncBody),
    "slab": partial(PointHead, body=heads.SlabBody),
    "cac": partial(PointHead, body=heads.CACBody),
}
CLASSES = 13


def room(seed: int, count: int) -> Tensor:
    """About ``count`` voxels of 5 cm on the surfaces of a room with boxes, with noise, ``(count, 3)`` int32."""
    rng = np.random.default_rng(seed)
    edge = math.sqrt(count / 100_000)  # 12 x 9.5 x 3 m, or a smaller room
    low = np.concatenate([np.zeros((1, 3)), rng.random((14, 3)) * (160, 120, 0)]) * edge
    high = low + np.concatenate([[[240, 190, 60]], rng.random((14, 3)) * 30 + 8]) * edge
    points = []
    for a, b in zip(low, high):
        for axis in range(3):
            area = np.prod(np.delete(b - a, axis))
            for end in (a, b):
                points.append(a + rng.random((int(8 * area), 3)) * (b - a))
                points[-1][:, axis] = end[axis]
    pos = np.concatenate(points)
    pos = (pos + rng.normal(0, 0.16, pos.shape)).astype(np.int64) + 8
    x, y, z = np.unravel_index(np.unique(np.ravel_multi_index(pos.T, (1 << 9,) * 3)), (1 << 9,) * 3)
    pos = np.stack([x, y, z], 1).astype(np.int32)
    distance = np.square(pos - pos[len(pos) // 2]).sum(1)
    return torch.from_numpy(pos[np.sort(np.argsort(distance)[:count])])


def batch_of_rooms(count: int, clouds: int = 8) -> Any:
    """A batch as training passes it to a network on a GPU."""
    rooms = [room(seed, count) for seed in range(clouds)]
    grid_pos, ptr = torch.cat(rooms), torch.tensor([0, *map(len, rooms)]).cumsum(0)
    ptr.made_on_host = True  # pyright: ignore[reportAttributeAccessIssue]
    y = torch.arange(len(grid_pos)) % (CLASSES + 1) - 1
    x = torch.empty(len(grid_pos), 4, device="meta")
    return SimpleNamespace(x=x, grid_pos=grid_pos, ptr=ptr, y=y, num_graphs=clouds)


def count_backbone(backbone: nn.Module, batch: Any) -> tuple[Counts, list[Level]]:
    """Count forward and backward pass, and return the levels."""
    with counting() as counts:
        levels = backbone(batch)
        torch.autograd.backward(
            [level.x for level in levels], [torch.empty_like(level.x) for level in levels]
        )
    return counts, levels


def count_head(head: Head, levels: list[Level], batch: Any) -> Counts:
    """Count forward pass, losses, accuracy and backward pass down to the levels."""
    levels = [replace(level, x=level.x.detach().requires_grad_()) for level in levels]
    for level in levels:  # built again, even if another head has built them
        cache = level.sites._cache
        level.sites._cache = {key: value for key, value in cache.items() if key[0] not in ("lines", "slabs")}
    loss, matrix = SegmentationLoss(torch.ones(CLASSES), label_smoothing=0.1), ConfusionMatrix(CLASSES)
    with counting() as counts:
        output = head(levels, batch)
        losses = loss(output.logits, batch.y) | head.losses(output, batch)
        torch.stack(list(losses.values())).sum().backward()
        matrix.update(best_class(output.logits.detach()), batch.y)
    return counts


def count_update(*networks: nn.Module) -> Counts:
    """Count check and clipping of the gradient, AdamW and the average of the weights, after the first step."""
    model = nn.ModuleList(networks)
    average = AveragedModel(model, use_buffers=True, multi_avg_fn=partial(move_averages, 0.999))
    trainer: Any = SimpleNamespace(precision_plugin=None, world_size=1, global_step=1)
    module: Any = SimpleNamespace(trainer=trainer)
    with counting(half=False) as counts:
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            counts.clear()
            norm = Recovery().check_step(module, optimizer)
            assert norm is not None
            torch.nn.utils.clip_grads_with_norm_(parameters_of(optimizer), 10.0, norm)
            optimizer.step()
            average.update_parameters(model)
    return counts


if __name__ == "__main__":
    rooms = batch_of_rooms(int(sys.argv[1]))
    for name, make in BACKBONES.items():
        with torch.device("meta"):
            backbone = make(4)
            tops = {head: build(backbone.out_channels, CLASSES) for head, build in HEADS.items()}
        step, levels = count_backbone(backbone, rooms)
        below = (step + count_update(backbone)).summary()
        print(f"| {name} | {below[0]:,} | {below[1]} |", flush=True)
        for head, top in tops.items():
            found = count_head(top, levels, rooms).summary()
            print(f"| + {head} | {below[0] + found[0]:,} | {below[1] + found[1]} |", flush=True)
