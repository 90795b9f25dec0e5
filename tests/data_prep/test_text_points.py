"""The reader equals numpy.loadtxt, repairs S3DIS' damaged bytes, and is never silently wrong."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.releases.text_points import read_points
from pcseg.data.manifest import Repair
from pcseg.errors import UserError

GOOD = b"-1.234 -2.5 0.100 185 187 190\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "wall_1.txt"


def read(file: Path, text: bytes) -> tuple[np.ndarray, list[Repair]]:
    file.write_bytes(text)
    return read_points(file, name="wall_1.txt")


@pytest.mark.parametrize(
    "form", ["%.3f %.3f %.3f %d %d %d", "%.6f %.6f %.6f %.6f %.6f %.6f", "%.5e " * 5 + "%g"]
)
def test_values_equal_loadtxt(file: Path, form: str) -> None:
    rng = np.random.default_rng(0)
    table = np.c_[rng.uniform(-40, 40, (20_000, 3)), rng.integers(0, 256, (20_000, 3))]
    np.savetxt(file, table, fmt=form)
    for dtype in (np.float32, np.float64):
        points, repairs = read_points(file, dtype=dtype)
        assert points.dtype == dtype
        np.testing.assert_array_equal(points, np.loadtxt(file).astype(dtype))
        assert repairs == []


@pytest.mark.parametrize(
    "text",
    [
        GOOD.rstrip(),
        GOOD + b"1 2 3 4 5 6",
        b"\n" + GOOD + b"\n \n" + GOOD + b"\n",
        GOOD.replace(b"\n", b"\r\n") * 3,
        GOOD.replace(b" ", b"\t") * 2,
        GOOD.replace(b" ", b"   ") * 2,
        b"  " + GOOD.replace(b"\n", b" \n"),
        b"1e-1 2E2 +3 .5 5. 6\n" + GOOD,
    ],
)
def test_unusual_text_is_understood(file: Path, text: bytes) -> None:
    points, repairs = read(file, text)
    np.testing.assert_array_equal(points, np.loadtxt(file, ndmin=2).astype(np.float32))
    assert repairs == []


@pytest.mark.parametrize(
    ("before", "after"),
    [  # the damage of the real release, and one in every other kind of character
        (b"1.2 3.4 5.6 185\x00187 190", b"1.2 3.4 5.6 185 187 190"),
        (b"1.2 3.4 5.6 103.0\x100000 4 5", b"1.2 3.4 5.6 103.000000 4 5"),
        (b"1.2 3.4 -9.1\x160 4 5 6", b"1.2 3.4 -9.160 4 5 6"),
        (b"1 2 3 2\x111.000000 5 6", b"1 2 3 211.000000 5 6"),
        (b"1\x0e2 2 3 4 5 6", b"1.2 2 3 4 5 6"),
        (b"\x19 2 3 4\x005 6", b"9 2 3 4 5 6"),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_damaged_bytes_are_repaired(file: Path, before: bytes, after: bytes, ending: bytes) -> None:
    lines = [GOOD.rstrip()] * 4 + [before] + [GOOD.rstrip()] * 2
    points, repairs = read(file, ending.join(lines) + ending)
    assert repairs == [Repair(file="wall_1.txt", line=5, before=before.decode(), after=after.decode())]
    expected = [[float(word) for word in line.split()] for line in [*lines[:4], after, *lines[5:]]]
    np.testing.assert_array_equal(points, np.array(expected, np.float32))


def test_every_damaged_line_is_reported(file: Path) -> None:
    _, repairs = read(file, b"\x11 2 3 4 5 6\n" + GOOD + b"1 \x12 \x13 4 5 6")
    assert [(repair.line, repair.after) for repair in repairs] == [(1, "1 2 3 4 5 6"), (3, "1 2 3 4 5 6")]


@pytest.mark.parametrize(
    "line",
    [
        b"1 2 3 4 5",
        b"1 2 3 4 5 6 7",
        b"1 2 3 4 5 6 # six",
        b"# x y z r g b",
        b"nan 2 3 4 5 6",
        b"1 2 inf 4 5 6",
        b"1 2 1e99 4 5 6",
        b"1 2 " + b"9" * 50 + b" 4 5 6",
        b"1 2 NA 4 5 6",
        b"1 2 3 4 5 True",
        b"1 2 3 4 5 1_0",
        b"0x10 2 3 4 5 6",
        b"1,5 2 3 4 5 6",
        b"1-2 2 3 4 5 6",
        b'1 2 3 "4 5" 6 7',
        b"1 2 3 4 5\xa06 7",
        b"\xef\xbb\xbf1 2 3 4 5 6",
        b"\r1.2 2 3 4 5 6",  # perhaps a minus whose bit 0x20 was cleared
        b"1 2 3 4 5 6\r1 2 3 4 5 6",
        b"1\x002 2 3 4 5 6",  # a repaired line must have six columns
        b"1 2 3 4 5 6\x1a",
        b"\x00\x00\x00\x00",
    ],
)
@pytest.mark.parametrize("above", [0, 3])
def test_what_cannot_be_read_names_file_and_line(file: Path, line: bytes, above: int) -> None:
    with pytest.raises(UserError, match=rf"^wall_1.txt line {above + 1} is ") as raised:
        read(file, GOOD * above + line + b"\n" + GOOD)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_text_cut_off_names_the_last_line(file: Path) -> None:
    with pytest.raises(UserError, match=r"line 3 is not 6 finite numbers: '-1.234 -2.5 0'"):
        read(file, GOOD * 2 + GOOD[:13])


@pytest.mark.parametrize("text", [b"", b"\n \n"])
def test_empty_file(file: Path, text: bytes) -> None:
    with pytest.raises(UserError, match=r"wall_1.txt is empty"):
        read(file, text)


def test_damage_of_any_byte_is_repaired_or_reported(file: Path) -> None:
    """Only the minus, which becomes a carriage return, cannot be distinguished from another fault."""
    text = GOOD * 3
    expected, _ = read(file, text)
    for place in range(len(text)):
        damaged = bytearray(text)
        damaged[place] &= ~0x20
        try:
            points, repairs = read(file, bytes(damaged))
        except UserError:
            assert damaged[place] == ord("\r")
            continue
        np.testing.assert_array_equal(points, expected)
        assert bool(repairs) == (text[place] != ord("\n"))
