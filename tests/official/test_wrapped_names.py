"""Checkpoints of wrappers, moving averages and older libraries give the same weights as the plain checkpoint."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.conversions import CONFIGS, UNET
from helpers.heads import part
from helpers.published import State, ccnet_state
from helpers.published_points import published_state

from pcseg.checkpoint import instantiate_parts
from pcseg.errors import UserError
from pcseg.official.convert import convert
from pcseg.official.names.points import SPUNET, published_name

CONFIG = {"backbone": UNET, "head": part("heads.LinearHead")}


@pytest.fixture(scope="module")
def unet() -> tuple[State, torch.nn.Module, torch.nn.Linear]:
    torch.manual_seed(0)
    backbone = instantiate_parts(CONFIG, source="test")[0](4)
    classify = torch.nn.Linear(backbone.out_channels[0], 13)
    return published_state(backbone, classify), backbone, classify


def renamed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def compiled_inside(state: State) -> State:
    return {name.replace(".", "._orig_mod.", 1): tensor for name, tensor in state.items()}


SHAPES: dict[str, Callable[[State], object]] = {
    "module": lambda s: {"state_dict": renamed("module.module.backbone.")(s)},
    "torch.compile": lambda s: {"state_dict": renamed("_orig_mod.backbone.")(s)},
    "torch.compile of a part": lambda s: {"model": compiled_inside(s)},
    "FSDP": renamed("_fsdp_wrapped_module.model."),
    "AveragedModel": lambda s: {"n_averaged": torch.tensor(9), **renamed("module.")(s)},
    "AveragedModel of DDP": lambda s: {"n_averaged": torch.tensor(9), **renamed("module.module.backbone.")(s)},
    "timm, average alone": lambda s: {"epoch": 3, "state_dict_ema": s, "optimizer": {"state": {0: s}}},
    "model_ema": lambda s: {"model_ema": {"module": renamed("module.")(s)}},
    "ema": lambda s: {"ema": {"decay": 0.99, "num_updates": 7, "shadow": s}},
    "DeepSpeed": lambda s: {"module": renamed("model.")(s)},
    "own key": lambda s: {"epoch": 3, "my_weights": s, "optimizer": {"state": {0: s}}},
    "Lightning": lambda s: {
        "state_dict": {**renamed("network.")(s), "criterion.weight": torch.ones(13), "val_metric.total": torch.ones(1)},
        "hyper_parameters": {"lr": 0.1},
    },
    "Lightning with an average": lambda s: {
        "state_dict": {
            **renamed("model.")(s),
            **renamed("ema.module.")({name: 0 * tensor for name, tensor in s.items()}),
        }
    },
    "ema_pytorch": lambda s: {
        "initted": torch.tensor(True), "step": torch.tensor(3),
        **renamed("online_model.")(s), **renamed("ema_model.")({name: 0 * tensor for name, tensor in s.items()}),
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_wrapped_checkpoints(shape: str, unet: tuple, tmp_path: Path) -> None:
    state = unet[0]
    torch.save(state, tmp_path / "plain.pth")
    torch.save(SHAPES[shape](state), tmp_path / "wrapped.pth")
    plain, wrapped = (convert(tmp_path / f"{name}.pth", CONFIG) for name in ("plain", "wrapped"))
    assert wrapped.state.keys() == plain.state.keys()
    assert wrapped.num_classes == 13
    for name, tensor in plain.state.items():
        assert torch.equal(tensor, wrapped.state[name]), name


def test_kernels_of_spconv_1(unet: tuple, tmp_path: Path) -> None:
    """spconv 1.x stores ``(x, y, z, in, out)`` and multiplies with 1x1x1 kernels as ``(in, out)``."""
    _, backbone, classify = unet
    old = {}
    for name, tensor in backbone.state_dict().items():
        if tensor.ndim == 3:  # (kernel offset, in, out)
            size = round(len(tensor) ** (1 / 3))
            tensor = tensor.view(size, size, size, *tensor.shape[1:])
        elif tensor.ndim == 2:  # (out, in)
            tensor = tensor.t().reshape(1, 1, 1, tensor.shape[1], tensor.shape[0])
        old[published_name(name, SPUNET)] = tensor
    old |= {"final.weight": classify.weight.t().reshape(1, 1, 1, -1, 13), "final.bias": classify.bias}
    torch.save({"state_dict": old}, tmp_path / "old.pth")
    converted = convert(tmp_path / "old.pth", CONFIG)
    for name, tensor in backbone.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(converted.state[f"backbone.{name}"], tensor), name
    assert torch.equal(converted.state["head.classify.weight"], classify.weight)


@pytest.mark.slow
def test_image_checkpoints_of_wrappers(tmp_path: Path) -> None:
    state = ccnet_state()
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"ema": renamed("module._orig_mod.")(state)}, tmp_path / "wrapped.pth")
    plain, wrapped = (convert(tmp_path / f"{name}.pth", CONFIGS["ccnet"]) for name in ("plain", "wrapped"))
    assert all(torch.equal(plain.state[name], wrapped.state[name]) for name in plain.state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"ema": {"decay": 0.9, "shadow_params": [torch.ones(2)]}},
            "only tensors without names in 'shadow_params'",
        ),
        (
            {"generator": {"a": torch.ones(1)}, "critic": {"a": torch.ones(1)}},
            "several sets of weights: generator, critic",
        ),
        ({"a._orig_mod.w": torch.ones(1), "a.w": torch.ones(1)}, "holds a.w twice"),
        ({"epoch": 3, "optimizer": {"lr": 0.1}}, "holds no named weights. Export"),
        ([torch.ones(1)], "holds no named weights"),
    ],
)
def test_files_without_usable_names(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=message) as caught:
        convert(tmp_path / "w.pth", CONFIG)
    assert "\n" not in str(caught.value)
