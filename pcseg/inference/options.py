"""Options that apply to models of points or of images only."""

import inspect
from collections.abc import Callable, Mapping

from pcseg.checkpoint import LoadedModel
from pcseg.errors import UserError


def refuse_options(command: Callable[..., object], model: LoadedModel, values: Mapping[str, object]) -> None:
    """Raise :class:`UserError` if a command was given an option that does not apply to the kind of a model.

    Args:
        command: Function of the command, whose signature has the defaults.
        model: The model.
        values: The options that do not apply to its kind, by name. They must have their defaults.
    """
    parameters = inspect.signature(command).parameters
    for name, value in values.items():
        if value != parameters[name].default:
            kind = {"points": "a point model", "images": "an image model"}[model.kind]
            raise UserError(
                f"--{name}: does not apply to {model.path}, which is {kind}. Leave the option out."
            )
