"""Typed functions as commands: the signature is the schema of the command line and of the YAML files."""

import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from pcseg.allocator import keep_freed_memory
from pcseg.errors import exit_on_user_error

# torch_geometric scripts functions when it is imported, which torch >= 2.13 calls deprecated
warnings.filterwarnings("ignore", message=".*torch.jit.script.*is deprecated.*")


class ShortErrorParser(ArgumentParser):
    """A parser that answers a wrong key or type with the reason alone, not with pages of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # type: ignore[override]
        lines = [line for line in str(message).splitlines() if line.strip()]
        print("pcseg: error: " + "\n".join(lines[:6]), file=sys.stderr)
        print(f"Try: {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def make_parser(function: Callable[..., object], *, skip: set[str | int] | None = None) -> ArgumentParser:
    """Parser of the keyword arguments of ``function`` (help from its docstring) and of ``--config`` files."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    summary = (function.__doc__ or "").strip().splitlines()[0]
    parser = ShortErrorParser(description=summary, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file; a later one overrides an earlier one.")
    positional = [name for name in _positional(function) if name not in (skip or set())]
    parser.add_function_arguments(function, as_group=False, as_positional=bool(positional), skip=skip)
    return parser


def run(
    function: Callable[..., Any],
    *,
    pass_config: str | None = None,
    args: list[str] | None = None,
    prepare: Callable[[Namespace], object] | None = None,
) -> None:
    """Call ``function`` with the arguments of the command line; user errors end in one line.

    Args:
        function: Keyword-only parameters become options, positional ones without default positionals.
        pass_config: Name of a parameter that takes the resolved configuration as a plain dictionary.
        args: Command line without the program's name; default the process's own.
        prepare: Called with the parsed configuration before its objects are made, to seed their random numbers.
    """

    def main() -> None:
        parser = make_parser(function, skip={pass_config} if pass_config else None)
        config = parser.parse_args(_with_values(parser, sys.argv[1:] if args is None else args))
        if prepare is not None:
            prepare(config)
        values = vars(parser.instantiate(config))
        for name in [name for name in values if name == "config" or name.endswith(".config")]:
            del values[name]
        if pass_config:
            values[pass_config] = as_dict(parser, config)
        function(**values)

    keep_freed_memory()
    exit_on_user_error(main)


def as_dict(parser: ArgumentParser, config: Namespace) -> dict[str, Any]:
    """The resolved configuration as plain data, as it goes into checkpoints."""
    return yaml.safe_load(parser.dump(config, skip_validation=True))


def _with_values(parser: ArgumentParser, args: list[str]) -> list[str]:
    """Let ``--flag`` alone mean ``--flag=true``; jsonargparse wants a value for every option."""
    flags = {
        option
        for action in parser._actions
        if getattr(action, "_typehint", None) is bool
        for option in action.option_strings
    }
    values = {"true", "false", "yes", "no"}
    following = [*args[1:], ""]
    return [
        f"{arg}=true" if arg in flags and after.lower() not in values else arg
        for arg, after in zip(args, following)
    ]


def _positional(function: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
