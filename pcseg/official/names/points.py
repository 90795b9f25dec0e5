"""Names and layouts of the published point backbones: SpUNet, PTv3, Sonata, Concerto and Utonia."""

import re
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.official.names.name_map import NameMap, State, prefix_before

Rename = tuple[str, str | Callable[[re.Match], str]]
"""Pattern in our name and its replacement in the published one."""

SPUNET: tuple[Rename, ...] = (
    (r"^stem\.conv\.", "conv_input.0."),
    (r"^stem\.norm\.", "conv_input.1."),
    (r"^(down|up)\.(\d+)\.conv\.", r"\1.\2.0."),
    (r"^(down|up)\.(\d+)\.norm\.", r"\1.\2.1."),
    (r"^(enc|dec)\.(\d+)\.(\d+)\.", r"\1.\2.block\3."),
    (r"\.norm([12])\.", r".bn\1."),
    (r"\.shortcut\.", ".proj."),
)
"""Pointcept's SpUNet-v1m1."""

PTV3: tuple[Rename, ...] = (
    (r"^(stem|mask_token)\b", r"embedding.\1"),
    (r"^enc\.(\d+)\.blocks\.(\d+)\.", r"enc.enc\1.block\2."),
    (r"^dec\.(\d+)\.blocks\.(\d+)\.", r"dec.dec\1.block\2."),
    (r"^pools\.(\d+)\.linear\.", lambda match: f"enc.enc{int(match[1]) + 1}.down.proj."),
    (r"^pools\.(\d+)\.norm\.", lambda match: f"enc.enc{int(match[1]) + 1}.down.norm.0."),
    (r"^unpools\.(\d+)\.coarse\.", r"dec.dec\1.up.proj.0."),
    (r"^unpools\.(\d+)\.coarse_norm\.", r"dec.dec\1.up.proj.1."),
    (r"^unpools\.(\d+)\.skip\.", r"dec.dec\1.up.proj_skip.0."),
    (r"^unpools\.(\d+)\.skip_norm\.", r"dec.dec\1.up.proj_skip.1."),
    (r"\.position\.conv\.", ".cpe.0."),
    (r"\.position\.linear\.", ".cpe.1."),
    (r"\.position\.norm\.", ".cpe.2."),
    (r"(\.block\d+\.norm[12])\.", r"\1.0."),
    (r"\.attention\.relative\.table$", ".attn.rpe.rpe_table"),
    (r"\.attention\.rotary\.", ".attn.rope."),
    (r"\.attention\.", ".attn."),
    (r"\.mlp\.", ".mlp.0."),
)
"""Pointcept's PT-v3m1, PT-v3m2 (packages sonata and concerto) and PT-v3m3 (package utonia)."""

PTV3_STEM, SONATA_STEM = "embedding.stem.conv.weight", "embedding.stem.linear.weight"
UTONIA_ROPE = ".attn.rope.inv_freq"
"""Only Utonia has rotary embeddings; otherwise its names are those of Sonata."""

NON_COMMERCIAL = "CC BY-NC 4.0 (no commercial use)"
PTV3_TITLE, SONATA, UTONIA = "Point Transformer V3", "Sonata or Concerto", "Utonia"
SPUNET_STEM = "conv_input.0.weight"
PTV3_HEAD, SPUNET_HEAD = "seg_head", "final"
PTV3_DECODER = ("dec.", "unpools.")
INPUT_BUFFERS = ("input_shift", "input_scale")
"""Buffers that published weights do not have."""


def published_name(name: str, renames: Sequence[Rename]) -> str:
    """Return the published name of the tensor that a backbone here calls ``name``."""
    for pattern, published in renames:
        name = re.sub(pattern, published, name)
    return name


def spunet_names(backbone: nn.Module, state: State) -> NameMap:
    """Return the name map of a SpUNet, whose classifier is ignored."""
    prefix = prefix_before(SPUNET_STEM, state) or ""
    ours = backbone.state_dict()
    return NameMap(
        names={prefix + published_name(name, SPUNET): name for name in ours},
        ignored=(f"{prefix}{SPUNET_HEAD}.",),
        layout=from_spunet,
    )


def ptv3_names(backbone: nn.Module, state: State) -> NameMap:
    """Return the name map of a PTv3, Sonata, Concerto or Utonia.

    Raises:
        UserError: The weights are those of another one of these.

    Convention:
        Ignored are the classifier, a mask token or decoder that ``backbone`` does not have, and in a
        self-supervised checkpoint everything but the student's backbone. A checkpoint of an encoder alone leaves
        the decoder of ``backbone`` unchanged.
    """
    stem = next((stem for stem in (PTV3_STEM, SONATA_STEM) if prefix_before(stem, state) is not None), "")
    prefix = prefix_before(stem, state) or ""
    ours = [name for name in backbone.state_dict() if name not in INPUT_BUFFERS]
    found = ptv3_kind(state)
    expected = ptv3_kind(
        {published_name(name, PTV3): tensor for name, tensor in backbone.state_dict().items()}
    )
    if found and found != expected:
        raise UserError(f"it holds weights of {found}, not of {expected}")
    ignored = [f"{prefix.removesuffix('backbone.')}{PTV3_HEAD}.", f"{prefix}embedding.mask_token"]
    if not any(name.startswith(PTV3_DECODER) for name in ours):
        ignored.append(f"{prefix}dec.")
    if "student." in prefix:
        ignored += [name for name in state if not name.startswith(prefix)]
    encoder_only = not any(name.startswith(f"{prefix}dec.") for name in state)
    return NameMap(
        names={prefix + published_name(name, PTV3): name for name in ours},
        ignored=tuple(ignored),
        optional=(*INPUT_BUFFERS, *(PTV3_DECODER if encoder_only else ())),
        layout=from_kernel,
    )


def ptv3_kind(state: State) -> str | None:
    """Return the title of the system whose names a PTv3 has, ``None`` for other networks."""
    if any(name.endswith(UTONIA_ROPE) for name in state):
        return UTONIA
    stems = {PTV3_TITLE: PTV3_STEM, SONATA: SONATA_STEM}
    return next((title for title, stem in stems.items() if prefix_before(stem, state) is not None), None)


def to_spconv2(state: State) -> State:
    """Return a checkpoint of spconv 1.x in the layout of spconv 2.x, any other checkpoint unchanged.

    Convention:
        A kernel ``(x, y, z, in, out)`` becomes ``(out, x, y, z, in)``. Of 1x1x1, it keeps its memory, which
        :func:`from_spunet` reads. A checkpoint is of 1.x if the shapes of all kernels have its layout.
    """
    kernels = [tensor.shape for tensor in state.values() if tensor.ndim == 5]
    is_old = all(len({*shape[:3]}) == 1 for shape in kernels)
    if not is_old or all(len({*shape[1:4]}) == 1 for shape in kernels):
        return state

    def convert(tensor: Tensor) -> Tensor:
        if tensor.ndim != 5:
            return tensor
        *size, in_channels, out_channels = tensor.shape
        if max(size) == 1:
            return tensor.reshape(out_channels, 1, 1, 1, in_channels)
        return tensor.permute(4, 0, 1, 2, 3)

    return {name: convert(tensor) for name, tensor in state.items()}


def from_kernel(_name: str, tensor: Tensor) -> Tensor:
    """Return a published kernel ``(out, x, y, z, in)`` as ``(kernel offset, in, out)``, other tensors unchanged."""
    if tensor.ndim != 5:
        return tensor
    out_channels, *_, in_channels = tensor.shape
    return tensor.permute(1, 2, 3, 4, 0).reshape(-1, in_channels, out_channels)


def from_spunet(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor of a SpUNet in the layout used here.

    Convention:
        As :func:`from_kernel`. The official forward reads the memory of a 1x1x1 kernel as ``[in, out]``, which is
        not the transpose of its shape ``(out, 1, 1, 1, in)``.
    """
    if tensor.ndim == 5 and (".proj.0." in name or f".{name}".endswith(f".{SPUNET_HEAD}.weight")):
        out_channels, *_, in_channels = tensor.shape
        return tensor.reshape(in_channels, out_channels).t()
    return from_kernel(name, tensor)
