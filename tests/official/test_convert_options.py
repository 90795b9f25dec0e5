"""Published weights meet the options that they were made with, or a line says which differ."""

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
SYSTEM = {"RCCAHead": "CCNet", "EncHead": "EncNet of PyTorch-Encoding", "CTHead": "CTNet of PaddleSeg"}


@pytest.mark.parametrize(
    ("name", "where", "option", "value", "published"),
    [
        ("ccnet", "backbone", "dilation", "encnet", "ccnet"),
        ("ccnet", "backbone", "ceil_pool", False, True),
        ("ccnet", "backbone", "output_stride", 16, 8),
        ("ccnet", "head", "inplace_abn", False, True),
        ("encnet", "backbone", "dilation", "ccnet", "encnet"),
        ("encnet", "head", "pure_gate", True, False),
        ("encnet", "head", "reference_size", 3600, None),
        ("encnet", "head", "sum_codewords", True, False),
        ("encnet", "head", "align_corners", False, True),
        ("ctnet", "backbone", "ceil_pool", True, False),
        ("ctnet", "head", "paddle", False, True),
    ],
)
def test_differing_options_are_told(
    name: str, where: str, option: str, value: object, published: object, tmp_path: Path
) -> None:
    source = write(tmp_path / "official.pth", STATES[name]())
    part: dict[str, Any] = CONFIGS[name][where]
    config = CONFIGS[name] | {where: part | {"init_args": part["init_args"] | {option: value}}}
    message = rf"official\.pth: .* {where}\.{option} is {value}, published {published}\. Set .* --partial"
    with pytest.raises(UserError, match=message):
        convert(source, config)
    assert convert(source, config, partial=True).report.missing == []


def published_recipes() -> list[Path]:
    """Configurations of a published image system on a backbone of its own."""
    found = []
    for path in sorted(ROOT.rglob("*.yaml")):
        text = path.read_text()
        ours = path.parent.name == "rooms" or "images.van" in text
        if not ours and any(f".{head}," in text for head in SYSTEM):
            found.append(path)
    return found


@pytest.mark.parametrize("path", published_recipes(), ids=lambda path: str(path.relative_to(ROOT)))
def test_recipes_have_the_options_of_their_system(path: Path) -> None:
    """But for that of mmseg's CCNet, which says so."""
    config = yaml.safe_load(path.read_text())
    model = nn.Module()
    with torch.device("meta"):
        model.backbone, make_head = instantiate_parts(config, source=path.name)
        model.head = make_head(model.backbone.out_channels, 5)
    (system,) = [s for s in SYSTEMS if s.title == SYSTEM[type(model.head).__name__]]
    differ = [text.split(" ")[0] for text in differing_options(system, model)]
    mmseg = ["backbone.dilation", "backbone.ceil_pool", "head.inplace_abn", "head.align_corners"]
    assert differ == (mmseg if path.match("voc/ccnet*") else [])


def test_hrnet_of_the_original_is_not_paddles() -> None:
    model = nn.Module()
    with torch.device("meta"):
        model.backbone = HRNet(name="hrnet_w18_small")
    (ctnet,) = [system for system in SYSTEMS if system.title == SYSTEM["CTHead"]]
    assert differing_options(ctnet, model) == ["backbone.paddle is False, published True"]
