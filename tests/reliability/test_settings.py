"""Malformed settings on the command line, in YAML and from Python: one line each, and nothing is written."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import write_checkpoint
from helpers.damage import clear
from helpers.fakes import ConvBackbone, write_fake_building
from helpers.tiny_ptv3 import tiny
from helpers.training_runs import write_config

from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.cli import main
from pcseg.data.room_data import RoomData
from pcseg.errors import UserError
from pcseg.heads.base import Body
from pcseg.heads.encnet import EncBody
from pcseg.heads.linear import LinearHead
from pcseg.heads.slab import SlabBody
from pcseg.inference.device import choose_device
from pcseg.inference.images import ImageOptions
from pcseg.inference.points import PointOptions
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.training.schedules import OneCycle, Poly
from pcseg.training.train import train
from pcseg.training.trainer import TrainerOptions

NUMBERS = ("nan", ".nan", "inf", ".inf", "-.inf", "1e300", "-1e30", "9" * 23, "9" * 5000)

TRAIN = {
    "data.grid_size": ("0", "-1", "1e5"),
    "data.batch_size": ("0", "-2", "1000000000000000000", "1.5"),
    "data.loop": ("0", "1000000000000"),
    "data.num_workers": ("-1", "1000000000"),
    "data.max_voxels": ("0", "-5"),
    "data.mix_prob": ("-0.1", "1.1"),
    "data.val_fraction": ("2",),
    "data.features": ("[]", "[shade]"),
    "data.train_splits": ("[]", "[Area_9]"),
    "data.val_rooms": ("[]",),
    "optimizer.lr": ("-1", "1e13"),
    "optimizer.weight_decay": ("-0.1", "1e300"),
    "trainer.max_epochs": ("0", "-1", "1e9", "two"),
    "trainer.devices": ("0", "-3", "many"),
    "trainer.num_nodes": ("0",),
    "trainer.accumulate_grad_batches": ("0", "-1"),
    "trainer.gradient_clip_val": ("-1", "0"),
    "trainer.ema_decay": ("2", "1", "-0.5"),
    "trainer.check_val_every_n_epoch": ("0", "99"),
    "trainer.log_every_n_steps": ("0",),
    "trainer.voxel_budget": ("0", "-64"),
    "trainer.max_skipped_steps": ("0",),
    "trainer.precision": ("8-bit",),
    "trainer.accelerator": ("abacus",),
    "seed": ("-1", "4294967296", "0.5"),
    "head_lr_scale": ("-1",),
    "out": ("",),
    "no_such_option": ("1",),
}

EVERY_NUMBER = ("data.grid_size", "data.batch_size", "data.mix_prob", "trainer.devices", "optimizer.lr",
                "optimizer.weight_decay", "trainer.max_epochs", "trainer.gradient_clip_val", "trainer.ema_decay",
                "seed", "head_lr_scale")  # fmt: skip


def refusal(capsys: pytest.CaptureFixture[str], args: list[str]) -> str:
    """Run a command that must refuse its arguments; return the defects of its message, empty if there are none."""
    try:
        main(args)
    except SystemExit as stop:
        error = capsys.readouterr().err
        shown = " ".join(args[-2:])[:60]
        if stop.code not in (1, 2):
            return f"{shown}: status {stop.code}"
        if error.count("\n") != 1 or len(error) > 700 or not error.startswith("pcseg: error: "):
            return f"{shown}: {error[:1000]}"
        return ""
    return f"{args[-2:]}: accepted"


@pytest.mark.slow
def test_training_refuses_150_malformed_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    building = write_fake_building(tmp_path / "rooms", num_points=300)
    run = tmp_path / "run"
    config = write_config(tmp_path / "config.yaml", building, run)
    cases = [(key, value) for key, values in TRAIN.items() for value in values]
    cases += [(key, value) for key in EVERY_NUMBER for value in NUMBERS]
    assert len(cases) >= 150
    faults = [refusal(capsys, ["train", "--config", str(config), f"--{key}", value]) for key, value in cases]
    assert not any(faults), "\n".join(filter(None, faults))
    assert not run.exists()


YAMLS = {
    "cycle": b"data: &a {x: *a}\n",
    "repetition": b"a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b", ".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
    "brackets": b"[" * 5000,
    "braces": b"{a: " * 3000,
    "binary": bytes(range(256)) * 20,
    "latin": "out: Büro\n".encode("latin-1"),
    "twice": b"seed: 1\nseed: 2\n",
    "number": b"5\n",
    "list": b"- data\n- head\n",
    "empty value": b"out: ''\n",
    "text for a number": b"seed: zero\n",
    "tag": b"out: !!python/object/apply:os.system ['true']\n",
    "control": b"seed: \x07\n",
    "tabs": b"trainer:\n\tmax_epochs: 1\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", YAMLS)
def test_malformed_yaml(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(YAMLS[name])
    building = write_fake_building(tmp_path / "rooms", rooms={"Area_1": 2, "Area_5": 1}, num_points=50)
    config = write_config(tmp_path / "config.yaml", building, tmp_path / "run")
    assert not refusal(capsys, ["train", "--config", str(config), "--config", str(path)])
    assert not (tmp_path / "run").exists()


DESCRIPTIONS = {
    "empty name": "names: {0: '', 1: wall}",
    "two lines": 'names: {0: "wall\\nfloor", 1: door}',
    "enormous number": f"names: {{{'9' * 5000}: wall, 1: door}}",
    "large number": f"names: {{{'9' * 25}: wall, 1: door}}",
    "name of the data": 'names: [a, b]\nname: "x\\ny"',
    "split": "names: [a, b]\nsplit: {'../..': ['*.ply']}",
    "cycle": "names: &a [*a, b]",
    "brackets": "names: " + "[" * 3000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_malformed_description(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rooms.yaml"
    (tmp_path / "clouds").mkdir()
    path.write_text(f"root: clouds\n{DESCRIPTIONS[name]}\n")
    assert not refusal(capsys, ["prepare", "folder", str(path), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


OTHERS = (
    ["evaluate", "--margin", "1e30"], ["evaluate", "--fragments", "0"], ["evaluate", "--points_per_pass", "-1"],
    ["evaluate", "--boundary", "-1"], ["evaluate", "--boundary", ".nan"], ["evaluate", "--splits", "[]"],
    ["evaluate", "--splits", "[Area_77]"], ["evaluate", "--device", "meta"], ["evaluate", "--device", "cuda:99"],
    ["evaluate", "--device", "toaster"], ["evaluate", "--fragments", "few"], ["evaluate", "--protocol", "mine"],
)  # fmt: skip


@pytest.mark.slow
def test_evaluation_refuses_malformed_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    building = write_fake_building(tmp_path / "rooms", num_points=50)
    ckpt = write_checkpoint(tmp_path / "best.ckpt", building)
    given = ["--ckpt", str(ckpt), "--out", str(tmp_path / "out")]
    faults = [refusal(capsys, [args[0], *given, *args[1:]]) for args in OTHERS]
    scan = str(building / "Area_5" / "office_1.h5")
    for args in (["predict", "--margin", ".inf"], ["predict", "--out", ""], ["predict", "--up", "w"]):
        faults.append(refusal(capsys, [args[0], scan, *given, *args[1:]]))
    for args in (["visualize", "--port", "99999999"], ["visualize", "--max_points", "0"]):
        faults.append(refusal(capsys, [args[0], scan, *args[1:]]))
    for args in (["--points", "0"], ["--seed", "-1"], ["--workers", "1000000"], ["--areas", "0"]):
        faults.append(refusal(capsys, ["prepare", "rooms", str(tmp_path / "raw"), *args]))
    assert not any(faults), "\n".join(filter(None, faults))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "raw").exists()


def body(kind: type[Body]) -> Callable[..., Body]:
    return partial(kind, 8, 3, [], SubmanifoldConv)


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (TrainerOptions, {"max_epochs": True, "devices": -3, "ema_decay": float("nan"), "voxel_budget": 0}),
        (PointOptions, {"margin": 1e30, "fragments": 0, "points_per_pass": 2.5}),
        (ImageOptions, {"scales": (), "overlap": 1.0, "batch_size": 10**18}),
        (OneCycle, {"warmup": 1.0, "div": 0, "final_div": float("inf")}),
        (Poly, {"power": -1, "warmup": "much"}),
        (
            partial(SlabBody, 8, 3, [], SubmanifoldConv),
            {"width": -5, "slab_width": 0, "dropout": 1.5, "deep_weight": 1e9, "heads": -1},
        ),
        (
            partial(EncBody, 8, 3, [], SubmanifoldConv),
            {"num_codewords": 0, "presence_weight": -1.0, "reference_size": 0},
        ),
        (
            partial(SparseUNet, 4),
            {"channels": (32, -8), "layers": (1, -1), "base_channels": 0, "stem_kernel": 0},
        ),
        (tiny, {"patch_size": 0, "mlp_ratio": -1.0, "drop_path": 2.0, "enc_heads": (1, 0, 2)}),
    ],
)
def test_python_checks_the_same_types(make: Any, values: dict[str, Any]) -> None:
    make()
    for name, value in values.items():
        with pytest.raises(UserError) as error:
            make(**{name: value})
        assert not clear(error.value, name)


def test_python_checks_data_losses_and_optimizers(tmp_path: Path) -> None:
    building = write_fake_building(tmp_path / "rooms", num_points=50)
    for values in ({"grid_size": float("nan")}, {"batch_size": 0}, {"features": []}, {"loop": 10**12}):
        with pytest.raises(UserError, match=rf"^data\.{next(iter(values))}: "):
            RoomData(building, **values)  # pyright: ignore[reportArgumentType]
    for values in ({"ce": float("inf")}, {"class_weights": [1.0, -1.0]}, {"label_smoothing": 1.0}):
        with pytest.raises(UserError, match=rf"^loss\.{next(iter(values))}: "):
            SegmentationLoss(torch.ones(2), **values)  # pyright: ignore[reportArgumentType]
    data = RoomData(building, grid_size=0.3, batch_size=1)
    for values in ({"lr": float("inf")}, {"weight_decay": 1e300}, {"lr": -1.0}, {"momentum": 1.0}):
        with pytest.raises(UserError, match=r"^optimizer"):
            train(
                data=data, backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run",
                optimizer=lambda groups, values=values: torch.optim.AdamW(groups, **values),
            )  # fmt: skip
    with pytest.raises(UserError, match=r"^seed: -1 is out of range"):
        train(data=data, backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run", seed=-1)
    with pytest.raises(UserError, match="meta: not available"):
        choose_device("meta")
    assert not (tmp_path / "run").exists()


def test_loss_that_is_never_finite_yields_no_checkpoint(tmp_path: Path) -> None:
    class NoLoss(SegmentationLoss):
        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"ce": logits.sum() * float("nan")}

    building = write_fake_building(tmp_path / "rooms", num_points=50)
    data = RoomData(building, grid_size=0.3, batch_size=1)
    with pytest.raises(UserError, match="no step of 2 had a finite loss"):
        train(
            data=data, backbone=ConvBackbone, head=LinearHead, out=tmp_path / "run", loss=NoLoss,
            trainer=TrainerOptions(max_epochs=1, accelerator="cpu", progress_bar=False),
        )  # fmt: skip
    assert not list((tmp_path / "run").glob("*.ckpt"))
