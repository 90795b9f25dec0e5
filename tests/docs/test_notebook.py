"""The tutorial notebook runs from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from helpers.printed_commands import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def test_outputs_are_small() -> None:
    assert NOTEBOOK.stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # jupyter warns about itself
def test_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    pytest.importorskip("open3d")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads spin while other tests use the cores
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3
