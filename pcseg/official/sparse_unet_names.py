"""Published SpUNet weights in and out of :class:`SparseUNet` and :class:`PlainHead`."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.errors import UserError

# our name -> the official one (Pointcept, SpUNet-v1m1)
RENAMES = (
    (r"^stem\.conv\.", "conv_input.0."),
    (r"^stem\.norm\.", "conv_input.1."),
    (r"^(down|up)\.(\d+)\.conv\.", r"\1.\2.0."),
    (r"^(down|up)\.(\d+)\.norm\.", r"\1.\2.1."),
    (r"^(enc|dec)\.(\d+)\.(\d+)\.", r"\1.\2.block\3."),
    (r"\.norm([12])\.", r".bn\1."),
    (r"\.shortcut\.", ".proj."),
)
PREFIXES = ("module.", "backbone.")


@dataclass(kw_only=True)
class ConversionReport:
    """Official names that were loaded, that the model has but the state lacks, that the model has no place for, and
    those that are known and not needed here."""

    taken: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.taken)} tensors taken"]
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "left out": self.left_out}
        for kind, names in kinds.items():
            lines += [f"{len(names)} {kind}: {', '.join(names)}"] if names else []
        return "\n".join(lines)


def load_official(
    state: Mapping[str, Tensor], backbone: SparseUNet, classify: nn.Linear | None = None
) -> ConversionReport:
    """Copy an official SpUNet-v1m1 state dict into ``backbone`` and, its ``final`` layer, into ``classify``.

    Args:
        state: Official names, with or without the prefixes ``module.`` and ``backbone.``.
        backbone: Changed in place.
        classify: Linear layer of a :class:`PlainHead`; ``None`` leaves ``final`` out.

    Returns:
        What was taken, missing and unexpected; counters of seen batches are nowhere counted.

    Raises:
        UserError: A tensor's shape does not fit; nothing is changed then.
    """
    state = {_without_prefix(name): tensor for name, tensor in state.items()}
    report, copies = match_official(state, named_tensors(backbone, classify), from_official, to_official)
    copy_tensors(copies)
    return report


def match_official(
    state: Mapping[str, Tensor],
    tensors: Iterable[tuple[str, Tensor]],
    from_official: Callable[[str, Tensor], Tensor],
    to_official: Callable[[str, Tensor], Tensor],
) -> tuple[ConversionReport, list[tuple[Tensor, Tensor]]]:
    """What fits of an official state dict, and the pairs (ours, theirs in our layout) to copy; nothing is changed.

    Args:
        state: By official names.
        tensors: Ours, with their official names.
        from_official: Brings the tensor of an official name into our layout.
        to_official: The way back.

    Raises:
        UserError: A tensor's shape does not fit.
    """
    report, copies = ConversionReport(), []
    known = set()
    for name, ours in tensors:
        known.add(name)
        if name not in state:
            report.missing += [] if name.endswith("num_batches_tracked") else [name]
            continue
        expected = to_official(name, ours).shape
        if state[name].shape != expected:
            raise UserError(f"{name} has shape {tuple(state[name].shape)}, the model needs {tuple(expected)}")
        copies.append((ours, from_official(name, state[name])))
        report.taken.append(name)
    report.unexpected = [name for name in state if name not in known]
    return report, copies


def copy_tensors(copies: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Copy the second of every pair into the first."""
    with torch.no_grad():
        for ours, theirs in copies:
            ours.copy_(theirs)


def official_state(backbone: SparseUNet, classify: nn.Linear | None = None) -> dict[str, Tensor]:
    """The weights under official names and in official shapes."""
    return {name: to_official(name, tensor.detach()) for name, tensor in named_tensors(backbone, classify)}


def from_official(name: str, tensor: Tensor) -> Tensor:
    """One official tensor in our layout.

    Convention:
        Kernels are stored ``[out, x, y, z, in]``. For a 1x1x1 kernel the official forward reads the same memory as
        ``[in, out]``, not its transpose.
    """
    if tensor.ndim == 5 and _is_linear(name):
        out_channels, *_, in_channels = tensor.shape
        return tensor.reshape(in_channels, out_channels).t()
    return kernel_from_official(tensor)


def to_official(name: str, tensor: Tensor) -> Tensor:
    """One of our tensors in the official layout, the inverse of :func:`from_official`."""
    if _is_linear(name) and tensor.ndim == 2:
        out_channels, in_channels = tensor.shape
        return tensor.t().reshape(out_channels, 1, 1, 1, in_channels)
    return kernel_to_official(tensor)


def kernel_from_official(tensor: Tensor) -> Tensor:
    """``[out, x, y, z, in]`` as ``[place, in, out]``; what is no kernel stays as it is."""
    if tensor.ndim != 5:
        return tensor
    out_channels, *_, in_channels = tensor.shape
    return tensor.permute(1, 2, 3, 4, 0).reshape(-1, in_channels, out_channels)


def kernel_to_official(tensor: Tensor) -> Tensor:
    """The inverse of :func:`kernel_from_official`."""
    if tensor.ndim != 3:
        return tensor
    volume, in_channels, out_channels = tensor.shape
    edge = round(volume ** (1 / 3))
    return tensor.view(edge, edge, edge, in_channels, out_channels).permute(4, 0, 1, 2, 3).contiguous()


def _is_linear(name: str) -> bool:
    return ".proj.0." in name or name.startswith("final.")


def named_tensors(backbone: SparseUNet, classify: nn.Linear | None) -> Iterator[tuple[str, Tensor]]:
    """Our tensors with their official names."""
    for name, tensor in backbone.state_dict(keep_vars=True).items():
        for pattern, official in RENAMES:
            name = re.sub(pattern, official, name)
        yield name, tensor
    if classify is not None:
        yield "final.weight", classify.weight
        yield "final.bias", classify.bias


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
