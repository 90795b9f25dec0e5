"""Help pages of commands, read from source text.

Importing a command loads torch and Lightning, which takes seconds. All that its help page needs is the signature and
the docstring of one function, so the page is made from the text of the file and nothing is imported.
"""

import argparse
import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import docstring_parser
from docstring_parser import DocstringStyle

HIDDEN = "config"
"""Parameter that the command line fills in itself."""

TAKES_CLASSES = "Options of a class: --OPTION.help CLASS, such as --head.help pcseg.heads.PointHead."
REQUIRES_TRAINING = "--config is required. All options of pcseg train are accepted."


@dataclass(frozen=True, kw_only=True)
class Option:
    """One argument of a command.

    Args:
        name: Name without dashes; a field of a dataclass is written ``parameter.field``.
        type: Type as text; literals are written ``{a, b}``.
        default: Default as text, ``None`` for a required argument.
        help: Description from the docstring.
        positional: Whether it is given without its name.
    """

    name: str
    type: str
    default: str | None
    help: str
    positional: bool = False

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        details = [] if self.positional or self.default is not None else ["required"]
        details += [f"type: {self.type}"] + ([f"default: {self.default}"] if self.default is not None else [])
        text = f"{self.help} ({', '.join(details)})".replace("%", "%%")
        if self.positional:
            parser.add_argument(self.name, help=text)
        else:
            metavar = self.name.rpartition(".")[2].upper()
            parser.add_argument(f"--{self.name}", metavar=metavar, help=text)


@dataclass(frozen=True, kw_only=True)
class HelpPage:
    """The contents of a help page.

    Args:
        summary: First line of the docstring.
        description: Text between the summary and the sections of the docstring.
        options: Arguments in the order of the signature.
        note: Text below the options.
    """

    summary: str
    description: str
    options: tuple[Option, ...]
    note: str

    def format(self, prog: str) -> str:
        """Return the page as text."""
        parser = argparse.ArgumentParser(
            prog=prog, description=f"{self.summary} {self.description}", epilog=self.note, allow_abbrev=False
        )
        parser.add_argument(
            "--config", help="Name of a configuration or YAML file; later ones override earlier ones."
        )
        parser.add_argument(
            "--print_config", action="store_true", help="Print the whole configuration and exit."
        )
        for option in self.options:
            option.add_to(parser)
        return parser.format_help()


def read_help_page(target: str) -> HelpPage:
    """Read the help page of the function ``target``, written ``package.module:function``."""
    module, _, name = target.partition(":")
    source, function = Source.read(module).find(name)
    if not isinstance(function, ast.FunctionDef):
        raise LookupError(f"{target} is not a function")
    docs = docstring_parser.parse(ast.get_docstring(function) or "", DocstringStyle.GOOGLE)
    helps = {param.arg_name: " ".join((param.description or "").split()) for param in docs.params}
    options: list[Option] = []
    note = ""
    for argument, default, positional in _parameters(function):
        annotation = argument.annotation
        if argument.arg == HIDDEN:
            note = REQUIRES_TRAINING if default is None else TAKES_CLASSES
        if argument.arg == HIDDEN or annotation is None:
            continue
        if isinstance(annotation, ast.Name) and source.is_dataclass(annotation.id):
            options += _fields(source, argument.arg, annotation.id)
            continue
        options.append(
            Option(
                name=argument.arg,
                type=source.type_text(annotation),
                default=_default_text(default, source),
                help=helps.get(argument.arg, ""),
                positional=positional and default is None,
            )
        )
    description, _, _ = (docs.long_description or "").partition("Convention:")
    return HelpPage(
        summary=docs.short_description or "",
        description=" ".join(description.split()),
        options=tuple(options),
        note=note,
    )


@dataclass(frozen=True)
class Source:
    """A parsed module."""

    tree: ast.Module

    @classmethod
    @cache
    def read(cls, module: str) -> "Source":
        """Parse ``module`` without importing it or the packages around it."""
        top, *rest = module.split(".")
        spec = importlib.util.find_spec(top)
        if spec is None or not spec.submodule_search_locations:
            raise LookupError(f"{top} is not a package")
        path = Path(next(iter(spec.submodule_search_locations)), *rest)
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return cls(ast.parse(file.read_text(encoding="utf-8")))

    def find(self, name: str) -> tuple["Source", ast.AST | None]:
        """Return the definition of ``name`` and the module that holds it, following imports of our own modules."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                return self, node
            if isinstance(node, ast.Assign) and any(ast.unparse(t) == name for t in node.targets):
                return self, node.value
            if isinstance(node, ast.ImportFrom) and name in [
                alias.asname or alias.name for alias in node.names
            ]:
                if (node.module or "").split(".")[0] not in ("pcseg", "data_prep"):
                    return self, None
                original = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
                return Source.read(node.module or "").find(original)
        return self, None

    def is_dataclass(self, name: str) -> bool:
        _, node = self.find(name)
        return isinstance(node, ast.ClassDef) and any(
            "dataclass" in ast.unparse(d) for d in node.decorator_list
        )

    def type_text(self, annotation: ast.expr) -> str:
        """Return a type as text, with aliases written out and literals as ``{a, b}``."""
        expanded = _Expand(self).visit(ast.parse(ast.unparse(annotation), mode="eval").body)
        return ast.unparse(expanded)


class _Expand(ast.NodeTransformer):
    """Replaces type aliases by what they stand for, and ``Literal`` by the set of its values."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def visit_Name(self, node: ast.Name) -> ast.AST:
        source, found = self.source.find(node.id)
        if isinstance(found, ast.Subscript | ast.BinOp):
            return _Expand(source).visit(ast.parse(ast.unparse(found), mode="eval").body)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) != "Literal":
            return self.generic_visit(node)
        values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return ast.Set([ast.Name(ast.unparse(value).strip("'")) for value in values])


def _parameters(function: ast.FunctionDef) -> Iterator[tuple[ast.arg, ast.expr | None, bool]]:
    """Return every parameter with its default and whether it may be given without its name."""
    arguments = function.args
    missing = [None] * (len(arguments.args) - len(arguments.defaults))
    for argument, default in zip(arguments.args, [*missing, *arguments.defaults], strict=True):
        yield argument, default, True
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument, default, False


def _fields(source: Source, parameter: str, name: str) -> Iterator[Option]:
    """Return the options of a dataclass parameter: one per field, described by the string after it."""
    home, node = source.find(name)
    assert isinstance(node, ast.ClassDef)
    for field, after in zip(node.body, [*node.body[1:], None]):
        if isinstance(field, ast.AnnAssign):
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            yield Option(
                name=f"{parameter}.{ast.unparse(field.target)}",
                type=home.type_text(field.annotation),
                default=_default_text(field.value, home),
                help=" ".join(str(after.value.value).split()) if documented else "",  # type: ignore[union-attr]
            )


def _default_text(default: ast.expr | None, source: Source) -> str | None:
    """Return a default as text; the name of a constant is replaced by its value, ``Path("x")`` by ``x``."""
    if default is None:
        return None
    if isinstance(default, ast.Name):
        found = source.find(default.id)[1]
        default = found if isinstance(found, ast.Constant) else default
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "Path":
        default = default.args[0]
    text = ast.unparse(default).strip("'")
    return {"None": "null", "True": "true", "False": "false"}.get(text, text)
