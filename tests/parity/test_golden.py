"""Every golden file in the folders given with ``--golden`` runs through our code."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from conftest import SHARED
from golden import Golden, check_for

DEFAULT = [SHARED / "golden" / "image", SHARED / "golden" / "points"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folders = metafunc.config.getoption("--golden") or [folder for folder in DEFAULT if folder.is_dir()]
    for folder in folders:
        if not folder.is_dir():
            raise pytest.UsageError(f"--golden: no folder at {folder}")
    paths = [path for folder in folders for path in sorted(folder.glob("*.npz"))]
    metafunc.parametrize("path", paths, ids=[path.name for path in paths])


def test_golden(path: Path) -> None:
    check = check_for(path)
    if check is None:
        pytest.skip(f"{path.name}: this kind of golden file is not supported yet")
    check(Golden(path))
