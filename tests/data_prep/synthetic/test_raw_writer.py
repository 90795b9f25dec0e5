"""Lines of text as printf would write them."""

import numpy as np
import pytest

from data_prep.synthetic.raw import format_lines, object_names, to_bytes


@pytest.mark.parametrize(("decimals", "color"), [(3, "%d"), (6, "%f")])
def test_lines_are_those_of_printf(decimals: int, color: str) -> None:
    rng = np.random.default_rng(0)
    pos = np.round(rng.uniform(-30, 120, (2000, 3)), decimals)
    pos[:5, 0] = [0.0, -0.001, -1.0, 999.999, -0.5]
    rgb = rng.integers(0, 256, (2000, 3)).astype(np.uint8)
    rgb[0], rgb[1] = 0, 255
    form = f"%.{decimals}f %.{decimals}f %.{decimals}f {color} {color} {color}"
    expected = [form % (*p, *c) for p, c in zip(pos.tolist(), rgb.tolist())]
    table = format_lines(pos, rgb, decimals=decimals)
    assert to_bytes(table).decode().splitlines() == expected
    assert to_bytes(table[7:9]).decode() == "".join(line + "\n" for line in expected[7:9])


def test_rounding_carries_over_and_zero_has_no_sign() -> None:
    pos = np.array([[0.9996, -0.0004, -1.9999]])
    assert to_bytes(format_lines(pos, np.zeros((1, 3), np.uint8))) == b"1.000 0.000 -2.000 0 0 0\n"


def test_objects_count_up_in_each_class() -> None:
    assert object_names(["wall", "door", "wall"]) == ["wall_1", "door_1", "wall_2"]
