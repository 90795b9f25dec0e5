"""The command line: typed functions as commands, whose signatures are the schema of options and YAML files.

This module names the commands and imports none of them, so that any module may import it.
"""

import contextlib
import ctypes
import difflib
import importlib
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from pcseg.cli.help_pages import help_parser, summary_of
from pcseg.config_names import expand_configs, run_name
from pcseg.errors import UserError, exit_on_user_error
from pcseg.values import check_numbers

# torch_geometric scripts functions when it is imported, which torch >= 2.13 calls deprecated
warnings.filterwarnings("ignore", message=".*torch.jit.script.*is deprecated.*")

COMMANDS = {
    "train": "pcseg.training.train:train",
    "evaluate": "pcseg.evaluation.evaluate:evaluate",
    "predict": "pcseg.inference.predict:predict_file",
    "visualize": "pcseg.views.visualize:visualize",
    "compare": "pcseg.views.compare:compare",
    "calibrate": "pcseg.evaluation.calibrate:calibrate",
    "cross-validate": "pcseg.evaluation.cross_validation:cross_validate",
    "submit-scannet": "pcseg.evaluation.submission:submit",
    "convert": "pcseg.official.command:convert_checkpoint",
    "check": "data_prep.check:check",
    "prepare s3dis": "data_prep.s3dis:prepare",
    "prepare scannet": "data_prep.scannet:prepare",
    "prepare folder": "data_prep.folder:prepare",
    "prepare rooms": "data_prep.rooms:generate",
    "prepare frames": "data_prep.frames:take_frames",
}
"""Every command and its function. A function is imported when its command runs."""

CONFIG = "config"
"""Parameter of a command that receives the resolved configuration as a plain dictionary."""

MOST_WORDS = 400
"""Number of characters of a message of jsonargparse that are shown."""

UNKNOWN_CLASS = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'|No module named '([\w.]+)'")
"""Messages of Python about a class that does not exist."""

UNKNOWN_OPTION = re.compile(
    r"(?:Option '|unrecognized arguments: (--)|Group '(?P<group>[\w.]+)' does not accept option ')(?P<name>[\w.]+)"
)
"""Messages of jsonargparse about an option that does not exist."""

HELP_OPTION = re.compile(r"(-h|--(.+\.)?help(=.*)?)$")
"""``--help``, and ``--head.help CLASS``."""


def main(args: Sequence[str] | None = None) -> None:
    """Run ``pcseg NAME ...``: the entry point of the console command and of ``python -m pcseg``."""
    args = list(sys.argv[1:] if args is None else args)
    name = next((name for name in COMMANDS if args[: len(name.split())] == name.split()), None)
    if name is None:
        exit_on_user_error(lambda: sys.exit(_no_command(args)))
        return
    args = args[len(name.split()) :]
    if {"-h", "--help"} & set(args):
        exit_on_user_error(lambda: print(help_parser(COMMANDS[name], f"pcseg {name}").format_help(), end=""))
        return
    run(_function_of(name), args=args, prog=f"pcseg {name}")


def _function_of(command: str) -> Callable[..., Any]:
    module, _, function = COMMANDS[command].partition(":")
    return getattr(importlib.import_module(module), function)


def _no_command(args: list[str]) -> int:
    """Print the list of commands and return the exit status: 0 if it was asked for, 2 for an unknown command."""
    group = [name for name in COMMANDS if args and name.split()[0] == args[0]]
    names = group or list(COMMANDS)
    if {"-h", "--help"} & set(args) or len(args) == bool(group):
        width = max(map(len, names))
        print("usage: pcseg COMMAND [--help] ...\n\ncommands:")
        for name in names:
            print(f"  {name:<{width}}  {summary_of(COMMANDS[name])}")
        return 0
    unknown = " ".join(args[: 1 + bool(group)])
    print(f"pcseg: error: {unknown}: unknown command. Choose from: {', '.join(names)}.", file=sys.stderr)
    return 2


def run(function: Callable[..., Any], *, args: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Call ``function`` with the arguments of the command line and show its result; user errors take one line.

    A result with ``as_markdown()`` is rendered, strings are printed, anything else is not shown. A parameter
    ``config`` with a default receives the resolved configuration of the call itself. Without a default, it receives
    a configuration of training, made of ``--config`` and of all options that ``function`` does not have.

    Args:
        function: Keyword-only parameters become options, positional ones without a default positionals.
        args: Command line without the program name, by default that of the process.
        prog: Name of the command in messages, by default the name of the script.
    """

    def call() -> None:
        words = list(sys.argv[1:] if args is None else args)
        # for help pages only: reading the source of every class takes a second
        set_parsing_settings(docstring_parse_attribute_docstrings=any(map(HELP_OPTION.match, words)))
        parameter = inspect.signature(function).parameters.get(CONFIG)
        if parameter is not None and parameter.default is parameter.empty:
            words, rest = _split(function, words)
            values = _parse(make_parser(function, prog=prog), words)[0]
            values[CONFIG] = training_config(rest)
        else:
            parser = make_parser(function, prog=prog)
            words, names = expand_configs(words)
            if names and parameter is not None:
                parser.set_defaults({"out": Path("runs", run_name(names))})
            values, config = _parse(parser, words)
            if parameter is not None:
                values[CONFIG] = as_dict(parser, config)
        show(function(**values))

    keep_freed_memory()
    exit_on_user_error(call)


def training_config(args: Sequence[str]) -> dict[str, Any]:
    """Return the resolved configuration of training with the options ``args``, without making its objects."""
    parser = make_parser(_function_of("train"), prog="pcseg train")
    words, names = expand_configs(args)
    if not names:
        parser.error("--config: give the configuration of the model")
    parser.set_defaults({"out": Path("runs", run_name(names))})
    config = as_dict(parser, parser.parse_args(_with_values(parser, words)))
    check_numbers(config)
    return config


def _parse(parser: ArgumentParser, words: list[str]) -> tuple[dict[str, Any], Namespace]:
    """Return the arguments as a function takes them, and as they were given."""
    config = parser.parse_args(_with_values(parser, words))
    check_numbers(config.as_dict())
    if "torch" in sys.modules and "seed" in config:  # objects of the configuration draw random weights
        sys.modules["torch"].manual_seed(config.seed)
    values = vars(parser.instantiate(config))
    for name in [name for name in values if name == CONFIG or name.endswith(f".{CONFIG}")]:
        del values[name]
    return values, config


def _split(function: Callable[..., Any], args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the arguments of ``function`` from all other options; a value follows its option."""
    names = {f"--{name}" for name in inspect.signature(function).parameters if name != CONFIG}
    ours: list[str] = []
    others: list[str] = []
    target = ours
    for word, before in zip(args, ["", *args]):
        if word.startswith("--"):
            target = ours if word.partition("=")[0] in names else others
        elif not before.startswith("--") or "=" in before:
            target = ours
        target.append(word)
    return ours, others


def show(result: object) -> None:
    """Print what a command returned: a report as a table, strings as lines, and nothing for other results."""
    if hasattr(result, "as_markdown"):
        from rich.console import Console
        from rich.markdown import Markdown

        Console(width=120).print(Markdown(result.as_markdown()))  # type: ignore[attr-defined]
    elif isinstance(result, str):
        print(result)
    elif isinstance(result, list | tuple):
        for line in result:
            print(line)


class ShortErrorParser(ArgumentParser):
    """A parser that reports a wrong key or type in a few lines instead of pages of usage.

    jsonargparse makes one for every class that a configuration names, too.
    """

    owner = ""

    def add_class_arguments(self, theclass: type, *args: Any, **kwargs: Any) -> list[str]:
        self.owner = f"{theclass.__module__}.{theclass.__qualname__}"
        return super().add_class_arguments(theclass, *args, **kwargs)

    def add_function_arguments(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
        self.owner = f"{function.__module__}.{function.__qualname__}"
        return super().add_function_arguments(function, *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # type: ignore[override]
        dests = [action.dest for action in self._actions]
        is_command, unknown = CONFIG in dests, UNKNOWN_OPTION.search(str(message))
        if unknown:
            dashes, group, name = unknown.groups(default="")
            option = f"{group}.{name}" if group else name
            group = option.rpartition(".")[0]
            names = [name for name in dests if name not in ("help", CONFIG, "print_config", "print_shtab")]
            choices = [name for name in names if name.rpartition(".")[0] == group]
            choices = choices or [name for name in names if "." not in name]
            owner = self.prog if is_command else self.owner
            text = f"{dashes}{option}: not an option of {owner}. Choose from: {', '.join(choices)}."
        else:
            key = re.search(r'Parser key "([^"]+)":', str(message))
            words = " ".join(str(message).replace(key[0] if key else "", "").split())
            missing = UNKNOWN_CLASS.search(words)
            text = f"{key[1]}: " if key else ""
            text += _missing_class(*missing.groups(default="")) if missing else words
            text = f"{text[:MOST_WORDS]}{' …' * (len(text) > MOST_WORDS)}"
            text += f" Try: {self.prog} --help" if is_command and not missing else ""
        print(f"pcseg: error: {text}", file=sys.stderr)
        sys.exit(2)


def _missing_class(module: str, name: str, unknown: str) -> str:
    """Return a message about ``name``, which ``module`` lacks, or about an ``unknown`` module; name the nearest one."""
    names: list[str] = []
    if module:
        found = importlib.import_module(module)
        names = [*vars(found), *(part.name for part in pkgutil.iter_modules(getattr(found, "__path__", ())))]
    near = difflib.get_close_matches(name, [other for other in names if other[0] != "_"], n=1)
    advice = f"Use {module}.{near[0]}." if near else "Correct the name, or install its package."
    return f"{unknown or f'{module}.{name}'} does not exist. {advice}"


def make_parser(function: Callable[..., object], *, prog: str | None = None) -> ArgumentParser:
    """Return a parser of the parameters of ``function`` and of ``--config`` files."""
    summary = (function.__doc__ or "").strip().splitlines()[0]
    parser = ShortErrorParser(prog=prog, description=summary, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file; a later one overrides an earlier one.")
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    lists = {p.name: p for p in positional if list[Path] in (p.annotation, *get_args(p.annotation))}
    required = any(p.default is p.empty for p in positional)
    parser.add_function_arguments(function, as_group=False, as_positional=required, skip={CONFIG, *lists})
    for name, p in lists.items():
        parser.add_argument(name, nargs="+" if p.default is p.empty else "*", type=Path)
    return parser


def as_dict(parser: ArgumentParser, config: Namespace) -> dict[str, Any]:
    """Return the resolved configuration as plain data, as checkpoints store it.

    Convention:
        Null values are kept: an option can be null although its default is not.
    """
    return yaml.safe_load(parser.dump(config, skip_validation=True, skip_unset=False))


def _with_values(parser: ArgumentParser, args: list[str]) -> list[str]:
    """Write ``--flag`` as ``--flag=true``: jsonargparse requires a value for every option."""
    for option, value in zip(["", *args], args):
        if not value or (value.startswith("--") and value.endswith("=")):
            raise UserError(f"{option if not value else value[:-1]}: is empty. Give a value or leave it out.")
    actions = [action for action in parser._actions if getattr(action, "_typehint", None) is bool]
    flags = {option for action in actions for option in action.option_strings}
    values = {"true", "false", "yes", "no"}
    return [
        f"{arg}=true" if arg in flags and after.lower() not in values else arg
        for arg, after in zip(args, [*args[1:], ""])
    ]


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next allocation; without glibc nothing happens.

    A training step on a CPU allocates the same arrays of some megabytes again and again, and each page that is new to
    the process costs a page fault: a fifth of a training step of a small image model.
    """
    trim_threshold, mmap_threshold = -1, -3  # numbers of the settings in malloc.h
    with contextlib.suppress(OSError, TypeError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 32 << 20)  # the largest that glibc accepts
        mallopt(trim_threshold, 1 << 30)
