"""Options and fixtures of the whole suite."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        action="append",
        type=Path,
        help="folder of golden .npz files (may be given more than once)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that processes that share the files end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import torch  # here: a process that only distributes tests to others need not wait for it

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Folder of real scans; tests that need it are skipped where it is absent."""
    folder = SHARED / "real"
    if not folder.is_dir():
        pytest.skip("no folder of real scans")
    return folder
