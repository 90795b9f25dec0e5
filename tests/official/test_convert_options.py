"""Published weights need the options that they were trained with; an error lists those that differ."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.conversions import CONFIGS, STATES, write
from torch import nn

from pcseg.backbones.images.hrnet import HRNet
from pcseg.checkpoint import instantiate_parts
from pcseg.errors import UserError
from pcseg.official.convert import convert
from pcseg.official.systems import SYSTEMS, differing_options

ROOT = Path(__file__).resolve().parents[2] / "configs"
SYSTEM = {"RCCABody": "CCNet", "EncBody": "EncNet of PyTorch-Encoding", "CTBody": "CTNet of PaddleSeg"}


@pytest.mark.parametrize(
    ("name", "where", "option", "value", "published"),
    [
        ("ccnet", "backbone", "dilation", "encnet", "ccnet"),
        ("ccnet", "backbone", "ceil_pool", False, True),
        ("ccnet", "backbone", "output_stride", 16, 8),
        ("ccnet", "head.body", "norm", "BatchNorm", "InPlaceABN"),
        ("encnet", "backbone", "dilation", "ccnet", "encnet"),
        ("encnet", "head.body", "pure_gate", True, False),
        ("encnet", "head.body", "reference_size", 3600, None),
        ("encnet", "head.body", "sum_codewords", True, False),
        ("encnet", "head", "align_corners", False, True),
        ("ctnet", "backbone", "ceil_pool", True, False),
        ("ctnet", "head.body", "norm", "BatchNorm", "PaddleBatchNorm"),
    ],
)
@pytest.mark.slow
def test_differing_options_are_reported(
    name: str, where: str, option: str, value: object, published: object, tmp_path: Path
) -> None:
    source = write(tmp_path / "official.pth", STATES[name]())
    config: dict[str, Any] = deepcopy(CONFIGS[name])
    part = config
    for key in where.split("."):
        part = part.get("init_args", part)[key]
    part["init_args"][option] = f"pcseg.nn.norms.{value}" if option == "norm" else value
    message = (
        rf"official\.pth: .* {where}\.(\w+\.)*{option} is {value}, published {published}\. Set .* --partial"
    )
    with pytest.raises(UserError, match=message):
        convert(source, config)
    assert convert(source, config, partial=True).report.missing == []


def published_recipes() -> list[Path]:
    """Return the configurations of published image systems with their own backbone."""
    found = []
    for path in sorted(ROOT.rglob("*.yaml")):
        text = path.read_text()
        ours = path.parent.name == "rooms_frames" or "images.van" in text
        if not ours and "heads.ImageHead" in text:
            found.append(path)
    return found


@pytest.mark.parametrize("path", published_recipes(), ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.slow
def test_configurations_have_the_published_options(path: Path) -> None:
    """Except for that of mmseg's CCNet, which documents its differences."""
    config = yaml.safe_load(path.read_text())
    model = nn.Module()
    with torch.device("meta"):
        model.backbone, make_head = instantiate_parts(config, source=path.name)
        model.head = make_head(model.backbone.out_channels, 5)
    (system,) = [s for s in SYSTEMS if s.title == SYSTEM[type(model.head.body).__name__]]
    differ = [text.split(" ")[0] for text in differing_options(system, model)]
    mmseg = ["backbone.dilation", "backbone.ceil_pool", "head.body.merge.norm", "head.align_corners"]
    assert differ == (mmseg if path.match("voc/ccnet*") else [])


def test_original_hrnet_differs_from_paddles() -> None:
    model = nn.Module()
    with torch.device("meta"):
        model.backbone = HRNet(name="hrnet_w18_small")
    (ctnet,) = [system for system in SYSTEMS if system.title == SYSTEM["CTBody"]]
    assert differing_options(ctnet, model) == ["backbone.paddle is False, published True"]
