"""Our Point Transformer V3 against Pointcept's: curves, all resolutions, the insides of blocks, and gradients."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

import torch
from check_spconv import rows_of
from golden import Golden
from helpers.published_points import load_published_points, published_state
from helpers.published_ptv3 import FlashLevel, PublishedPTv3
from torch import Tensor, nn
from torch_geometric.data import Data

from pcseg.backbones.points.ptv3_blocks import PatchAttention
from pcseg.backbones.points.ptv3_network import Encoded, PTv3
from pcseg.backbones.points.ptv3_rotary import Rotary
from pcseg.nn.levels import Level
from pcseg.ops.voxels import VoxelSet

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
INSIDE_FLOAT32 = ("enable_rpe", "enable_flash")
"""Options with which the official path computes in float32 throughout."""
RENAMED = {
    "enc_num_head": "enc_heads", "dec_num_head": "dec_heads", "stride": "strides", "order": "curves",
    "enable_rpe": "relative_position", "enc_patch_size": "patch_size", "enable_flash": "flash",
}  # fmt: skip
SAME = ("enc_channels", "enc_depths", "dec_channels", "dec_depths", "mlp_ratio", "qkv_bias", "qk_scale", "pre_norm",
        "layer_scale", "mask_token", "drop_path")  # fmt: skip
ROTARY = {"rope_base": "base", "shift_coords": "shift", "jitter_coords": "jitter", "rescale_coords": "rescale",
          "dec_rope_enable": "decoder"}  # fmt: skip
DRAWS = ("input.rope_shift", "input.rope_log_jitter", "input.rope_log_rescale")
WITHOUT_EFFECT = ("in_channels", "enc_mode", "shuffle_orders", "dec_patch_size", "upcast_attention", "upcast_softmax",
                  "traceable", "attn_drop", "proj_drop", "freeze_encoder")  # fmt: skip
"""Taken otherwise, or without an effect on the numbers in evaluation."""


def options(args: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Our constructor's arguments for those of the official one."""
    known = {*RENAMED, *SAME, *ROTARY, *WITHOUT_EFFECT}
    assert not args.keys() - known, "an argument that we do not know"
    ours = {
        RENAMED.get(name, name): value
        for name, value in args.items()
        if name not in WITHOUT_EFFECT and name not in ROTARY
    }
    if args.get("rope_base"):
        given = {ours: args[name] for name, ours in ROTARY.items() if args.get(name) is not None}
        ours["rotary"] = Rotary(**given)
    if args.get("enc_mode"):
        ours |= {"dec_channels": (), "dec_depths": (), "dec_heads": ()}
    else:
        levels = len(args["dec_patch_size"])
        assert args["dec_patch_size"] == args["enc_patch_size"][:levels], (
            "wrongly grouped in the official code"
        )
    return ours | {"variant": variant}


def build(golden: Golden, variant: str, dtype: torch.dtype) -> PTv3:
    args = golden.meta["args"]
    draws = [golden.tensor(key) for key in DRAWS if key in golden]
    network = PublishedPTv3(
        args["in_channels"], shuffles=shuffles_of(golden), draws=draws, **options(args, variant)
    )
    if args.get("freeze_encoder"):
        for frozen in (network.stem, network.enc, network.pools):
            frozen.requires_grad_(False)
    report = load_published_points(golden.section("weight."), network)
    assert not report.unexpected + report.missing + report.ignored
    return network.to(dtype).eval()


def batch_of(golden: Golden, dtype: torch.dtype) -> Data:
    offset = golden.tensor("input.offset").long()
    ptr = torch.cat([offset.new_zeros(1), offset])
    x = golden.tensor("input.feat", dtype).requires_grad_()
    pos = golden.tensor("input.coord", dtype)
    if "input.grid_size" in golden:
        corner = golden.tensor("input.coord").amin(0)
        grid_pos = ((golden.tensor("input.coord") - corner) / float(golden["input.grid_size"])).int()
        assert torch.equal(grid_pos, golden.tensor("output.grid_coord_input"))
    else:
        grid_pos = golden.tensor("input.grid_coord")
    return Data(x=x, pos=pos.requires_grad_(), grid_pos=grid_pos, ptr=ptr)


def shuffles_of(golden: Golden) -> list[Tensor] | None:
    """The permutations that the official code drew; none where it did not shuffle."""
    drawn = golden.section("input.perm.")
    return [drawn[str(i)] for i in range(len(drawn))] or None


class Recorder:
    """What the modules that official names stand for returned last."""

    def __init__(self, network: PTv3) -> None:
        self.seen: dict[str, Tensor] = {}
        self._watch(network.stem, "embedding")
        if network.mask_token is not None:
            network.enc[0].blocks[0].register_forward_pre_hook(self._keep_input("embedding"))
        for side, stages in (("enc", network.enc), ("dec", network.dec)):
            for s, stage in enumerate(stages):
                block = stage.get_submodule("blocks.0")
                self._watch(stage, f"{side}.{side}{s}")
                self._watch(block.get_submodule("position"), f"{side}.{side}{s}.block0.cpe")
                self._watch(block.get_submodule("attention"), f"{side}.{side}{s}.block0.attn")
        for s, pool in enumerate(network.pools):
            self._watch(pool, f"enc.enc{s + 1}.down")
        for s, unpool in enumerate(network.unpools):
            self._watch(unpool, f"dec.dec{s}.up")

    def _watch(self, module: nn.Module, name: str) -> None:
        def keep(_module: nn.Module, _inputs: tuple, output: Any) -> None:
            self.seen[name] = output[0] if isinstance(output, tuple) else output

        module.register_forward_hook(keep)

    def _keep_input(self, name: str):
        def keep(_module: nn.Module, inputs: tuple) -> None:
            self.seen[name] = inputs[0]

        return keep


def close(actual: Tensor, golden: Golden, key: str, rows: Tensor | None = None) -> None:
    exact = actual.dtype == torch.float64 and key + "64" in golden
    loose = not is_utonia(golden) and any(golden.meta["args"].get(option) for option in INSIDE_FLOAT32)
    tolerance = TOLERANCE[torch.float64] if exact and not loose else TOLERANCE[torch.float32]
    if exact and loose:
        tolerance = 1e-5
    actual = actual.detach().double() if rows is None else actual.detach().double()[rows]
    expected = golden.tensor(key + "64" if exact else key).double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance, msg=lambda text: f"{key}: {text}")


def is_utonia(golden: Golden) -> bool:
    return "m3" in golden.meta["official_class"]


def file_rows(golden: Golden, encoded: list[Encoded]) -> list[Tensor | None]:
    """Return our row for every row of the file, of every resolution; ``None`` where they are the same."""
    rows: list[Tensor | None] = [None]
    for s, stage in enumerate(encoded[1:], 1):
        down = f"output.mid.enc.enc{s}.down"
        indices = torch.cat([golden.tensor(f"{down}.batch")[:, None], golden.tensor(f"{down}.grid_coord")], 1)
        rows.append(rows_of(indices, stage.level.voxels))
    return rows


def check_levels(
    golden: Golden, encoded: list[Encoded], rows: list[Tensor | None], recorder: Recorder
) -> None:
    """Every intermediate result; those of coarser resolutions by their coordinates, whatever their order."""
    for s, stage in enumerate(encoded[1:], 1):
        down, fine = f"output.mid.enc.enc{s}.down", rows[s - 1]
        parent = stage.parent if fine is None else stage.parent[fine]
        assert torch.equal(parent, rows[s][golden.tensor(f"{down}.pooling_inverse")]), down
        assert sorted(set(stage.level.depths)) == [int(golden[f"{down}.serialized_depth"])], down
        check_order(golden, f"{down}.serialized", stage.level, rows[s])
        if stage.level.coord is not None:
            close(stage.level.coord, golden, f"{down}.coord", rows[s])
    for key in golden.arrays:
        if key.startswith("output.mid.") and key.endswith(".feat"):
            name = key.removeprefix("output.mid.").removesuffix(".feat")
            stage = name.split(".")[1] if "." in name else "enc0"
            assert name in recorder.seen, f"{key} is not compared"
            close(recorder.seen[name], golden, key, rows[int(stage[3:])])


def check_order(golden: Golden, key: str, level: Any, rows: Tensor) -> None:
    """The rows along every curve, and with them the codes, of one resolution."""
    depth = int(golden[f"{key}_depth"])
    codes, orders = golden.tensor(f"{key}_code"), golden.tensor(f"{key}_order")
    for number, (code, order) in enumerate(zip(codes, orders)):
        ours = level.codes(level.curves[number])[rows]
        batch = level.voxels.batch[rows]
        assert torch.equal(ours ^ batch << 48, code ^ batch << 3 * depth), f"{key}_code {number}"
        assert torch.equal(level.permutation(number).order, rows[order]), f"{key}_order {number}"


def mask_of(golden: Golden) -> Tensor | None:
    return golden.tensor("input.mask") if "input.mask" in golden else None


def check_gradients(golden: Golden, out: Tensor, batch: Data, network: PTv3) -> None:
    (out * golden.tensor("input.grad_out", out.dtype)).sum().backward()
    for name, tensor in (("feat", batch.x), ("coord", batch.pos)):
        if f"output.grad_{name}64" in golden:
            expected = golden.tensor(f"output.grad_{name}64")
            torch.testing.assert_close(tensor.grad, expected, rtol=1e-9, atol=1e-9)
    for parameter in network.parameters():
        parameter.data = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    gradients = published_state(network)
    names = golden["output.grad_norm_names"].tolist()
    for name, expected in zip(names, golden["output.grad_norms64"].tolist()):
        assert abs(float(gradients[name].norm()) - expected) <= 1e-9 * max(1.0, expected), name
    for name, expected in golden.section("output.grad_param64.").items():
        torch.testing.assert_close(gradients[name], expected, rtol=1e-9, atol=1e-9)


def check_upcast(golden: Golden, levels: list[Level]) -> None:
    """Features at the finest resolution: the first steps concatenate, the others copy."""
    for key, expected in golden.section("output.upcast.").items():
        x, steps = levels[-1].x, int(key.split(".")[0])
        for step, (fine, coarse) in enumerate(reversed(list(pairwise(levels)))):
            x = x[coarse.parent]
            x = torch.cat([fine.x, x], 1) if step < steps else x
        torch.testing.assert_close(x.float(), expected, rtol=0, atol=TOLERANCE[torch.float32])


def output_of(golden: Golden, levels: list[Level], rows: list[Tensor | None]) -> Tensor:
    """Return the features of the finest level, or of an encoder's coarsest one in the order of the file."""
    return levels[-1].x[rows[-1]] if golden.meta["args"].get("enc_mode") else levels[0].x


def check(golden: Golden, variant: str) -> None:
    weights = golden.section("weight.")
    for dtype in TOLERANCE:
        network = build(golden, variant, dtype)
        for name, tensor in published_state(network).items():
            if not name.endswith("num_batches_tracked"):
                assert torch.equal(tensor, weights[name].to(dtype)), name
        batch, recorder = batch_of(golden, dtype), Recorder(network)
        encoded = network.encode(batch, mask=mask_of(golden))
        levels = network.decode(encoded)
        assert [level.x.shape[1] for level in levels] == network.out_channels
        rows = file_rows(golden, encoded)
        check_levels(golden, encoded, rows, recorder)
        out = output_of(golden, levels, rows)
        close(out, golden, "output.feat")
        check_upcast(golden, levels)
        if "input.grad_out" in golden and dtype == torch.float64:
            check_gradients(golden, out, batch, network)


def check_rounded(golden: Golden, variant: str) -> None:
    """The numbers of flash attention, which takes and returns bfloat16 inside a float32 network.

    Where our float32 numbers round up and the official ones down, a query, key or value changes by one spacing of
    bfloat16, and this change spreads. A feature may therefore differ by two spacings at the greatest value of its
    row, but rounding has to explain most of the difference to the exact numbers.
    """
    network = build(golden, variant, torch.float32)
    project = PatchAttention._project
    for name, module in network.named_modules():
        if name.endswith("attention.proj"):
            module.register_forward_pre_hook(lambda _module, inputs: (rounded(inputs[0]),))
    with mock.patch.object(PatchAttention, "_project", lambda *args: tuple(map(rounded, project(*args)))):
        encoded = network.encode(batch_of(golden, torch.float32))
        levels = network.decode(encoded)
    found = output_of(golden, levels, file_rows(golden, encoded))
    expected, exact = golden.tensor("output.feat_bf16"), golden.tensor("output.feat")
    difference = (found - expected).abs()
    spacing = torch.finfo(torch.bfloat16).eps * torch.exp2(
        expected.abs().amax(1, keepdim=True).log2().floor()
    )
    assert (difference <= 2 * spacing).all()
    assert difference.square().mean() <= (exact - expected).square().mean() / 2


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)


def check_published(variant: str, golden: Golden) -> None:
    check(golden, variant)
    if "output.feat_bf16" in golden:
        check_rounded(golden, variant)


def check_point_serialization(golden: Golden) -> None:
    batch = golden.tensor("input.offset").long()
    ptr = torch.cat([batch.new_zeros(1), batch])
    voxels = VoxelSet(golden.tensor("input.grid_coord"), ptr)
    assert torch.equal(voxels.batch, golden.tensor("output.batch"))
    level = FlashLevel.finest(voxels, golden.meta["orders"], strides=())
    depth = int(golden["output.depth"])
    assert level.depths == [depth] * voxels.num_clouds
    for number, (code, order, inverse) in enumerate(
        zip(*(golden.tensor(f"output.{name}") for name in ("code", "order", "inverse")))
    ):
        ours = level.codes(level.curves[number])
        assert torch.equal(ours ^ voxels.batch << 48, code ^ voxels.batch << 3 * depth)
        found = level.permutation(number)
        assert torch.equal(found.order, order)
        assert torch.equal(found.inverse, inverse)


CHECKS = {
    "ptv3": partial(check_published, "ptv3"),
    "sonata": partial(check_published, "sonata"),
    "point_serialization": check_point_serialization,
}
