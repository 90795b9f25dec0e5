"""Load published weights into modules by name: all of them or none, with a report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from pcseg.errors import UserError, reason
from pcseg.official.files import read_weights
from pcseg.official.names.name_map import NameMap, State
from pcseg.official.names.points import to_spconv2

UNCOUNTED = "num_batches_tracked"
"""End of the name of a counter that checkpoints may lack."""


@dataclass(kw_only=True)
class LoadReport:
    """Outcome for every name of a checkpoint and of a module.

    Args:
        taken: Our names of the tensors that were copied, by their published names.
        missing: Our names that the checkpoint lacks.
        unexpected: Published names without a counterpart here.
        ignored: Published names that are known and not needed here.
        misshapen: Published names whose shape differs, with both shapes.
    """

    taken: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)

    def summary(self, most: int = 8) -> list[str]:
        """Return one line per outcome with the first ``most`` names."""
        kinds = {
            "missing here, initial values kept": self.missing,
            "unexpected, left out": self.unexpected,
            "not needed, left out": self.ignored,
            "of another shape, left out": self.misshapen,
        }
        lines = [f"{len(names)} {kind}: {first(names, most)}" for kind, names in kinds.items() if names]
        return [f"{len(self.taken)} tensors taken", *lines]

    def __str__(self) -> str:
        """List every name."""
        taken, *others = self.summary(most=1 << 30)
        return "\n".join([taken, *(f"  {theirs} -> {ours}" for theirs, ours in self.taken.items()), *others])


def first(names: Sequence[str], most: int = 4) -> str:
    """Join the first ``most`` names and add the number of others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def load_published(
    module: nn.Module, state: State, names: NameMap, *, strict: bool = False, partial: bool = False
) -> LoadReport:
    """Copy published parameters and buffers into ``module``.

    Args:
        state: Tensors by their published names.
        strict: Reject missing and unexpected names that ``names`` does not allow.
        partial: Skip tensors of another shape and report them.

    Raises:
        UserError: A shape does not fit, two published names have the same destination, or a name is rejected.
            Nothing is changed then.

    Convention:
        Axes of length one may be added or dropped: a 1x1 convolution is a linear map here.
    """
    own = module.state_dict()
    plain_norms = _plain_norms(module) if names.absolute_gain else {}
    report, copies = LoadReport(), {}
    for published, tensor in state.items():
        name = names.our_name(published)
        if name is None or name not in own:
            known = published.startswith(names.ignored)
            (report.ignored if known else report.unexpected).append(published)
            continue
        value = names.layout(published, tensor)
        if _long_axes(value) != _long_axes(own[name]):
            shapes = f"{tuple(tensor.shape)}, but {name} here has shape {tuple(own[name].shape)}"
            if not partial:
                raise UserError(f"{published} has shape {shapes}")
            report.misshapen.append(f"{published} {shapes}")
        elif name in copies:
            raise UserError(f"{published} and another name both stand for {name}")
        else:
            value = value.to(own[name].dtype).reshape(own[name].shape)
            copies[name] = value.abs() + plain_norms[name] if name in plain_norms else value
            report.taken[published] = name
    report.missing = [name for name in own if name not in copies and not name.endswith(UNCOUNTED)]
    if strict:
        _reject(report, names)
    with torch.no_grad():
        for name, value in copies.items():
            own[name].copy_(value)
    return report


def load_backbone(
    backbone: nn.Module, weights: State | Path, names: Callable[[nn.Module, State], NameMap]
) -> LoadReport:
    """Fill a backbone with published weights.

    Args:
        weights: Tensors by their published names, or the file that holds them.
        names: Returns the name map, given the backbone and the weights.

    Raises:
        UserError: The file cannot be read, or names or shapes do not fit. Nothing is changed then.
    """
    source = weights if isinstance(weights, Path) else "timm's weights"
    state = to_spconv2(read_weights(weights)) if isinstance(weights, Path) else weights
    try:
        return load_published(backbone, state, names(backbone, state), strict=True)
    except UserError as error:
        raise UserError(
            f"{source}: does not fit this backbone: {error}. Choose the preset that these weights belong to."
        ) from error


def timm_weights(name: str) -> dict[str, Tensor]:
    """Return the weights that timm downloads for its model ``name``.

    Raises:
        UserError: timm has no such weights, or its hub cannot be reached.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url or config.file):
        raise UserError(f"backbone.pretrained: timm has no weights for {name}. Give a file instead.")
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever the hub's client raises without a network
        raise UserError(
            f"backbone.pretrained: cannot download timm's weights for {name} ({reason(error, most=120)}). "
            "Give a file instead."
        ) from error


def _reject(report: LoadReport, names: NameMap) -> None:
    missing = [name for name in report.missing if not name.startswith(names.optional)]
    unexpected = [name for name in report.unexpected if not name.endswith(UNCOUNTED)]
    problems = {"it lacks": missing, "it has no counterpart here for": unexpected}
    found = [f"{problem} {first(which)}" for problem, which in problems.items() if which]
    if found:
        raise UserError("; ".join(found))


def _plain_norms(module: nn.Module) -> dict[str, float]:
    """Return the names of the weights of norms that scale by the weight itself, with the eps of each."""
    return {
        f"{name}.weight".lstrip("."): norm.eps
        for name, norm in module.named_modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and not getattr(norm, "absolute_gain", False)
    }


def _long_axes(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if size > 1]
