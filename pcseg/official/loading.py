"""How published weights get into our modules: by names, with a report, all of them or none."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.official.head_names import PADDLE_BUFFERS, Names

UNCOUNTED = "num_batches_tracked"


@dataclass(kw_only=True)
class LoadReport:
    """What became of the names of a checkpoint.

    Args:
        taken: Ours, by what they are called in the checkpoint.
        missing: Ours that the checkpoint lacks.
        unexpected: Names of the checkpoint that have no place here.
        misshapen: Published names whose shape differs, with both shapes.
    """

    taken: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshapen}
        lines = [f"{len(self.taken)} tensors taken"]
        return "\n".join(
            lines + [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in parts.items() if names]
        )


def our_name(published: str, names: Names) -> str | None:
    """What the published parameter or buffer is called here, ``None`` if that is not known."""
    if published in names:
        return names[published]
    module, _, leaf = published.rpartition(".")
    return f"{names[module]}.{PADDLE_BUFFERS.get(leaf, leaf)}" if module in names else None


def load_official(
    module: nn.Module,
    state: Mapping[str, Tensor],
    names: Names,
    *,
    absolute_gain: bool = False,
    partial: bool = False,
) -> LoadReport:
    """Copy published parameters into ``module``.

    Args:
        module: Ours.
        state: Published parameters and buffers by name.
        names: Their names here.
        absolute_gain: The published norms scale by ``|weight| + eps``, as InPlaceABN does: norms here that do not
            get that as their weight.
        partial: Leave what has another shape as it is, and report it.

    Raises:
        UserError: A shape does not fit, or two names mean the same parameter; nothing is changed then.

    Convention:
        Axes of length one may differ: a 1×1 convolution is a linear map here. Nothing but the report tells of
        names that are missing or left over.
    """
    own = module.state_dict()
    plain_norms = _plain_norms(module) if absolute_gain else {}
    report, copies = LoadReport(), {}
    for published, tensor in state.items():
        name = our_name(published, names)
        if name is None or name not in own:
            report.unexpected.append(published)
        elif _long_axes(tensor) != _long_axes(own[name]):
            shapes = f"{tuple(tensor.shape)}, not {tuple(own[name].shape)}"
            if not partial:
                raise UserError(f"checkpoint: {published} (here {name}) has shape {shapes} as in this model")
            report.misshapen.append(f"{published} {shapes}")
        elif name in copies:
            raise UserError(f"checkpoint: {published} and another name both mean {name}")
        else:
            value = tensor.to(own[name].dtype)
            value = value.abs() + plain_norms[name] if name in plain_norms else value
            copies[name] = value.reshape(own[name].shape)
            report.taken[published] = name
    with torch.no_grad():
        for name, value in copies.items():
            own[name].copy_(value)
    report.missing = [name for name in own if name not in copies and not name.endswith(UNCOUNTED)]
    return report


def _plain_norms(module: nn.Module) -> dict[str, float]:
    """Names of the weights of norms that scale by the weight itself, and the eps of each."""
    return {
        f"{name}.weight".lstrip("."): norm.eps
        for name, norm in module.named_modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and not getattr(norm, "absolute_gain", False)
    }


def _long_axes(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if size > 1]
