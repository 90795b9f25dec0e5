"""Neighbors and lines of raw points against dense distances and loops in float64, and PyG's ``batch``."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import SAGEConv

from pcseg.errors import UserError
from pcseg.nn.channel_context import ChannelContext, ChannelGate
from pcseg.nn.class_centers import ClassCenters
from pcseg.nn.context_classifier import ContextClassifier
from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.nn.encoding import ContextEncoding, EncodingLayer
from pcseg.nn.neighbor_conv import NeighborConv
from pcseg.nn.norms import ChannelDropout
from pcseg.ops import neighbors
from pcseg.ops.lines import axis_lines
from pcseg.ops.neighbors import farthest_points, nearest_edges, nearest_points, neighbor_edges, neighbor_table
from pcseg.ops.points import PointSet

PTR = torch.tensor([0, 40, 40, 41, 70])


def points(**options: Any) -> PointSet:
    """Return clouds of 40, 0, 1 and 29 points, 12 of which coincide."""
    pos = torch.rand(70, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pos[3:15] = pos[3]
    return PointSet(pos, PTR, **options)


@pytest.mark.parametrize(("k", "radius"), [(6, None), (50, None), (6, 0.3), (1, None)])
def test_neighbors_against_all_distances(k: int, radius: float | None) -> None:
    found = points()
    table = neighbor_table(found, k, radius)
    distance = torch.cdist(found.pos, found.pos)
    distance[found.batch[:, None] != found.batch] = torch.inf
    distance.fill_diagonal_(torch.inf)
    if radius is not None:
        distance[distance >= radius] = torch.inf
    expected = distance.sort(1).values[:, :k]
    padded = torch.cat([distance, distance.new_full((70, 1), torch.inf)], 1)
    torch.testing.assert_close(padded.gather(1, table.where(table >= 0, 70)), expected)
    assert all(len(set(row)) == len(row) for row in ([i for i in row if i >= 0] for row in table.tolist()))
    edges = neighbor_edges(found, k, radius)
    assert edges.shape == (2, int(expected.isfinite().sum()))
    assert (found.batch[edges[0]] == found.batch[edges[1]]).all()


def test_both_searches_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    query = torch.rand(30, 3, dtype=torch.float64)
    cloud = torch.rand(50, 3, dtype=torch.float64)
    monkeypatch.setattr(neighbors, "PAIRS", 200)
    monkeypatch.setattr(neighbors, "QUERIES", 7)
    for radius in (None, 0.2):
        by_tree, by_blocks = (
            search(query, cloud, 5, radius) for search in (neighbors._by_tree, neighbors._by_blocks)
        )
        assert torch.equal(by_tree, by_blocks)


def test_nearest_point_of_the_same_cloud() -> None:
    query = PointSet(torch.rand(4, 3).double(), torch.tensor([0, 2, 3, 3, 4]))
    found = nearest_points(query, points(), 1).squeeze(1)
    assert (found[:2] < 40).all()
    assert found[2] == -1  # the cloud is empty
    assert (found[3:] > 40).all()
    assert torch.equal(
        nearest_edges(query, points(), 1), torch.stack([found[[0, 1, 3]], torch.tensor([0, 1, 3])])
    )


def test_mean_is_that_of_sage() -> None:
    ours, theirs = NeighborConv(6, 4, k=5, directions=False).double(), SAGEConv(6, 4).double()
    own, mean = ours.linear.weight.chunk(2, 1)
    theirs.load_state_dict({"lin_l.weight": mean, "lin_r.weight": own, "lin_l.bias": ours.linear.bias})
    x = torch.randn(70, 6, dtype=torch.float64, requires_grad=True)
    a, b = ours(x, points()), theirs(x, neighbor_edges(points(), 5))
    torch.testing.assert_close(a, b)
    weight = torch.randn_like(a)
    torch.testing.assert_close(*(torch.autograd.grad((y * weight).sum(), x)[0] for y in (a, b)))


def test_directions_by_a_loop() -> None:
    conv, found = NeighborConv(6, 4, k=5).double(), points()
    x, table = torch.randn(70, 6, dtype=torch.float64), neighbor_table(found, 5)
    own, mean, *along = conv.linear.weight.chunk(5, 1)
    for i, y in enumerate(conv([x[:, :2], x[:, 2:]], found)):
        expected = conv.linear.bias + own @ x[i]
        near = [j for j in table[i].tolist() if j >= 0]
        offsets = [found.pos[j] - found.pos[i] for j in near]
        spacing = (sum((d @ d for d in offsets), torch.zeros(())) / max(len(near), 1)).sqrt()
        for j, offset in zip(near, offsets):
            direction = offset / spacing if spacing > 0 else torch.zeros(3)
            weight = mean + sum(d * part for d, part in zip(direction, along))
            expected = expected + weight @ x[j] / len(near)
        torch.testing.assert_close(y, expected)


def test_scale_of_a_cloud_does_not_matter() -> None:
    conv, x = NeighborConv(6, 4, k=5).double(), torch.randn(70, 6, dtype=torch.float64)
    small = points()
    torch.testing.assert_close(conv(x, PointSet(small.pos * 100, PTR)), conv(x, small))


def test_farthest_points_by_a_loop() -> None:
    found = points()
    chosen = farthest_points(found, 0.25)
    assert torch.bincount(found.batch[chosen], minlength=4).tolist() == [10, 0, 1, 8]
    for first, last in ((0, 10), (11, 19)):
        for i in range(first + 1, last):
            cloud = found.pos[found.batch == found.batch[chosen[first]]]
            distance = torch.cdist(cloud, found.pos[chosen[first:i]]).amin(1)
            assert torch.equal(found.pos[chosen[i]], cloud[distance.argmax()])


@pytest.mark.parametrize("thickness", [1, 2])
def test_criss_cross_on_raw_points_by_brute_force(thickness: int) -> None:
    """One softmax over the union of the lines; a point that shares several lines counts once."""
    found, x = points(cell_size=0.3), torch.randn(70, 16, dtype=torch.float64)
    module = CrissCrossAttention(16).double()
    module.gamma.data.fill_(0.7)
    cell = found.local_pos // thickness
    expected = torch.empty_like(x)
    for u in range(70):
        same = [bool((cell[u, :2] == cell[w, :2]).all() | (cell[u, 1:] == cell[w, 1:]).all()
                     | (cell[u, ::2] == cell[w, ::2]).all()) for w in range(70)]  # fmt: skip
        seen = [w for w in range(70) if found.batch[w] == found.batch[u] and same[w]]
        weight = (module.key(x[seen]) @ module.query(x[u])).softmax(0)
        expected[u] = x[u] + 0.7 * weight @ module.value(x[seen])
    torch.testing.assert_close(
        module(x, axis_lines(found, thickness=thickness)), expected, rtol=1e-10, atol=1e-10
    )


CALLS: dict[str, Callable[[Tensor, dict[str, Tensor]], Any]] = {
    "gate": lambda x, clouds: ChannelGate()(x, **clouds),
    "channel": lambda x, clouds: ChannelContext(8, 3)(x, **clouds).x,
    "dropout": lambda x, clouds: ChannelDropout(0.5)(x, **clouds),
    "encoding": lambda x, clouds: EncodingLayer(8, 4)(x, **clouds),
    "context": lambda x, clouds: ContextEncoding(8, 4)(x, **clouds).x,
    "centers": lambda x, clouds: ClassCenters(8, 3)(x, x[:, :3].softmax(1), **clouds),
    "classifier": lambda x, clouds: ContextClassifier(8)(x, x[:, :3].softmax(1), torch.ones(3, 8), **clouds)[
        0
    ],
    "points": lambda x, clouds: PointSet(x, **clouds).ptr,
}


@pytest.mark.parametrize("name", CALLS)
def test_batch_instead_of_ptr(name: str) -> None:
    x = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))
    results = []
    for clouds in ({"ptr": torch.tensor([0, 4, 9])}, {"batch": torch.tensor([0] * 4 + [1] * 5)}):
        torch.manual_seed(0)
        results.append(CALLS[name](x, clouds))
    torch.testing.assert_close(*results)
    for batch, message in (
        ([0, 1, 0, 1, 0, 1, 0, 1, 0], r"^batch: is not sorted\. Sort"),
        ([0, 0, 0, 2, 2, 2, 2, 2, 2], r"^batch: skips a number\. Number the clouds 0, 1, 2"),
        ([1] * 9, "^batch: skips a number"),
        ([0] * 8, r"^batch: has type torch\.int64 and shape \(8,\)\. Pass 9 integers"),
    ):
        with pytest.raises(UserError, match=message):
            CALLS[name](x, {"batch": torch.tensor(batch)})


def test_bad_input() -> None:
    pos = torch.rand(30, 3)
    for call, message in (
        (
            lambda: PointSet(pos.where(pos < 0.9, torch.nan)),
            r"^pos: \d+ points are NaN or infinite\. Remove them",
        ),
        (lambda: PointSet(pos.long()), r"^pos: has type torch.int64"),
        (lambda: PointSet(pos, torch.tensor([0, 20])), "^ptr: must ascend from 0 to 30"),
        (lambda: PointSet(pos).local_pos, r"^cell_size: lines, slabs and weights of raw points need cells"),
        (lambda: PointSet(pos * 1e6, cell_size=0.1).local_pos, "^cell_size: a cloud has more than"),
        (lambda: neighbor_table(PointSet(pos), 0), r"^k: 0 is out of range\. Use 1 or more"),
        (lambda: neighbor_table(PointSet(pos), 5, -1.0), "^radius: -1.0 is out of range"),
        (
            lambda: neighbor_table(PointSet(pos), 5, 1e-9),
            "^radius: no point of cloud 0 has a neighbor within 1e-09",
        ),
        (lambda: farthest_points(PointSet(pos), 0.0), "^ratio: 0.0 is out of range"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    # a cloud with fewer than k others has as many neighbors as there are
    assert (neighbor_table(PointSet(pos), 50) >= 0).sum() == 30 * 29
