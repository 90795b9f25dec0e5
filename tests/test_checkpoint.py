"""Checkpoints: what cannot be loaded is reported on one line, and a file is read once."""

from pathlib import Path

import pytest
import torch
from helpers.checkpoints import write_checkpoint
from helpers.fakes import write_fake_building

from pcseg.checkpoint import KEY, Checkpoint, load_checkpoint, read_checkpoint, without_pretrained
from pcseg.errors import UserError


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_checkpoint(folder / "model.ckpt", write_fake_building(folder / "building", num_points=100))


def changed(checkpoint: Checkpoint, **card: object) -> Checkpoint:
    content = checkpoint.content | {KEY: checkpoint.content[KEY] | card}
    return Checkpoint(checkpoint.path, content)


def test_a_checkpoint_is_read_once(ckpt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read(path))
    model = load_checkpoint(ckpt)
    assert reads == [ckpt]
    assert len(model.hash) == 16
    assert not model.network.training


def test_what_does_not_fit_is_one_line(ckpt: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(ckpt)
    weights = dict(checkpoint.content["state_dict"])
    weights["extra"] = weights.pop(next(iter(weights)))
    for damaged, message in [
        (changed(checkpoint, format_version=9), r"checkpoint format 9, written by pcseg .* Use a matching version"),
        (changed(checkpoint, hue="red"), r"unknown fields hue, .* Update pcseg"),
        (changed(checkpoint, config={}), r"trained from Python without `config`"),
        (Checkpoint(ckpt, {"weight": 1}), r"not a pcseg checkpoint"),
        (Checkpoint(ckpt, checkpoint.content | {"state_dict": weights}), r"weights do not fit .*extra"),
    ]:  # fmt: skip
        with pytest.raises(UserError, match=message) as error:
            damaged.model()
        assert "\n" not in str(error.value)
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(UserError, match="not a pcseg checkpoint"):
        load_checkpoint(tmp_path / "list.ckpt")


def test_only_our_backbones_lose_their_pretrained_files() -> None:
    inner = {
        "class_path": "pcseg.backbones.points.ptv3.Sonata",
        "init_args": {"pretrained": "a.pth", "decoder": True},
    }
    config = {"class_path": "mine.Wrapper", "init_args": {"pretrained": True, "backbone": inner}}
    stripped = without_pretrained(config)
    assert stripped["init_args"]["pretrained"] is True
    assert stripped["init_args"]["backbone"]["init_args"] == {"decoder": True}
    assert (
        without_pretrained("pcseg.backbones.points.ptv3.ptv3_base") == "pcseg.backbones.points.ptv3.ptv3_base"
    )
