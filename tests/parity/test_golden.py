"""Every golden file runs through our code: those of the ``--golden`` folders, by default those of the repository."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from conftest import SHARED
from golden import Golden, check_for

SHIPPED = Path(__file__).parents[1] / "golden"
"""A subset that covers every paper module and the sparse convolution."""

LARGER = [SHARED / "golden" / "image", SHARED / "golden" / "points"]
"""The full set, where it lies beside the repository."""


def golden_files(folders: list[Path] | None) -> list[Path]:
    """Return the files of ``folders``; by default the shipped and the larger set, each name once."""
    if folders is not None:
        for folder in folders:
            if not folder.is_dir():
                raise pytest.UsageError(f"--golden {folder}: not a directory")
        return [path for folder in folders for path in sorted(folder.glob("*.npz"))]
    by_name = {path.name: path for folder in (SHIPPED, *LARGER) for path in sorted(folder.glob("*.npz"))}
    return list(by_name.values())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    paths = golden_files(metafunc.config.getoption("--golden"))
    metafunc.parametrize("path", paths, ids=[path.name for path in paths])


def test_golden(path: Path) -> None:
    check = check_for(path)
    if check is None:
        pytest.skip(f"{path.name}: this kind of golden file is not supported yet")
    check(Golden(path))
