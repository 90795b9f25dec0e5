"""Stored predictions: damaged files and lookup."""

from pathlib import Path

import numpy as np
import pytest

from pcseg.data.predictions import find_prediction, read_prediction
from pcseg.errors import UserError


def test_damaged_predictions_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_prediction(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK\3\4")
    with pytest.raises(UserError, match="not a prediction"):
        read_prediction(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", label=np.zeros(3))
    with pytest.raises(UserError, match="not a prediction"):
        read_prediction(tmp_path / "a.npz")


def test_a_missing_prediction_in_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"b\.npz"):
        find_prediction(tmp_path, tmp_path / "b.h5")


def test_names_with_brackets_are_no_patterns(tmp_path: Path) -> None:
    for name in ("room[1].npz", "room1.npz", "a*.npz"):
        (tmp_path / name).touch()
    assert find_prediction(tmp_path, Path("room[1].ply")) == tmp_path / "room[1].npz"
    with pytest.raises(UserError, match=r"contains no room\[2\]"):
        find_prediction(tmp_path, Path("room[2].ply"))
    with pytest.raises(UserError, match="contains no r"):
        find_prediction(tmp_path, Path("r*.ply"))
