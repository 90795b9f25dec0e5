"""What an import costs: ``import pcseg`` loads nothing, and prediction loads nothing that only training needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pcseg

HEAVY = (
    "lightning",
    "torch_geometric",
    "torchmetrics",
    "torchvision",
    "timm",
    "open3d",
    "viser",
    "pandas",
    "scipy",
    "matplotlib",
)

PREDICTION = """
import pcseg.checkpoint, pcseg.evaluation.evaluate, pcseg.inference.predict, pcseg.views.compare
import pcseg.views.layers.explain_points, pcseg.views.layers.explain_images
import pcseg.views.visualize
import pcseg.views.interactive.browser, pcseg.views.interactive.window
import pcseg.heads.ccnet, pcseg.heads.ctnet, pcseg.heads.encnet, pcseg.backbones.points.sparse_unet
"""


def loaded(program: str, names: tuple[str, ...]) -> list[str]:
    """Return those of ``names`` that a program imports, in a process of its own."""
    program += f"\nimport sys; print(*[name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
def test_prediction_imports_nothing_of_training() -> None:
    assert loaded(PREDICTION, HEAVY) == []


def test_package_is_imported_lazily() -> None:
    assert loaded("import pcseg; dir(pcseg)", ("torch", "numpy", "pcseg.checkpoint")) == []


def test_public_names_are_there_and_known_to_type_checkers() -> None:
    for name in pcseg.__all__:
        assert getattr(pcseg, name).__name__ == name
    tree = ast.parse(Path(pcseg.__file__).read_text())
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pcseg.")
        for alias in node.names
    }
    assert typed == pcseg._MODULE_OF
