"""Our sparse U-Net against Pointcept's SpUNet-v1m1, forward, intermediates and gradients."""

import torch
from check_spconv import rows_of
from golden import Golden
from helpers.published_points import load_published_points, published_state, round_trip
from torch import Tensor, nn
from torch_geometric.data import Data

from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.nn.levels import Level

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def build(golden: Golden, dtype: torch.dtype) -> tuple[SparseUNet, nn.Linear | None]:
    """The network of the file with the file's weights; an encoder's file has none for the decoder."""
    args = golden.meta["args"]
    backbone = SparseUNet(
        args["in_channels"],
        channels=args["channels"],
        layers=args["layers"],
        base_channels=args["base_channels"],
    )
    width = args["channels"][len(args["channels"]) // 2 - 1 if args.get("enc_mode") else -1]
    classify = nn.Linear(width, args["num_classes"]) if args["num_classes"] else None
    report = load_published_points(golden.section("weight."), backbone, classify)
    assert not report.unexpected
    assert all(
        args.get("enc_mode") and name.startswith(("backbone.up.", "backbone.dec.")) for name in report.missing
    )
    if classify is not None:
        classify.to(dtype)
    return backbone.to(dtype).eval(), classify


def batch_of(golden: Golden, dtype: torch.dtype) -> Data:
    offset = golden.tensor("input.offset").long()
    ptr = torch.cat([offset.new_zeros(1), offset])
    x = golden.tensor("input.feat", dtype).requires_grad_()
    return Data(x=x, grid_pos=golden.tensor("input.grid_coord"), ptr=ptr)


def close(actual: Tensor, golden: Golden, key: str) -> None:
    key += "64" if actual.dtype == torch.float64 and key + "64" in golden else ""
    # intermediates are stored in float32 alone
    tolerance = TOLERANCE[actual.dtype] if golden[key].dtype != "float32" else TOLERANCE[torch.float32]
    torch.testing.assert_close(actual.double(), golden.tensor(key).double(), rtol=0, atol=tolerance)


def check_level(level: Level, golden: Golden, key: str) -> None:
    rows = rows_of(golden.tensor(f"{key}.indices"), level.voxels)
    close(level.x.detach()[rows], golden, f"{key}.features")


def check_gradients(out: Tensor, x: Tensor, backbone: nn.Module, classify: nn.Linear, golden: Golden) -> None:
    (out * golden.tensor("input.grad_out", out.dtype)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, golden.tensor("output.grad_feat64"), rtol=1e-9, atol=1e-9)
    for parameter in (*backbone.parameters(), *classify.parameters()):
        parameter.data = parameter.grad
    gradients = published_state(backbone, classify)
    names = golden["output.grad_norm_names"].tolist()
    for name, expected in zip(names, golden["output.grad_norms64"].tolist()):
        assert abs(float(gradients[name].norm()) - expected) <= 1e-9 * max(1.0, expected), name


def check(golden: Golden) -> None:
    for dtype in TOLERANCE:
        backbone, classify = build(golden, dtype)
        batch = batch_of(golden, dtype)
        encoded = backbone.encode(batch)
        check_level(encoded[0], golden, "output.mid.conv_input")
        for s, level in enumerate(encoded[1:]):
            check_level(level, golden, f"output.mid.enc.{s}")
        if golden.meta["args"].get("enc_mode"):
            assert classify is not None
            last = encoded[-1]
            out = torch.segment_reduce(classify(last.x), "mean", lengths=last.voxels.ptr.diff(), axis=0)
        else:
            levels = backbone(batch)
            for s, level in enumerate(levels[:-1]):
                check_level(level, golden, f"output.mid.dec.{s}")
            assert [level.x.shape[1] for level in levels] == backbone.out_channels
            out = levels[0].x if classify is None else classify(levels[0].x)
        close(out.detach(), golden, "output.feat")
        if "input.grad_out" in golden and dtype == torch.float64 and classify is not None:
            check_gradients(out, batch.x, backbone, classify, golden)


def check_round_trip(golden: Golden) -> None:
    """Weights survive the way in and out unchanged."""
    backbone, classify = build(golden, torch.float32)
    back = published_state(backbone, classify)
    for name, expected in golden.section("weight.").items():
        assert torch.equal(back[name], expected), name
        assert torch.equal(round_trip(name, expected, spunet=True), expected)


def check_all(golden: Golden) -> None:
    check_round_trip(golden)
    check(golden)


CHECKS = {"spunet": check_all}
