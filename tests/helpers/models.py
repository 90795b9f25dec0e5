"""Tiny point models whose predictions are known, and a scene for them."""

import numpy as np
import torch
from helpers.fakes import ConvBackbone, fake_room
from torch import nn
from torch_geometric.data import Batch

from pcseg.data.features import ground_height, input_features
from pcseg.data.sample import Sample
from pcseg.heads.base import HeadOutput

FEATURES = ("color", "height")


class PointModel(nn.Module):
    """Compute the logits of a point from its own features; neighbors do not matter."""

    def __init__(self, width: int = 4, num_classes: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_classes)
        nn.init.normal_(self.linear.weight, std=4)
        self.rows: list[int] = []

    def forward(self, batch: Batch) -> HeadOutput:
        self.rows.append(len(batch.x))
        return HeadOutput(logits=self.linear(batch.x))


class ConvModel(PointModel):
    """Compute the logits of a point from the voxels around it."""

    def __init__(self) -> None:
        super().__init__(8)
        self.backbone = ConvBackbone(4)

    def forward(self, batch: Batch) -> HeadOutput:
        self.rows.append(len(batch.x))
        return HeadOutput(logits=self.linear(self.backbone(batch)[0].x))


def sample_room(num_points: int = 3000) -> Sample:
    """Return a fake room as a sample."""
    arrays = fake_room(1, num_points=num_points)
    return Sample(name="Area_1/office_1", **arrays | {"color": arrays["color"].astype(np.float32)})


def features_of(sample: Sample, rows: np.ndarray | None = None) -> torch.Tensor:
    """Return the features ``(N, 4)`` of ``rows`` of a sample."""
    rows = np.arange(sample.num_points) if rows is None else rows
    ground = ground_height(sample.pos)
    return torch.from_numpy(
        input_features(FEATURES, pos=sample.pos[rows], color=sample.color[rows], ground=ground)
    )
