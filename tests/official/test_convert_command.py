"""``pcseg convert``: the report, a model card where there is data, and one-line errors."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.fake_images import write_images
from helpers.heads import published_encnet
from helpers.published import DEPTHS, STEM, WIDTHS, encnet_state

from pcseg.checkpoint import load_checkpoint
from pcseg.cli import main
from pcseg.data.images.batch import ImageBatch
from pcseg.errors import UserError

K = 13


def write_config(folder: Path, root: Path, dataset: str = "room_frames") -> Path:
    shape = {"depths": list(DEPTHS), "widths": list(WIDTHS), "stem": "s", "stem_width": STEM[0]}
    config: dict[str, Any] = {
        "data": {
            "class_path": "pcseg.data.images.image_data.ImageData",
            "init_args": {"root": str(root), "dataset": dataset},
        },
        "backbone": {"class_path": "pcseg.backbones.images.resnet.ResNet", "init_args": shape},
        "head": published_encnet(width=6, num_codewords=5),
        "out": str(folder / "run"),
    }
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.save(encnet_state(num_classes=K), tmp_path / "official.pth")
    return tmp_path / "official.pth"


@pytest.mark.slow
def test_with_data_the_file_is_a_checkpoint(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = write_config(tmp_path, write_images(tmp_path / "frames", "room_frames"))
    out = tmp_path / "new" / "converted.ckpt"
    main(["convert", str(source), str(out), "--config", str(config)])
    output = capsys.readouterr().out
    assert "EncNet of PyTorch-Encoding: " in output
    assert "It can be evaluated directly." in output
    model = load_checkpoint(out)
    batch = ImageBatch(image=torch.randn(1, 3, 32, 32), labels=torch.zeros(1, 32, 32).long(), names=["a"])
    assert model.network(batch).logits.shape == (32 * 32, K)
    names = out.with_name("converted.ckpt.txt").read_text()
    assert "head.conv6.1.bias -> head.body.classify.bias" in names
    assert "missing here" not in names


@pytest.mark.slow
def test_without_data_it_starts_a_training_only(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = write_config(tmp_path, tmp_path / "nowhere")
    main(["convert", str(source), str(tmp_path / "converted.ckpt"), "--config", str(config)])
    output = capsys.readouterr().out
    assert "It cannot be evaluated directly: " in output
    assert "nowhere" in output
    with pytest.raises(UserError, match="not a pcseg checkpoint"):
        load_checkpoint(tmp_path / "converted.ckpt")


@pytest.mark.slow
def test_errors_take_one_line_and_leave_no_file(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "converted.ckpt"

    def error(*args: object, status: int = 1) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["convert", *map(str, args)])
        assert stop.value.code == status
        return capsys.readouterr().err

    assert "nowhere.yaml: not a file" in error(source, out, "--config", tmp_path / "nowhere.yaml")
    assert "--config: give the configuration" in error(source, out, status=2)
    torch.save(encnet_state(num_classes=4), source)
    config = write_config(tmp_path, write_images(tmp_path / "frames", "room_frames"))
    found = error(source, out, "--config", config)
    assert re.search(r"data has 13 classes .*, the checkpoint has 4", found)
    assert "--partail" in error(source, out, "--config", config, "--partail", "true", status=2)
    assert not out.exists()
