"""Replaced class shares of slabs: exact where nothing should change, and what they should be elsewhere."""

from functools import partial

import pytest
import torch
from helpers.fakes import ConvBackbone
from studies.slab_interventions import SLAB_CHANGES, SlabTables, replaced_tables, slab_context_of, tables_of
from torch_geometric.data import Batch, Data

from pcseg.errors import UserError
from pcseg.heads import PointHead, SlabBody
from pcseg.labels import S3DIS
from pcseg.training.segmentor import Segmentor


def room(seed: int, *, edge: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(edge**3, generator=generator)[: 50 + 10 * seed]
    grid_pos = torch.stack([cells // edge**2, cells // edge % edge, cells % edge], 1)
    x = torch.randn(len(cells), 4, generator=generator, dtype=torch.float64)
    y = torch.randint(-1, 13, (len(cells),), generator=generator)
    return Batch.from_data_list([Data(x=x, grid_pos=grid_pos, y=y, num_nodes=len(cells))])


@pytest.fixture(scope="module")
def model() -> Segmentor:
    head = partial(PointHead, body=partial(SlabBody, width=12, slab_width=8), level=0)
    return Segmentor(ConvBackbone, head, in_channels=4, schema=S3DIS).double().eval()


@pytest.fixture(scope="module")
def rooms(model: Segmentor) -> list[SlabTables]:
    with torch.no_grad():
        return [tables_of(model.head, model.backbone(room(seed)), room(seed)) for seed in range(3)]


@pytest.mark.parametrize("name", SLAB_CHANGES)
def test_only_other_tables_change_the_logits(model: Segmentor, rooms: list[SlabTables], name: str) -> None:
    batch = room(1)
    with torch.no_grad():
        before = model(batch).logits
        tables = SLAB_CHANGES[name](1, rooms)
        with replaced_tables(model, tables):
            during = model(batch).logits
        assert torch.equal(model(batch).logits, before)
    assert [table.shape for table in tables] == [table.shape for table in rooms[1].predicted]
    assert torch.equal(during, before) == (name == "own")


def test_tables_of_changes(rooms: list[SlabTables]) -> None:
    changed = {name: change(1, rooms) for name, change in SLAB_CHANGES.items()}
    for axis, own in enumerate(rooms[1].predicted):
        rows = {tuple(row.tolist()) for row in own}
        assert {tuple(row.tolist()) for row in changed["permuted"][axis]} == rows
        counts = rooms[1].slabs[axis].counts
        mean = sum(count * row for count, row in zip(counts, own)) / counts.sum()
        torch.testing.assert_close(changed["average"][axis], mean.expand_as(own))
        theirs = {tuple(row.tolist()) for row in rooms[2].predicted[axis]}
        assert {tuple(row.tolist()) for row in changed["shuffled"][axis]} <= theirs


def test_true_shares_count_labels(rooms: list[SlabTables]) -> None:
    batch = room(1)
    for axis, table in enumerate(rooms[1].true):
        for row, value in zip(table, batch.grid_pos[:, axis].unique()):
            labels = batch.y[batch.grid_pos[:, axis] == value]
            shares = torch.stack([(labels == k).sum() / len(labels) for k in range(13)])
            torch.testing.assert_close(row[:13], shares.double())
            torch.testing.assert_close(row[13:], (shares > 0).double())


@pytest.mark.parametrize("content", ["features", "positions"])
def test_slabs_without_class_shares_are_refused(content: str) -> None:
    head = PointHead([4], 5, body=partial(SlabBody, content=content), level=0)
    with pytest.raises(UserError, match=f"slabs that hold {content}\\. Pass a model"):
        slab_context_of(head)
