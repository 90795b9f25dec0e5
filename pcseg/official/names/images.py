"""Names of the published image backbones: VAN, ResNet, JPU and HRNet, each of several code bases."""

from collections.abc import Sequence

from torch import nn

from pcseg.official.names.name_map import NameMap, Names, State, prefix_before, under

VAN_BLOCK = {
    "layer_scale_1": "scale1",
    "layer_scale_2": "scale2",
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj_1": "attention.0",
    "attn.spatial_gating_unit.conv0": "attention.2.near",
    "attn.spatial_gating_unit.conv_spatial": "attention.2.far",
    "attn.spatial_gating_unit.conv1": "attention.2.mix",
    "attn.proj_2": "attention.3",
    "mlp.fc1": "mlp.0",
    "mlp.dwconv.dwconv": "mlp.1",
    "mlp.fc2": "mlp.3",
}


VAN_OTHERS = ("head.", "decode_head.", "auxiliary_head.", "neck.")
"""Prefixes of the classifier or the segmentation heads that files of VAN hold beside the backbone."""


def van_names(model: nn.Module, state: State) -> NameMap:
    """Return the name map of a VAN of the classification or of the segmentation code."""
    prefix = prefix_before("patch_embed1.proj.weight", state) or ""
    depths = [
        len(list(stage.get_submodule("blocks").children()))
        for stage in model.get_submodule("stages").children()
    ]
    names: Names = {}
    for i, depth in enumerate(depths):
        names |= {
            f"patch_embed{i + 1}.proj": f"stages.{i}.embed",
            f"patch_embed{i + 1}.norm": f"stages.{i}.embed_norm",
            f"norm{i + 1}": f"stages.{i}.norm",
        }
        for j in range(depth):
            names |= under(f"block{i + 1}.{j}", f"stages.{i}.blocks.{j}", VAN_BLOCK)
    return NameMap(names=_prefixed(prefix, names), ignored=VAN_OTHERS)


STEM = ("net.conv1.0", "net.conv1.1", "net.conv1.3", "net.conv1.4", "net.conv1.6", "net.bn1")
"""Convolution and norm of each of the three layers."""
CCNET_STEM = dict(zip(("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"), STEM))
PADDLE_STEM = dict(zip((f"conv1_{i}._{kind}" for i in (1, 2, 3) for kind in ("conv", "batch_norm")), STEM))
PADDLE_SHORTCUT = {"short._conv": "downsample.1", "short._batch_norm": "downsample.2"}


TORCH_BLOCK, PADDLE_BLOCK = "layer1.0.conv1.weight", "conv1_1._conv.weight"
"""Names that reveal the code base of a ResNet, and the prefix of its names."""

PADDLE_HRNET = "conv_layer1_1._conv.weight"


def resnet_names(model: nn.Module, state: State) -> NameMap:
    """Return the name map of a ResNet of timm, torchvision, PyTorch-Encoding, CCNet or PaddleSeg."""
    prefix = prefix_before(PADDLE_BLOCK, state)
    if prefix is not None:
        return NameMap(names=_prefixed(prefix, PADDLE_STEM | _paddle_blocks(model)))
    prefix = prefix_before(TORCH_BLOCK, state) or ""
    names = _timm_names(model)  # those of torchvision and PyTorch-Encoding too
    if f"{prefix}conv3.weight" in state:
        names |= CCNET_STEM
    return NameMap(names=_prefixed(prefix, names), ignored=(f"{prefix}fc.",))


def _paddle_blocks(model: nn.Module) -> Names:
    names: Names = {}
    for name, block in model.named_modules():
        if not hasattr(block, "conv3"):
            continue
        stage, i = name.removeprefix("net.layer").split(".")
        units = {f"conv{k}._conv": f"conv{k + 1}" for k in range(3)}
        units |= {f"conv{k}._batch_norm": f"bn{k + 1}" for k in range(3)}
        names |= under(f"bb_{int(stage) - 1}_{i}", name, units | PADDLE_SHORTCUT)
    return names


def resnet_jpu_names(model: nn.Module, state: State) -> NameMap:
    """Return the name map of PaddleSeg's ResNet for CTNet, which holds the JPU."""
    names = resnet_names(model.get_submodule("backbone"), state).inside("backbone").names
    jpu: Names = {}
    for i in range(3):
        jpu |= {f"conv{i + 3}.{k}": f"reduce.{i}.{k}" for k in range(2)}
    for i in range(4):
        separable = {"0.conv1": "0", "0.bn": "1", "0.pointwise": "2", "1": "3"}
        jpu |= under(f"dilation{i + 1}", f"dilated.{i}", separable)
    return NameMap(
        names=names | _prefixed(prefix_before(PADDLE_BLOCK, state) or "", under("JPU", "jpu", jpu))
    )


def hrnet_names(model: nn.Module, state: State) -> NameMap:
    """Return the name map of an HRNet of timm, which has the original's names, or of PaddleSeg."""
    prefix = prefix_before(PADDLE_HRNET, state)
    if prefix is None:
        prefix = prefix_before(TORCH_BLOCK, state) or ""
        classifier = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
        return NameMap(
            names=_prefixed(prefix, _timm_names(model)), ignored=tuple(prefix + part for part in classifier)
        )
    names: Names = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            unit, leaf = _paddle_hrnet_unit(name.removeprefix("net."))
            names[f"{unit}.{leaf}"] = name
    return NameMap(names=_prefixed(prefix, names))


def _timm_names(model: nn.Module) -> Names:
    return {name.removeprefix("net."): name for name, _ in model.named_modules() if name.startswith("net.")}


def _prefixed(prefix: str, names: Names) -> Names:
    return {prefix + theirs: ours for theirs, ours in names.items()}


def _paddle_hrnet_unit(name: str) -> tuple[str, str]:
    """Return PaddleSeg's unit of a convolution or norm of timm's HRNet, and ``_conv`` or ``_batch_norm``."""
    parts = name.split(".")
    number = [int(part) + 1 for part in parts if part.isdigit()]
    last = parts[-1]
    norm = last.startswith("bn") or last == "1"
    leaf = "_batch_norm" if norm else "_conv"
    if len(parts) == 1:  # conv1, bn1, conv2, bn2 of the stem
        return f"conv_layer1_{last[-1]}", leaf
    if parts[0] == "layer1":
        return f"la1.bb_layer2_{number[0]}.{_paddle_unit_of_block(parts[2:])}", leaf
    if parts[0].startswith("transition"):
        tr = f"tr{parts[0][-1]}"
        return f"{tr}.transition_{tr}_layer_{number[0]}", leaf
    st = f"st{parts[0][-1]}"
    module = f"{st}.stage_{st}_{number[0]}"
    if parts[2] == "branches":
        block = f"branches_func.bb_{st}_{number[0]}_branch_layer_{number[1]}_{number[2]}"
        return f"{module}.{block}.{_paddle_unit_of_block(parts[5:])}", leaf
    index = f"{number[1]}_{number[2]}" + (f"_{number[3]}" if number[2] < number[1] else "")
    return f"{module}.fuse_func.residual_{st}_{number[0]}_layer_{index}", leaf


def _paddle_unit_of_block(parts: Sequence[str]) -> str:
    """Return PaddleSeg's name of ``conv1``, ``bn1``, ..., or ``downsample.0`` ... inside a block."""
    return "conv_down" if parts[0] == "downsample" else f"conv{parts[0][-1]}"
