"""Units and axes of clouds of many kinds are right, or a doubt is stated."""

import numpy as np
import pytest
from benchmarks.cloud_parts import scan
from benchmarks.guess_clouds import FAMILIES, room_unit_axis
from benchmarks.guesses import count, outcome
from benchmarks.unseen_clouds import UNSEEN

from pcseg.data.alignment import find_frame


@pytest.mark.slow
def test_guesses_of_some_rooms() -> None:
    cases = [room_unit_axis(np.random.default_rng(seed), range(3)) for seed in range(3)]
    assert "wrong" not in [outcome(case) for case in cases]


@pytest.mark.slow
def test_guesses_are_right_or_state_the_doubt() -> None:
    rows = count(FAMILIES + UNSEEN, seed=5, each=1, rooms=range(60, 64), clouds="", workers=1)
    total = next(row for row in rows if row.family == "all")
    assert total.right + total.abstained + total.wrong == 30
    assert total.wrong == 0
    assert total.right > 18


@pytest.mark.slow
def test_room_above_the_origin_is_not_a_camera_view() -> None:
    """Its points lie in a cone around +z, but it has several surfaces behind each other."""
    pos, size = scan(1)
    for height in (3, 6, 9):
        frame = find_frame(pos - (size[0] / 2, size[1] / 2, -height))
        assert (frame.unit, frame.up, frame.one_view) == ("m", "z", False)


@pytest.mark.slow
def test_what_the_file_states_wins() -> None:
    pos, _ = scan(2)
    frame = find_frame(pos / 0.3048006096, file_unit="ft-us")
    assert frame.unit == "ft-us"
    assert "US survey feet (stated in the file)" in frame.remarks[0]
    np.testing.assert_allclose(frame.apply(pos / 0.3048006096), pos, atol=1e-4)
    assert find_frame(pos, file_unit="ft", units="m").unit == "m"  # the option wins
