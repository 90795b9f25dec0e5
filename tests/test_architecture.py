"""Rules that keep the package habitable: directions of imports, sizes, and a few banned habits."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "pcseg").rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")])
SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))

MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "help_pages": set(),
    "labels": {"errors"},
    "schemas": {"errors", "labels"},
    "cli": {"errors", "help_pages"},
    "schedules": {"errors"},
    "ops": {"errors", "labels"},
    "nn": {"errors", "labels", "ops"},
    "official": {"errors"},
    "backbones": {"errors", "labels", "ops", "nn", "official"},
    "losses": {"errors", "labels", "ops", "nn"},
    "heads": {"errors", "labels", "ops", "nn", "losses"},
    "metrics": {"errors", "files", "labels", "schemas", "ops", "nn", "data"},
    "data": {"errors", "files", "labels", "ops", "schemas"},
    "views": {"errors", "files", "labels", "ops", "nn", "data"},
    "network": {"errors", "labels", "ops", "nn", "backbones", "heads"},
    "segmentor": {"errors", "labels", "heads", "losses", "metrics", "schedules", "network"},
}
"""Parts of pcseg that a part may import besides itself; parts not named here may import all."""


def imported_modules(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "pcseg").parts[0].removesuffix(".py")


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [path for path in SOURCES if path.is_relative_to(ROOT / "pcseg")], ids=ids)
def test_imports_run_one_way(path: Path) -> None:
    part = part_of(path)
    for name in imported_modules(path):
        first, _, rest = name.partition(".")
        assert first not in {"scripts", "configs", "data_prep", "tests"}, (
            f"{name}: pcseg imports nothing above it"
        )
        if first == "pcseg" and part in MAY_IMPORT:
            other = rest.split(".")[0]
            known = {p.stem for p in (ROOT / "pcseg").iterdir()}
            if other in known:
                assert other == part or other in MAY_IMPORT[part], f"{part} must not import {name}"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 330, "split the file by idea"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = [child for child in node.body if not _is_docstring(child)]
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{node.name} has {lines} lines"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_banned_habits(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            assert node.args.kwarg is None, "no **kwargs in constructors: they swallow typos"
        if isinstance(node, ast.Attribute):
            assert node.attr != "cuda" or isinstance(node.value, ast.Name), (
                "no .cuda(): use the tensor's device"
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            allowed = {"cli.py", "errors.py"}
            assert path.name in allowed or path.is_relative_to(ROOT / "data_prep"), (
                "library code does not print"
            )
    assert ast.get_docstring(tree), "a file says in one sentence what it is"
    assert path.name not in {"utils.py", "misc.py", "common.py", "helpers.py"}


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_public_names_are_documented(path: Path) -> None:
    """Public functions and classes of a module have a docstring, unless they are very short."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            short = (node.end_lineno or 0) - node.lineno <= 12
            assert ast.get_docstring(node) or short, f"{node.name} needs a docstring"


@pytest.mark.parametrize(
    "package", ["open3d", "torchvision", "timm", "viser", "sklearn", "torch_scatter", "laspy", "pye57"]
)
def test_optional_packages_are_imported_lazily(package: str) -> None:
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not any(name.split(".")[0] == package for name in names), (
                    f"{path}: import {package} lazily"
                )
