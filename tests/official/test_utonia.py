"""Utonia: conversion from the package's and Pointcept's checkpoints, license, download by name."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.fakes import write_fake_building
from helpers.heads import part, point_head
from helpers.published_points import published_state
from helpers.tiny_ptv3 import batch_of, cloud
from torch import Tensor, nn
from torch_geometric.data import Data

from pcseg.backbones.points import ptv3
from pcseg.backbones.points.ptv3 import Utonia
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.ptv3_rotary import Rotary
from pcseg.cli import main
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError
from pcseg.inference.predict import predict
from pcseg.labels import S3DIS
from pcseg.official import hub
from pcseg.official.convert import convert

FEATURES = ["height", "color", "pos", "normal"]
ENCODER = {
    "enc_channels": [12, 24],
    "enc_depths": [1, 1],
    "enc_heads": [1, 2],
    "strides": [2],
    "patch_size": 8,
}
ALONE = {"dec_channels": [], "dec_depths": [], "dec_heads": []}
DECODER = {"dec_channels": [12], "dec_depths": [1], "dec_heads": [1]}


def network(in_channels: int = 10, **options: Any) -> PTv3:
    """Return an encoder without zero parameters."""
    made = PTv3(in_channels, variant="sonata", **{**ENCODER, **ALONE, "rotary": Rotary(), **options})
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.rand(parameter.shape)
    return made.eval()


def settings(scale: float = 0.5, variant: str = "sonata", **options: Any) -> dict[str, Any]:
    rotary = {"scale": scale} if variant == "sonata" else None
    shape = {**ENCODER, **ALONE, **options}
    backbone = part("backbones.points.ptv3_network.PTv3", variant=variant, rotary=rotary, **shape)
    data = part("data.room_data.RoomData", root="nowhere", features=FEATURES)
    return {"backbone": backbone, "head": point_head("FCNBody", level=0), "data": data, "out": "run"}


def save(folder: Path, state: dict[str, Tensor], **more: Any) -> Path:
    torch.save({"state_dict": state, **more}, folder / "utonia.pth")
    return folder / "utonia.pth"


PACKAGE = {"prefix": "", "more": {"config": {"rope_base": 10, "enc_mode": True}}}
PRETRAINING = {"prefix": "module.student.backbone.", "more": {"epoch": 3}}


@pytest.mark.slow
@pytest.mark.parametrize("origin", [PACKAGE, PRETRAINING], ids=["package", "Pointcept"])
@pytest.mark.parametrize("decoder", [ALONE, DECODER], ids=["encoder", "decoder"])
def test_converted_encoder_computes_the_same(
    origin: dict, decoder: dict, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    theirs = network(mask_token=True)
    prefix = origin["prefix"]
    state = {prefix + name: tensor for name, tensor in published_state(theirs).items()}
    if "student" in prefix:
        state |= {name.replace("student", "teacher"): tensor + 1 for name, tensor in state.items()}
        state["module.student.mask_head.weight"] = torch.zeros(2, 2)
    source = save(tmp_path, state, **origin["more"])
    file, out = tmp_path / "model.yaml", tmp_path / "utonia.ckpt"
    file.write_text(yaml.safe_dump(settings(**decoder)))
    main(["convert", str(source), str(out), "--config", str(file)])
    printed = capsys.readouterr().out
    assert printed.count("CC BY-NC 4.0") == 1
    assert f"Utonia: {len(published_state(theirs)) - 1} tensors taken" in printed
    assert "attn.rope.inv_freq -> backbone.enc.0" in out.with_name("utonia.ckpt.txt").read_text()
    made = network(rotary=Rotary(scale=0.5), **decoder)
    found = torch.load(out, weights_only=True)["state_dict"].items()
    report = made.load_state_dict({k.removeprefix("backbone."): v for k, v in found}, strict=False)
    assert not report.unexpected_keys
    assert all(name.startswith(("dec.", "unpools.")) for name in report.missing_keys)
    one = cloud(60)
    x, pos = torch.rand(60, 10), torch.rand(60, 3) * 3
    ours = x.clone()
    ours[:, 1:4] -= 0.5
    ours[:, 4:7] *= 2  # meters here, units of half a meter there
    batch, reference = (
        batch_of(Data(x=x, pos=pos, grid_pos=one.grid_pos, num_nodes=60))
        for x, pos in ((ours, 2 * pos), (x, pos))
    )
    for level, expected in zip(made.encode(batch), theirs.encode(reference)):
        torch.testing.assert_close(level.x, expected.x, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_converted_model_predicts(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    theirs, classify = network(7, **DECODER), nn.Linear(12, S3DIS.num_classes)
    state = {f"module.backbone.{name}": tensor for name, tensor in published_state(theirs).items()}
    state |= {f"module.seg_head.{name}": tensor for name, tensor in classify.state_dict().items()}
    root, features = write_fake_building(tmp_path / "building", num_points=300), ["pos", "color", "height"]
    data = part(
        "data.room_data.RoomData", root=str(root), features=features, grid_size=0.3, missing_color="zero"
    )
    file, out = tmp_path / "model.yaml", tmp_path / "utonia.ckpt"
    file.write_text(yaml.safe_dump(settings(**DECODER) | {"head": part("heads.LinearHead"), "data": data}))
    main(["convert", str(save(tmp_path, state)), str(out), "--config", str(file)])
    assert "It can be evaluated directly." in capsys.readouterr().out
    scan = tmp_path / "scan.ply"
    write_ply(scan, dict(zip("xyz", 3 * torch.rand(3, 400).numpy())))
    found = predict(scan, out, units="m", up="z")
    assert len(found.label) == 400
    assert any("constant (0, 0, 0)" in remark for remark in found.remarks)
    state.pop("module.backbone.dec.dec0.block0.attn.rope.inv_freq")
    with pytest.raises(SystemExit):
        main(["convert", str(save(tmp_path, state)), str(out), "--config", str(file)])
    assert "lacks backbone.dec.0.blocks.0.attention.rotary.inv_freq" in capsys.readouterr().err


@pytest.mark.slow
def test_converting_other_weights(tmp_path: Path) -> None:
    sonata = save(tmp_path, published_state(network(rotary=None)))
    with pytest.raises(UserError, match="holds weights of Sonata or Concerto, but --config names"):
        convert(sonata, settings())
    utonia = save(tmp_path, published_state(network()))
    for variant in ("ptv3", "sonata"):
        other = settings(variant=variant)
        other["backbone"]["init_args"]["rotary"] = None
        with pytest.raises(UserError, match="holds weights of Utonia, but --config names"):
            convert(utonia, other)
    state = published_state(network())
    del state["enc.enc1.block0.attn.rope.inv_freq"]
    with pytest.raises(UserError, match=r"lacks backbone\.enc\.1\.blocks\.0\.attention\.rotary\.inv_freq"):
        convert(save(tmp_path, state), settings())
    utonia.write_bytes(utonia.read_bytes()[:-500])
    with pytest.raises(UserError, match=r"utonia\.pth: not a PyTorch file that can be read safely"):
        convert(utonia, settings())


@pytest.mark.slow
def test_full_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = Utonia(9)
    path = save(tmp_path, published_state(theirs))
    ptv3._report_license.cache_clear()
    with caplog.at_level(logging.WARNING):
        made = Utonia(9, pretrained=path).eval()
        ptv3._report_license()
    assert caplog.text.count("CC BY-NC 4.0") == 1
    for name, tensor in theirs.state_dict().items():
        if not name.startswith("input_"):
            assert torch.equal(made.state_dict()[name], tensor), name
    one = cloud(80)
    with torch.no_grad():
        levels = made(
            batch_of(Data(x=torch.rand(80, 9), pos=torch.rand(80, 3), grid_pos=one.grid_pos, num_nodes=80))
        )
    assert [level.x.shape[1] for level in levels] == [54, 108, 216, 432, 576]
    assert made.input_scale.tolist() == [0.5] * 3 + [1] * 6
    assert made.input_shift.tolist() == [0] * 3 + [0.5] * 3 + [0] * 3


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, bytes]]:
    """Serve files by path as the hub does."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(hub, "HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield files
    server.shutdown()
    server.server_close()


def test_download_by_name(host: dict[str, bytes], capsys: pytest.CaptureFixture) -> None:
    content = b"weights" * 1000
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(content).hexdigest()}\nsize 7\n"
    host["/Pointcept/Utonia/raw/main/utonia.pth"] = pointer.encode()
    host["/Pointcept/Utonia/resolve/main/utonia.pth"] = content[:-1]
    message = (
        r"cannot download utonia .*Get http.*/Pointcept/Utonia/resolve/main/utonia.pth on another machine"
    )
    with pytest.raises(UserError, match=message):  # not what the checksum belongs to
        hub.published_file(Path("utonia"))
    host["/Pointcept/Utonia/resolve/main/utonia.pth"] = content
    path = hub.published_file(Path("utonia"))
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["utonia.pth"]
    host.clear()
    assert hub.published_file(Path("utonia")) == path, "downloaded once"


def test_no_network(host: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HOST", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot download utonia.*give the path of the file"):
        Utonia(9, size="tiny", pretrained=Path("utonia"))
    assert hub.published_file(Path("weights/utonia.pth")) == Path("weights/utonia.pth")
