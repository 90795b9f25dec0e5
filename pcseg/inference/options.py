"""Options that do not apply to a kind of model or data."""

import inspect
from collections.abc import Callable, Mapping

from pcseg.checkpoint import LoadedModel
from pcseg.errors import UserError


def refuse_options(
    command: Callable[..., object], owner: LoadedModel | str, values: Mapping[str, object]
) -> None:
    """Raise :class:`UserError` if a command was given an option that does not apply.

    Args:
        command: Function of the command, whose signature has the defaults.
        owner: What the options do not apply to: the kind of a model, or in words.
        values: The options that do not apply, by name. They must have their defaults.
    """
    parameters = inspect.signature(command).parameters
    if isinstance(owner, LoadedModel):
        kind = {"points": "a point model", "images": "an image model"}[owner.kind]
        owner = f"{owner.path}, which is {kind}"
    for name, value in values.items():
        if value != parameters[name].default:
            raise UserError(f"--{name}: does not apply to {owner}. Leave the option out.")
