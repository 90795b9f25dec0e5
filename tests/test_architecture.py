"""Rules that keep the code readable: import directions, sizes, and habits to avoid."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "pcseg").rglob("*.py"))
SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))
PREPARATION = sorted((ROOT / "data_prep").rglob("*.py"))
SOURCES = [*PACKAGE, *PREPARATION, *SCRIPTS]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LAYERS = (
    ("errors",),
    ("labels", "files", "values"),
    ("config_names", "pretrained"),
    ("cli",),
    ("ops",),
    ("official.names", "official.files", "official.hub"),
    ("official.loading",),
    ("nn",),
    ("losses",),
    ("data",),
    ("metrics", "backbones", "heads"),
    ("network",),
    ("checkpoint",),
    ("training", "inference"),
    ("official", "evaluation"),
    ("views",),
)
"""Parts of pcseg from the bottom up: a file imports its own part and the layers below it.

``cli`` names the commands by strings, so that it is below them. A part that is not listed belongs to its parent.
"""

OPTIONAL = (
    "open3d",
    "torchvision",
    "timm",
    "viser",
    "sklearn",
    "torch_scatter",
    "laspy",
    "pye57",
    "plyfile",
    "matplotlib",
)
"""Packages that a user may lack, or whose import takes long."""


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def module_file(name: str) -> Path | None:
    """Return the file of one of our modules; scripts import each other by their names in ``scripts``."""
    for base in (ROOT, ROOT / "scripts", ROOT / "tests"):
        path = base.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def imported_names(path: Path) -> list[str]:
    """Every module or ``module.name`` that a file imports anywhere, also inside functions."""
    names = []
    lazy = path == ROOT / "pcseg" / "__init__.py"  # its imports are for type checkers only
    for node in () if lazy else ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@cache
def imported_files(path: Path) -> set[Path]:
    """Files of ours that a file imports: ``from a.b import c`` imports ``a/b/c.py`` if there is one, else ``a/b``."""
    found = {module_file(name) or module_file(name.rpartition(".")[0]) for name in imported_names(path)}
    return {file for file in found if file is not None and file != path}


@pytest.mark.slow
def test_files_import_each_other_without_cycles() -> None:
    graph = {path: imported_files(path) for path in (*SOURCES, *TESTS)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(ids(path) for path in reversed(error.args[1])))


def layer(path: Path) -> tuple[int, str]:
    """Return the number of a file's layer and the name of its part."""
    module = ".".join(path.relative_to(ROOT / "pcseg").with_suffix("").parts).removesuffix(".__init__")
    matching = [
        (len(part), number, part)
        for number, parts in enumerate(LAYERS)
        for part in parts
        if module == part or module.startswith(part + ".")
    ]
    assert matching, f"{ids(path)}: add it to LAYERS"
    _, number, part = max(matching)
    return number, part


def test_imports_run_one_way() -> None:
    for path in PACKAGE:
        if path.parent == ROOT / "pcseg" and path.name.startswith("__"):
            continue
        number, part = layer(path)
        for file in imported_files(path):
            assert file.is_relative_to(ROOT / "pcseg"), f"{ids(path)} must not import {ids(file)}"
            if file == ROOT / "pcseg" / "__init__.py":
                continue
            below, other = layer(file)
            assert below < number or other == part, (
                f"{ids(path)}: {part} must not import {other} ({ids(file)})"
            )


def test_few_modules_at_the_top() -> None:
    assert len([path for path in (ROOT / "pcseg").glob("*.py") if not path.name.startswith("__")]) <= 8


def test_tests_import_helpers_only() -> None:
    for path in TESTS:
        for file in imported_files(path):
            assert not file.name.startswith("test_"), (
                f"{ids(path)}: move what it needs of {ids(file)} to tests/helpers"
            )


def test_files_and_functions_are_short() -> None:
    for path in SOURCES:
        assert len(path.read_text().splitlines()) < 300, f"{ids(path)}: split the file by idea"
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef):
                body = [child for child in node.body if not _is_docstring(child)]
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                assert lines < 60, f"{ids(path)}: {node.name} has {lines} lines"


def _is_docstring(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_banned_habits() -> None:
    printing = (ROOT / "pcseg" / "cli" / "__init__.py", ROOT / "pcseg" / "errors.py")
    for path in SOURCES:
        tree = parsed(path)
        library = path.is_relative_to(ROOT / "pcseg") and path not in printing
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                assert node.args.kwarg is None, (
                    f"{ids(path)}: **kwargs in a constructor hide misspelled options"
                )
            if isinstance(node, ast.Attribute) and node.attr == "cuda":
                assert isinstance(node.value, ast.Name), (
                    f"{ids(path)}: use the device of a tensor, not .cuda()"
                )
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                assert not library, (
                    f"{ids(path)}: library code does not print: return it, or use rich.get_console()"
                )
        assert ast.get_docstring(tree), f"{ids(path)}: state in one sentence what the file is"
        assert path.name not in {"utils.py", "misc.py", "common.py", "helpers.py"}, ids(path)


def test_public_names_are_documented() -> None:
    """Public functions and classes of a module have a docstring, unless they are very short."""
    for path in SOURCES:
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                short = (node.end_lineno or 0) - node.lineno <= 12
                assert ast.get_docstring(node) or short, f"{ids(path)}: {node.name} needs a docstring"


def test_optional_packages_are_imported_lazily() -> None:
    for path in (*PACKAGE, *PREPARATION):
        for node in parsed(path).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                for name in names:
                    assert name.split(".")[0] not in OPTIONAL, f"{ids(path)}: import {name} where it is used"
