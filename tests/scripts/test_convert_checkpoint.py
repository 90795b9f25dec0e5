"""The command that converts checkpoints: report, model card where there is data, and one line for what is wrong."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from helpers.fake_images import write_images
from helpers.published import DEPTHS, STEM, WIDTHS, encnet_state
from helpers.script_modules import load_script

from pcseg.checkpoint import load_checkpoint
from pcseg.errors import UserError

K = 13


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("convert_checkpoint")


def write_config(folder: Path, root: Path, dataset: str = "room_frames") -> Path:
    shape = {"depths": list(DEPTHS), "widths": list(WIDTHS), "stem": "s", "stem_width": STEM[0]}
    config: dict[str, Any] = {
        "data": {
            "class_path": "pcseg.data.images.image_data.ImageData",
            "init_args": {"root": str(root), "dataset": dataset},
        },
        "backbone": {"class_path": "pcseg.backbones.images.resnet.ResNet", "init_args": shape},
        "head": {
            "class_path": "pcseg.heads.encnet.EncHead",
            "init_args": {"channels": 6, "num_codewords": 5},
        },
        "out": str(folder / "run"),
    }
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.save(encnet_state(num_classes=K), tmp_path / "official.pth")
    return tmp_path / "official.pth"


def test_with_data_the_file_is_a_checkpoint(
    script: ModuleType, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = write_config(tmp_path, write_images(tmp_path / "frames", "room_frames"))
    out = tmp_path / "new" / "converted.ckpt"
    script.main([str(source), str(out), "--config", str(config)])
    said = capsys.readouterr().out
    assert "EncNet of PyTorch-Encoding: " in said
    assert "It can be evaluated as it is." in said
    model = load_checkpoint(out)
    assert model.network.head(model.network.backbone(torch.randn(1, 3, 32, 32))).logits.shape[1] == K
    names = out.with_name("converted.ckpt.txt").read_text()
    assert "head.conv6.1.bias -> head.body.classify.bias" in names
    assert "missing here" not in names


def test_without_data_it_starts_a_training_only(
    script: ModuleType, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = write_config(tmp_path, tmp_path / "nowhere")
    script.main([str(source), str(tmp_path / "converted.ckpt"), "--config", str(config)])
    said = capsys.readouterr().out
    assert "It cannot be evaluated as it is: " in said
    assert "nowhere" in said
    with pytest.raises(UserError, match="not a checkpoint of pcseg"):
        load_checkpoint(tmp_path / "converted.ckpt")


def test_what_is_wrong_is_one_line_and_leaves_no_file(
    script: ModuleType, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "converted.ckpt"
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such configuration"):
        script.main([str(source), str(out), "--config", str(tmp_path / "nowhere.yaml")])
    torch.save(encnet_state(num_classes=4), source)
    config = write_config(tmp_path, write_images(tmp_path / "frames", "room_frames"))
    with pytest.raises(UserError, match=r"data has 13 classes .*, the checkpoint has 4"):
        script.main([str(source), str(out), "--config", str(config)])
    assert not out.exists()
