"""Help pages of commands, read from source text.

Importing a command loads torch and Lightning, which takes seconds. All that its help page needs is the signature and
the docstring of one function, so the page is made from the text of the file and nothing is imported.
"""

import argparse
import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import docstring_parser
from docstring_parser import DocstringStyle

HIDDEN = "config"
"""Parameter that the command line fills in itself."""

TAKES_CLASSES = "Options of a class: --OPTION.help CLASS, such as --head.help pcseg.heads.PointHead."
REQUIRES_TRAINING = "--config is required. All options of pcseg train are accepted."


def summary_of(target: str) -> str:
    """Return the first line of the docstring of the function ``target``, written ``package.module:function``."""
    return (ast.get_docstring(_find_function(target)[1]) or "").partition("\n")[0]


def help_parser(target: str, prog: str) -> argparse.ArgumentParser:
    """Return a parser that prints the help page of the function ``target``."""
    source, function = _find_function(target)
    docs = docstring_parser.parse(ast.get_docstring(function) or "", DocstringStyle.GOOGLE)
    helps = {param.arg_name: " ".join((param.description or "").split()) for param in docs.params}
    details = (docs.long_description or "").partition("Convention:")[0]
    parser = argparse.ArgumentParser(
        prog=prog, description=f"{docs.short_description} {details}", allow_abbrev=False
    )
    parser.add_argument(
        "--config", help="Name of a configuration or YAML file; later ones override earlier ones."
    )
    parser.add_argument("--print_config", action="store_true", help="Print the whole configuration and exit.")
    arguments = function.args
    required: list[ast.expr | None] = [None] * (len(arguments.args) - len(arguments.defaults))
    defaults = [*required, *arguments.defaults, *arguments.kw_defaults]
    for argument, default in zip([*arguments.args, *arguments.kwonlyargs], defaults, strict=True):
        annotation, name = argument.annotation, argument.arg
        home, found = source.find(annotation.id) if isinstance(annotation, ast.Name) else (source, None)
        if name == HIDDEN:
            parser.epilog = REQUIRES_TRAINING if default is None else TAKES_CLASSES
        elif isinstance(found, ast.ClassDef) and found.decorator_list:  # a dataclass
            for field, text in _fields(found):
                _add_option(
                    parser, home, f"--{name}.{ast.unparse(field.target)}", field.annotation, field.value, text
                )
        elif annotation is not None:
            several = ast.unparse(annotation).startswith("list")
            option = name if argument in arguments.args and (default is None or several) else f"--{name}"
            _add_option(parser, source, option, annotation, default, helps.get(name, ""))
    return parser


class Source(NamedTuple):
    """A parsed module."""

    tree: ast.Module

    @staticmethod
    @cache
    def read(module: str) -> "Source":
        """Parse ``module`` without importing it or the packages around it."""
        top, *rest = module.split(".")
        spec = importlib.util.find_spec(top)
        if spec is None or not spec.submodule_search_locations:
            raise LookupError(f"{top} is not a package")
        path = Path(next(iter(spec.submodule_search_locations)), *rest)
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return Source(ast.parse(file.read_text(encoding="utf-8")))

    def find(self, name: str) -> tuple["Source", ast.AST | None]:
        """Return the definition of ``name`` and the module that holds it, following imports of our own modules."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                return self, node
            if isinstance(node, ast.Assign) and any(ast.unparse(t) == name for t in node.targets):
                return self, node.value
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("pcseg.", "data_prep.")):
                for alias in node.names:
                    if name == (alias.asname or alias.name):
                        return Source.read(node.module or "").find(alias.name)
        return self, None

    def type_text(self, node: ast.AST) -> str:
        """Return a type as text, with aliases written out and literals as ``{a, b}``."""
        if isinstance(node, ast.Name):
            home, found = self.find(node.id)
            return home.type_text(found) if isinstance(found, ast.Subscript | ast.BinOp) else node.id
        if isinstance(node, ast.BinOp):
            return f"{self.type_text(node.left)} | {self.type_text(node.right)}"
        if not isinstance(node, ast.Subscript):
            return ast.unparse(node)
        if ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
            return self.type_text(node.slice.elts[0])
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if ast.unparse(node.value) == "Literal":
            values = ", ".join(ast.unparse(item).strip("'") for item in items)
            return f"{{{values}}}"
        return f"{ast.unparse(node.value)}[{', '.join(map(self.type_text, items))}]"

    def default_text(self, default: ast.expr) -> str:
        """Return a default as text; the name of a constant is replaced by its value, ``Path("x")`` by ``x``."""
        if isinstance(default, ast.Name):
            found = self.find(default.id)[1]
            default = found if isinstance(found, ast.Constant) else default
        if isinstance(default, ast.Call) and ast.unparse(default.func) == "Path":
            default = default.args[0]
        text = ast.unparse(default).strip("'")
        return {"None": "null", "True": "true", "False": "false"}.get(text, text)


def _find_function(target: str) -> tuple[Source, ast.FunctionDef]:
    module, _, name = target.partition(":")
    source, function = Source.read(module).find(name)
    if not isinstance(function, ast.FunctionDef):
        raise LookupError(f"{target} is not a function")
    return source, function


def _fields(node: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Yield the fields of a dataclass, each with the string after it."""
    for field, after in zip(node.body, [*node.body[1:], None]):
        if isinstance(field, ast.AnnAssign):
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            yield field, " ".join(str(after.value.value).split()) if documented else ""  # type: ignore[union-attr]


def _add_option(
    parser: argparse.ArgumentParser,
    source: Source,
    option: str,
    annotation: ast.expr,
    default: ast.expr | None,
    help: str,
) -> None:
    """Add an option, or an argument without a name, with its type and default."""
    details = f"type: {source.type_text(annotation)}"
    if default is not None:
        details += f", default: {source.default_text(default)}"
    elif option.startswith("--"):
        details = f"required, {details}"
    text = f"{help} ({details})".replace("%", "%%")
    if option.startswith("--"):
        parser.add_argument(option, metavar=option.rpartition(".")[2].strip("-").upper(), help=text)
    else:
        several = "+" if default is None else "*"
        parser.add_argument(
            option, nargs=several if ast.unparse(annotation).startswith("list") else None, help=text
        )
