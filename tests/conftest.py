"""Options and fixtures of the whole suite."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        action="append",
        type=Path,
        help="folder of golden .npz files (may be given more than once)",
    )


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Folder of real scans; tests that need it are skipped where it is absent."""
    folder = SHARED / "real"
    if not folder.is_dir():
        pytest.skip("no folder of real scans")
    return folder
