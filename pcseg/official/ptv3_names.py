"""Published weights of PTv3, Sonata and Concerto in and out of :class:`PTv3`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.errors import UserError
from pcseg.official.files import read_weights
from pcseg.official.sparse_unet_names import (
    ConversionReport,
    copy_tensors,
    kernel_from_official,
    kernel_to_official,
    match_official,
)

# our name -> the official one (Pointcept, PT-v3m1 and PT-v3m2; the packages sonata and concerto have the latter)
RENAMES = (
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
    (r"\.attention\.", ".attn."),
    (r"\.scale([12])\.gamma$", r".ls\1.0.gamma"),
    (r"\.mlp\.", ".mlp.0."),
)
CLASSIFIER = ("seg_head.weight", "seg_head.bias")


def load_pretrained(backbone: PTv3, path: Path, *, color: int | None = None) -> ConversionReport:
    """Fill ``backbone`` from a published file; every name must be accounted for.

    Args:
        backbone: Changed in place.
        path: File of Pointcept, of the package sonata or of the package concerto.
        color: Channel where colours begin, if they do: published weights expect them from 0 to 1, and our data has
            them from -0.5 to 0.5, so that the network will add 0.5 to three channels.

    Raises:
        UserError: The file cannot be read, or names or shapes do not fit; nothing is changed then.
    """
    state = read_weights(path)
    try:
        report = load_official(state, backbone, strict=True)
    except UserError as error:
        raise UserError(f"{path}: {error}; choose the preset that this file belongs to") from error
    expect_unit_colors(backbone, color)
    return report


def expect_unit_colors(backbone: PTv3, color: int | None) -> None:
    """Let ``backbone`` add 0.5 to the three channels from ``color`` on, and nothing to the others."""
    backbone.input_shift.zero_()
    if color is not None:
        backbone.input_shift[color : color + 3] = 0.5


def load_official(
    state: Mapping[str, Tensor],
    backbone: PTv3,
    classify: nn.Linear | None = None,
    *,
    strict: bool = False,
) -> ConversionReport:
    """Copy an official state dict into ``backbone`` and its ``seg_head`` into ``classify``.

    Args:
        state: Official names with any of the prefixes ``module.``, ``backbone.``, ``student.backbone.``.
        backbone: Changed in place.
        classify: Linear layer for the classifier; ``None`` leaves it out.
        strict: Refuse a state dict that lacks something or has too much.

    Returns:
        What became of every name.

    Raises:
        UserError: A tensor's shape does not fit, or, if ``strict``, a name; nothing is changed then.

    Convention:
        Of a pre-training file the student counts, as in the published configurations for fine-tuning; teacher and
        pre-training heads are left out, and so are a classifier or a mask token that have no place here, and the
        decoder where there is none at all. If the file is one of an encoder alone, the decoder here stays as it
        was made.
    """
    own, left_out = _backbone_names(state)
    ours = dict(named_tensors(backbone, classify))
    decoder = any(name.startswith("dec.") for name in ours)
    spare = [name for name in own if name not in ours and _may_be_spare(name, decoder=decoder)]
    own = {name: tensor for name, tensor in own.items() if name not in spare}
    report, copies = match_official(
        own, ours.items(), lambda _, tensor: kernel_from_official(tensor), lambda _, x: kernel_to_official(x)
    )
    whole = any(name.startswith("dec.") for name in own)
    missing = [name for name in report.missing if whole or not name.startswith("dec.")]
    problems = {"missing": missing, "unexpected": report.unexpected}
    found = [f"{len(names)} {kind}: {', '.join(names[:3])} ..." for kind, names in problems.items() if names]
    if strict and found:
        raise UserError("; ".join(found))
    copy_tensors(copies)
    return ConversionReport(
        taken=report.taken,
        missing=report.missing,
        unexpected=report.unexpected,
        left_out=[*left_out, *spare],
    )


def official_state(backbone: PTv3, classify: nn.Linear | None = None) -> dict[str, Tensor]:
    """The weights under official names and in official shapes."""
    return {name: kernel_to_official(tensor.detach()) for name, tensor in named_tensors(backbone, classify)}


def _backbone_names(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors of the backbone and the classifier by their plain names, and the names of other parts."""
    own, left_out = {}, []
    pretraining = any(".student.backbone." in f".{name}" for name in state)
    for name, tensor in state.items():
        plain = name.removeprefix("module.")
        if pretraining and not plain.startswith("student.backbone."):
            left_out.append(name)
            continue
        own[plain.removeprefix("student.").removeprefix("backbone.")] = tensor
    return own, left_out


def _may_be_spare(name: str, *, decoder: bool) -> bool:
    return (name.startswith("dec.") and not decoder) or name in (*CLASSIFIER, "embedding.mask_token")


def named_tensors(backbone: PTv3, classify: nn.Linear | None) -> Iterator[tuple[str, Tensor]]:
    """Our tensors with their official names."""
    for name, tensor in backbone.state_dict(keep_vars=True).items():
        if name == "input_shift":  # ours alone
            continue
        for pattern, official in RENAMES:
            name = re.sub(pattern, official, name)
        yield name, tensor
    if classify is not None:
        yield from zip(CLASSIFIER, (classify.weight, classify.bias))
