"""Every point head keeps the contract, on the finest level and on a coarse one."""

import pytest
import torch
from helpers.grids import make_levels, random_scene
from helpers.head_contract import CHANNELS, NUM_CLASSES, PointHeadContract

from pcseg.errors import UserError
from pcseg.heads.base import PointHead
from pcseg.heads.ccnet import PointRCCAHead
from pcseg.heads.ctnet import PointCTHead
from pcseg.heads.encnet import PointEncHead
from pcseg.heads.fcn import PointFCNHead

WIDTHS = [CHANNELS] * 3


class TestFCN(PointHeadContract):
    def make(self) -> PointHead:
        return PointFCNHead(WIDTHS, NUM_CLASSES, dropout=0.0)


class TestCTNet(PointHeadContract):
    def make(self) -> PointHead:
        return PointCTHead(WIDTHS, NUM_CLASSES, level=0, width=12, key_width=6, aux_level=1)


class TestCTNetCoarse(PointHeadContract):
    def make(self) -> PointHead:
        return PointCTHead(WIDTHS, NUM_CLASSES, level=1, width=12, key_width=6, class_batch_norm=True)


class TestEncNet(PointHeadContract):
    def make(self) -> PointHead:
        return PointEncHead(
            WIDTHS, NUM_CLASSES, level=0, width=12, num_codewords=4, laterals=[1, 2], aux_level=1, dropout=0.0
        )


class TestEncNetCoarse(PointHeadContract):
    def make(self) -> PointHead:
        return PointEncHead(WIDTHS, NUM_CLASSES, level=2, width=12, num_codewords=4, dropout=0.0)


class TestCCNet(PointHeadContract):
    def make(self) -> PointHead:
        return PointRCCAHead(
            WIDTHS,
            NUM_CLASSES,
            level=0,
            width=16,
            recurrence=2,
            category_weight=1.0,
            aux_level=1,
            dropout=0.0,
        )


class TestCCNetThick(PointHeadContract):
    def make(self) -> PointHead:
        return PointRCCAHead(WIDTHS, NUM_CLASSES, level=1, width=16, thickness=2, dropout=0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PointFCNHead(WIDTHS, 5, level=3), "levels 0 to 2"),
        (lambda: PointCTHead(WIDTHS, 5, level=0, aux_level=-1), "head.aux_level is -1"),
        (lambda: PointEncHead(WIDTHS, 5, level=1, laterals=[0]), "not finer than level 1"),
        (lambda: PointEncHead(WIDTHS, 5, num_codewords=0), "0 codewords"),
        (lambda: PointEncHead(WIDTHS, 5, reference_size=0), "reference_size is 0"),
        (lambda: PointRCCAHead(WIDTHS, 5, recurrence=0), "recurrence is 0"),
        (lambda: PointRCCAHead(WIDTHS, 5, width=4), "cannot reduce"),
        (lambda: PointRCCAHead(WIDTHS, 5, thickness=0), "thickness is 0"),
        (lambda: PointRCCAHead(WIDTHS, 5, axes=[0, 3]), "axes are"),
        (lambda: PointRCCAHead(WIDTHS, 5, axes=[]), "axes are"),
    ],
)
def test_bad_options_are_told(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_losses_reach_a_weight_of_zero() -> None:
    head = PointEncHead(WIDTHS, NUM_CLASSES, level=0, width=8, num_codewords=2, presence_weight=0).double()
    levels, batch = make_levels([random_scene(20, CHANNELS)])
    assert head.losses(head(levels, batch), batch) == {}


def test_head_losses_are_named_and_weighted() -> None:
    levels, batch = make_levels([random_scene(50, CHANNELS, seed=i) for i in range(2)])
    torch.manual_seed(0)
    heads = [
        PointCTHead(WIDTHS, NUM_CLASSES, level=0, aux_level=1, class_weight=w, aux_weight=2 * w).double()
        for w in (1.0, 0.5)
    ]
    heads[1].load_state_dict(heads[0].state_dict())
    full, half = (head.losses(head(levels, batch), batch) for head in heads)
    assert full.keys() == {"class_frequency", "aux"}
    for name, loss in full.items():
        torch.testing.assert_close(half[name], loss / 2)
