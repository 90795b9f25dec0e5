"""The precision of predictions: what it does, where it is refused, and that scores state it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.checkpoints import write_checkpoint
from helpers.fake_gpu import fake_gpu
from helpers.fakes import write_fake_building
from helpers.models import FEATURES, ConvModel, sample_room
from torch import nn

from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate
from pcseg.inference.device import Precision, choose_device, evaluating
from pcseg.inference.points import PointOptions, predict_scene


def test_half_precision_predicts_nearly_the_same() -> None:
    model, room, dtypes = ConvModel(), sample_room(400), set()
    model.register_forward_hook(lambda module, inputs, output: dtypes.add(output.logits.dtype))
    full, half = (
        predict_scene(
            model, room, grid_size=0.2, features=FEATURES, options=PointOptions(precision=precision)
        )
        for precision in ("fp32", "bf16")
    )
    assert dtypes == {torch.float32, torch.bfloat16}
    assert half.confidence.dtype == np.float32
    assert 0 < np.abs(full.confidence - half.confidence).max() < 0.05


def test_scores_state_the_precision(tmp_path: Path) -> None:
    building = write_fake_building(tmp_path / "rooms", num_points=300)
    ckpt, records = write_checkpoint(tmp_path / "model.ckpt", building), []
    for precision in ("fp32", "bf16"):
        evaluate(ckpt=ckpt, out=tmp_path / precision, precision=precision, fragments=1, progress_bar=False)
        records.append(json.loads((tmp_path / precision / "results.json").read_text())["provenance"])
    assert [record["precision"] for record in records] == ["fp32", "bf16"]
    assert records[0]["predictions"] != records[1]["predictions"], "stored predictions are not shared"


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_a_cpu_refuses(precision: Precision) -> None:
    with pytest.raises(UserError, match=f"--precision {precision}: needs a GPU. Use fp32 or bf16."):
        choose_device("cpu", precision)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_an_old_gpu_refuses(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu():
        assert choose_device("auto", precision).type == "cuda"
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
        assert choose_device("auto", "fp16").type == "cuda"
        with pytest.raises(
            UserError, match=f"--precision {precision}: emulated does not support it. Use fp32 or fp16"
        ):
            choose_device("auto", precision)


def test_products_on_a_gpu() -> None:
    """TF32 is on or off while a network predicts, and as before afterwards."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = matmul.fp32_precision, conv.fp32_precision
    with fake_gpu():
        network = nn.Linear(2, 2).to("cuda")
        for precision, expected in (("tf32", "tf32"), ("fp32", "ieee")):
            with evaluating(network, precision):
                assert (matmul.fp32_precision, conv.fp32_precision) == (expected, expected)
            assert (matmul.fp32_precision, conv.fp32_precision) == before


def test_unknown_precision() -> None:
    with pytest.raises(UserError, match="--precision"), evaluating(nn.Linear(2, 2), "int8"):  # type: ignore[arg-type]
        pass
