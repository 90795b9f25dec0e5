"""Map names and layouts of published checkpoints to ours."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

Names = dict[str, str]
"""Published names of modules or tensors, to ours."""

State = Mapping[str, Tensor]
"""Tensors of a checkpoint by their published names."""

PADDLE_BUFFERS = {"_mean": "running_mean", "_variance": "running_var"}


def under(published: str, ours: str, names: Names) -> Names:
    """Return ``names`` of a module that is itself called ``published`` there and ``ours`` here."""
    return {f"{published}.{theirs}": f"{ours}.{name}".lstrip(".") for theirs, name in names.items()}


def prefix_before(ending: str, state: State) -> str | None:
    """Return what precedes ``ending`` in the name of a tensor, ``None`` if no name ends with it.

    Convention:
        Self-supervised checkpoints hold a student and a teacher. The student is used, as in the published
        configurations for fine-tuning.
    """
    return max(prefixes_before(ending, state), key=lambda prefix: "student." in prefix, default=None)


def prefixes_before(ending: str, state: State) -> list[str]:
    """Return what precedes ``ending`` in the names of all tensors that end with it."""
    return [name.removesuffix(ending) for name in state if f".{name}".endswith(f".{ending}")]


def beside(prefix: str, mark: str, state: State) -> tuple[str, ...]:
    """Return the names of losses and metrics, and prefixes of other copies of the model, such as its moving average.

    Args:
        prefix: Prefix of the copy that is used.
        mark: End of the name of a tensor that every copy has.
        state: The checkpoint.
    """
    copies = [other for other in prefixes_before(mark, state) if other and not prefix.startswith(other)]
    return (
        *copies,
        *(name for name in state if re.match(r"(\w+\.)?(\w*(loss|criterion|criteria|metric)s?)\.", name)),
    )


def keep_layout(_name: str, tensor: Tensor) -> Tensor:
    """Return ``tensor`` unchanged: published tensors have the layout used here."""
    return tensor


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """Destination of every tensor of a checkpoint.

    Args:
        names: Published names of modules or tensors, to ours.
        ignored: Prefixes of published names that are known and have no counterpart here, such as a classifier.
        optional: Prefixes of our names that the checkpoint may lack, such as a decoder.
        layout: Converts a tensor, given its published name, to the layout used here.
        absolute_gain: The published norms scale by ``|weight| + eps``, as InPlaceABN does.
    """

    names: Names
    ignored: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    layout: Callable[[str, Tensor], Tensor] = keep_layout
    absolute_gain: bool = False

    def our_name(self, published: str) -> str | None:
        """Return our name of a published parameter or buffer, ``None`` if it is unknown."""
        if published in self.names:
            return self.names[published]
        module, _, leaf = published.rpartition(".")
        return f"{self.names[module]}.{PADDLE_BUFFERS.get(leaf, leaf)}" if module in self.names else None

    def inside(self, ours: str) -> "NameMap":
        """Return the map for a model that holds the module of this map as ``ours``."""
        return replace(
            self,
            names={theirs: f"{ours}.{name}" for theirs, name in self.names.items()},
            optional=tuple(f"{ours}.{name}" for name in self.optional),
        )
