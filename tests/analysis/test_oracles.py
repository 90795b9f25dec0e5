"""Oracles give away what their names say, and no more."""

import pytest
import torch
from torch import Tensor

from pcseg.analysis.oracles import ORACLES, Facts
from pcseg.errors import UserError

NAMES = ("floor", "wall", "window", "door", "board")
FLOOR, WALL, WINDOW, DOOR, BOARD = range(5)
AVERAGE = torch.tensor([0.4, 0.4, 0.1, 0.07, 0.03], dtype=torch.float64)
TYPICAL = torch.tensor([0.4, 0.4, 0.2, 0.2, 0.2], dtype=torch.float64)


def facts_of(label: list[int], *, instance: list[int] | None = None, pos: Tensor | None = None) -> Facts:
    count = len(label)
    return Facts(
        label=torch.tensor(label),
        instance=torch.arange(count) if instance is None else torch.tensor(instance),
        pos=torch.zeros(count, 3) if pos is None else pos,
        names=NAMES,
        average=AVERAGE,
        typical=TYPICAL,
    )


def random_prob(count: int) -> Tensor:
    return (2 * torch.randn(count, len(NAMES))).softmax(1)


def test_presence_rules_out_what_is_absent_and_keeps_the_rest() -> None:
    prob = random_prob(6)
    out = ORACLES["presence"](prob, facts_of([0, 0, 1, 3, -1, 1]))
    assert not out[:, [WINDOW, BOARD]].any()
    assert torch.equal(out[:, [FLOOR, WALL, DOOR]], prob[:, [FLOOR, WALL, DOOR]])


def test_frequency_is_one_correction_by_the_shares() -> None:
    prob, facts = random_prob(50), facts_of([0] * 20 + [1] * 25 + [3] * 5)
    log = prob.log() + (torch.tensor([0.4, 0.5, 0, 0.1, 0]) / prob.mean(0)).log()
    torch.testing.assert_close(ORACLES["frequency"](prob, facts).log(), log)


def test_matched_shares_are_the_true_ones() -> None:
    prob, facts = random_prob(400), facts_of([0] * 100 + [1] * 200 + [3] * 80 + [2] * 20)
    out = ORACLES["matched"](prob, facts)
    torch.testing.assert_close(out.sum(1), torch.ones(400))
    torch.testing.assert_close(out.mean(0), facts.share.float(), atol=5e-3, rtol=0)
    # weights are of classes: what is left between two points stays
    ratio = (out[:, 0] / out[:, 1]) / (prob[:, 0] / prob[:, 1])
    torch.testing.assert_close(ratio, ratio[:1].expand(400))


def test_shares_of_other_rooms_need_no_or_little_truth() -> None:
    prob, facts = random_prob(400), facts_of([0] * 100 + [1] * 200 + [3] * 100)
    average = ORACLES["average-shares"](prob, facts).mean(0)
    torch.testing.assert_close(average, AVERAGE.float(), atol=5e-3, rtol=0)
    typical = ORACLES["typical-shares"](prob, facts).mean(0)
    torch.testing.assert_close(typical, torch.tensor([0.4, 0.4, 0, 0.2, 0]), atol=5e-3, rtol=0)


def test_objects_agree_with_themselves() -> None:
    prob = random_prob(6)
    out = ORACLES["objects"](prob, facts_of([1] * 6, instance=[7, 7, 2, -1, 2, 2]))
    torch.testing.assert_close(out[0], prob[:2].mean(0))
    assert torch.equal(out[0], out[1])
    torch.testing.assert_close(out[4], prob[[2, 4, 5]].mean(0))
    assert torch.equal(out[3], prob[3])


def test_surfaces_give_their_mass_to_the_true_one() -> None:
    prob = random_prob(4)
    out = ORACLES["surfaces"](prob, facts_of([FLOOR, BOARD, DOOR, -1]))
    assert torch.equal(out[[0, 3]], prob[[0, 3]])
    torch.testing.assert_close(out[1, BOARD], prob[1, 1:].sum())
    torch.testing.assert_close(out[:, FLOOR], prob[:, FLOOR])
    assert not out[1, [WALL, WINDOW, DOOR]].any()


def test_sides_put_windows_into_outer_walls_and_boards_on_inner_ones() -> None:
    # a room of 4 by 5 metres, its window in the wall x = 4; then points of which nothing is told
    corners = torch.tensor([[0, 0, 1], [4, 0, 1], [4, 5, 1], [0, 5, 1.0]])
    pos = torch.cat(
        [corners, torch.tensor([[4.1, 2, 1], [4, 3, 1], [2, 0.1, 1], [2, 2.5, 0], [0.1, 0.1, 1]])]
    )
    prob = random_prob(9)
    out = ORACLES["sides"](prob, facts_of([WALL] * 4 + [WINDOW, WALL, WALL, FLOOR, WALL], pos=pos))
    assert not out[[4, 5], BOARD].any()
    assert not out[6, WINDOW].any()
    assert (out[[4, 5], WINDOW] > 0).all()
    assert out[6, BOARD] > 0
    unchanged = [0, 1, 2, 3, 7, 8]  # near two walls or none
    assert torch.equal(out[unchanged], prob[unchanged])


def test_a_class_that_is_missing_is_named() -> None:
    facts = Facts(
        label=torch.zeros(2).long(), instance=torch.zeros(2), pos=torch.zeros(2, 3), names=("floor", "wall")
    )
    with pytest.raises(UserError, match="needs class 'window'; there are floor, wall"):
        ORACLES["surfaces"](torch.rand(2, 2), facts)


@pytest.mark.parametrize("name", ORACLES)
def test_no_oracle_changes_what_it_is_given(name: str) -> None:
    prob = random_prob(9)
    kept = prob.clone()
    ORACLES[name](prob, facts_of([0, 1, 2, 3, 4, 1, 1, 1, -1], pos=torch.rand(9, 3)))
    assert torch.equal(prob, kept)
