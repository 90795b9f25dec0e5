"""The plain head is a linear layer on the finest level and nothing else."""

import torch
from helpers.dense_conv import random_voxels
from torch_geometric.data import Batch

from pcseg.heads import LinearHead
from pcseg.nn.levels import Level
from pcseg.ops.kernel_lookup import coarsen


def test_linear_on_the_finest_level() -> None:
    fine = random_voxels([30, 20])
    step = coarsen(fine)
    coarse, parent = step.voxels, step.parent
    levels = [
        Level(x=torch.randn(50, 8), sites=fine, stride=1),
        Level(x=torch.randn(len(coarse), 16), sites=coarse, stride=2, parent=parent),
    ]
    head = LinearHead([8, 16], 5)
    output = head(levels, Batch())
    torch.testing.assert_close(output.logits, levels[0].x @ head.classify.weight.t() + head.classify.bias)
    assert output.aux == {}
    assert head.losses(output, Batch()) == {}
