"""Types of options with the range of their numbers, and one decorator that checks them.

The command line and YAML files reach the same constructors and functions as Python, so that a range is checked in one
place, before anything is written.
"""

import functools
import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pcseg.errors import UserError

Decorated = TypeVar("Decorated")


@dataclass(frozen=True)
class Range:
    """Valid values of a number, from ``low`` to ``high``; ``without`` excludes one of the two."""

    low: float
    high: float
    without: Literal["", "low", "high"] = ""

    def __contains__(self, value: Any) -> bool:
        edge = {"low": self.low, "high": self.high}.get(self.without)
        return bool(self.low <= value <= self.high and value != edge)  # not for NaN

    def __str__(self) -> str:
        low, high = (f"{value:g}" if abs(value) >= 1e7 else f"{value}" for value in (self.low, self.high))
        return {"": f"{low} to {high}", "low": f"more than {low}, up to {high}",
                "high": f"{low} to less than {high}"}[self.without]  # fmt: skip


class Filled:
    """Lists with at least one entry."""


ANY_NUMBER = Range(-1e12, 1e12)
"""Numbers without a range of their own: finite, and no typing error of many digits."""

PositiveInt = Annotated[int, Range(1, 10**9)]
Count = Annotated[int, Range(0, 10**9)]
Few = Annotated[int, Range(1, 2**16)]
Epochs = Annotated[int, Range(1, 10**6)]
Workers = Annotated[int, Range(0, 1024)]
Processes = Annotated[int, Range(1, 1024)]
Port = Annotated[int, Range(0, 65535)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Probability = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1, "high")]
Meters = Annotated[float, Range(0, 10_000)]
PositiveMeters = Annotated[float, Range(0, 10_000, "low")]
Positive = Annotated[float, Range(0, 1e6, "low")]
Weight = Annotated[float, Range(0, 1e6)]
Scales = Annotated[Sequence[Annotated[float, Range(0, 100, "low")]], Filled()]
NameList = Annotated[list[str], Filled()]
Names = Annotated[Sequence[str], Filled()]


def checked(prefix: str):
    """Return a decorator that checks the arguments of a function, a class or a dataclass against their types.

    Args:
        prefix: Text before the name of an option in messages, such as ``data.`` or ``--``.

    Raises:
        UserError: A number is outside of its :class:`Range`, not finite, or not an integer where one is expected, or a
            list is empty that must not be. The other types are left to the caller.
    """

    def decorate(target: Decorated) -> Decorated:
        if isinstance(target, type):
            setattr(target, "__init__", decorate(target.__init__))  # noqa: B010 - type checkers refuse the plain form
            return target
        signature = inspect.signature(target)  # type: ignore[arg-type]

        @functools.wraps(target)  # type: ignore[arg-type]
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:  # a wrong call: the function itself raises the usual error
                given = {}
            for name, value in given.items():
                text = problem(value, signature.parameters[name].annotation)
                if text is not None:
                    raise UserError(f"{prefix}{name}: {text}")
            return target(*args, **kwargs)  # type: ignore[operator]

        return call  # type: ignore[return-value]

    return decorate


def check_numbers(values: Mapping[str, Any], *, prefix: str = "") -> None:
    """Check that all numbers of a nested configuration are finite and have at most twelve digits.

    Raises:
        UserError: Names the first one that is not.
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            check_numbers(value, prefix=f"{prefix}{key}.")
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, Mapping):
                check_numbers(number, prefix=f"{prefix}{key}.")
            elif isinstance(number, Real) and number not in ANY_NUMBER:
                raise UserError(f"{prefix}{key}: {_out_of(number, ANY_NUMBER)}")


def problem(value: Any, annotation: Any) -> str | None:
    """Return how a value violates a type, as the end of a message; ``None`` if it does not."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        rules = [rule for rule in args[1:] if isinstance(rule, Range)]
        if rules:
            return _number_problem(value, args[0], rules[0])
        if any(isinstance(rule, Filled) for rule in args[1:]) and value is not None and len(value) == 0:
            return "is empty. Leave it out or name at least one."
        return problem(value, args[0])
    if annotation in (int, float):
        return _number_problem(value, annotation, ANY_NUMBER)
    if origin in (Union, types.UnionType):
        arms = [arm for arm in args if _fits(value, arm)] or [arm for arm in args if _is_number(arm)]
        texts = [problem(value, arm) for arm in arms]
        words = [str(word) for arm in args if get_origin(arm) is Literal for word in get_args(arm)]
        return (
            None
            if None in texts or not texts
            else f"{str(texts[0])[:-1]}{''.join(f' or {w}' for w in words)}."
        )
    if isinstance(value, Mapping) and len(args) == 2:
        pairs = [(item, args[1]) for item in value.values()]
    elif isinstance(value, list | tuple) and args:
        pairs = list(zip(value, args if origin is tuple and Ellipsis not in args else args[:1] * len(value)))
    else:
        pairs = []
    return next((text for item, kind in pairs if (text := problem(item, kind))), None)


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) or get_args(annotation)[:1] in ((int,), (float,))


def _fits(value: Any, arm: Any) -> bool:
    """Return whether a value is of the kind of an arm of a union."""
    origin = get_origin(arm)
    if origin is Literal:
        return value in get_args(arm)
    if _is_number(arm):
        return isinstance(value, Real)
    if origin is Annotated:
        return _fits(value, get_args(arm)[0])
    kind = origin or arm
    return isinstance(value, kind) if isinstance(kind, type) else True


def _number_problem(value: Any, kind: type, valid: Range) -> str | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"{value!r:.60} is not a number. Use {valid}."
    if kind is int and not isinstance(value, Integral):
        return f"{value} is not an integer. Use {valid}."
    return None if value in valid else _out_of(value, valid)


def _out_of(value: Any, valid: Range) -> str:
    text = (
        str(value) if isinstance(value, float) or abs(value) < 10**30 else "a number of more than 30 digits"
    )
    return f"{text} is out of range. Use {valid}."
