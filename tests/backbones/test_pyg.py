"""PyG modules as backbones: they train with our heads from YAML and from Python, and bad output is one clear error."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from helpers.pyg_models import DGCNN, PointTransformer, SetAbstraction
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pcseg.backbones.points.pyg import PyGBackbone
from pcseg.checkpoint import instantiate_parts
from pcseg.errors import UserError
from pcseg.heads import CTBody, EncBody, PointHead, RCCABody
from pcseg.labels import S3DIS
from pcseg.nn.neighbor_conv import NeighborConv
from pcseg.training.segmentor import Segmentor

MODELS = {
    "set_abstraction": (SetAbstraction, [16, 16, 16], 2, EncBody),
    "dgcnn": (DGCNN, 16, 0, CTBody),
    "point_transformer": (PointTransformer, 16, 0, RCCABody),
}


def rooms(*sizes: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch.from_data_list(
        [
            Data(
                x=torch.rand(n, 4, generator=generator),
                pos=2 * torch.rand(n, 3, generator=generator),
                y=torch.arange(n) % 14 - 1,
            )
            for n in sizes
        ]
    )  # type: ignore[return-value]


def from_yaml(name: str) -> Any:
    model, channels, level, body = MODELS[name]
    module = {"class_path": f"helpers.pyg_models.{model.__name__}"}
    config = {
        "backbone": {
            "class_path": "pcseg.backbones.points.pyg.ConfiguredPyGBackbone",
            "init_args": {"module": module, "out_channels": channels, "k": 6},
        },
        "head": {
            "class_path": "pcseg.heads.PointHead",
            "init_args": {
                "level": level,
                "body": f"pcseg.heads.{body.__name__}",
                "local": {"class_path": "pcseg.nn.neighbor_conv.NeighborConv", "init_args": {"k": 6}},
            },
        },
    }
    return instantiate_parts(config, source="config")


def from_python(name: str) -> Any:
    model, channels, level, body = MODELS[name]
    backbone = PyGBackbone(model(4), out_channels=channels, k=6)
    return backbone, partial(PointHead, body=body, level=level, local=partial(NeighborConv, k=6))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models_train(name: str) -> None:
    batch, losses = rooms(60, 40), []
    for make in (from_yaml, from_python):
        torch.manual_seed(0)
        network = Segmentor(*make(name), in_channels=4, schema=S3DIS)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(2):
            output = network(batch)
            loss = nn.functional.cross_entropy(output.logits, batch.y, ignore_index=-1)
            losses.append(loss + sum(network.head.losses(output, batch).values()))
            optimizer.zero_grad()
            losses[-1].backward()
            for key, parameter in network.named_parameters():
                assert parameter.grad is None or parameter.grad.isfinite().all(), key
            optimizer.step()
    assert losses[1] < losses[0]
    torch.testing.assert_close(losses[:2], losses[2:])


def test_levels_take_the_nearest_point_of_their_cloud() -> None:
    batch = rooms(30, 1, 20)
    levels = PyGBackbone(SetAbstraction(4).eval(), out_channels=[16, 16, 16])(batch)
    assert [len(level.x) for level in levels] == [51, 26, 14]
    for fine, coarse in pairwise(levels):
        assert torch.equal(coarse.sites.batch[coarse.parent], fine.sites.batch)
        distance = torch.cdist(fine.sites.pos, coarse.sites.pos)
        distance[fine.sites.batch[:, None] != coarse.sites.batch] = torch.inf
        assert torch.equal(distance.argmin(1), coarse.parent)


def test_a_single_cloud_and_its_own_edges() -> None:
    backbone = PyGBackbone(PointTransformer(4), out_channels=16, k=3)
    data = rooms(30)[0]
    expected = backbone(rooms(30))[0].x
    torch.testing.assert_close(backbone(data)[0].x, expected)
    data.edge_index = torch.tensor([[0], [1]])
    (level,) = backbone(data)
    torch.testing.assert_close(level.x, backbone.module(data.x, data.pos, data.edge_index))


class Returns(nn.Module):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor, pos: Tensor, batch: Tensor) -> Any:
        return self.make(x, pos, batch)


class Takes(nn.Module):
    def forward(self, x: Tensor, normals: Tensor) -> Tensor:
        return x


BAD = {
    "width": (lambda x, pos, batch: x, [5], r"^backbone\.out_channels: \[5\], but the module returns \[4\]\. Correct"),
    "count": (lambda x, pos, batch: [x, (x, pos, batch)], [4], r"but the module returns \[4, 4\]"),
    "rows": (lambda x, pos, batch: x[1:], [4], r"^backbone\.module: returns 49 rows for 50 points\."),
    "positions": (lambda x, pos, batch: [x, x[::2]], [4, 4], r"^backbone\.module: level 1 has no positions\."),
    "sizes": (lambda x, pos, batch: [x, (x[:9], pos[:8], batch[:9])], [4, 4], "level 1 has 9 features, 8 positions"),
    "lost": (lambda x, pos, batch: [x, (x[:9], pos[:9], batch[:9])], [4, 4], "level 1 has no point of cloud 1"),
    "order": (lambda x, pos, batch: [x, (x, pos, batch.flip(0))], [4, 4], "^batch: is not sorted"),
    "beyond": (lambda x, pos, batch: [x, (x, pos, batch + 1)], [4, 4], "^batch: has numbers beyond the 2 clouds"),
    "nothing": (lambda x, pos, batch: None, [4], r"^backbone\.module: returns no features"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_output(name: str) -> None:
    make, channels, message = BAD[name]
    with pytest.raises(UserError, match=message):
        PyGBackbone(Returns(make), out_channels=channels)(rooms(30, 20))


def test_bad_input() -> None:
    with pytest.raises(
        UserError, match=r"^backbone\.module: forward takes normals\. Name its arguments x, pos"
    ):
        PyGBackbone(Takes(), out_channels=4)
    batch = rooms(30)
    batch.pos[3] = torch.nan
    with pytest.raises(UserError, match=r"^pos: 1 points are NaN or infinite"):
        PyGBackbone(Returns(lambda x, pos, batch: x), out_channels=4)(batch)
