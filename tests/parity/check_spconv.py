"""Our sparse convolutions against spconv, forward and gradients."""

import torch
from golden import Golden
from torch import Tensor

from pcseg.ops.kernel_lookup import Coarsening, coarsen, submanifold_map
from pcseg.ops.sparse_conv import inverse_conv, sparse_conv
from pcseg.ops.voxels import VoxelSet

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}


def voxel_set(indices: Tensor, batch_size: int) -> tuple[VoxelSet, Tensor]:
    """Voxels of spconv's (batch, c0, c1, c2) rows, and the row order that makes clouds contiguous."""
    order = indices[:, 0].long().argsort(stable=True)
    ptr = torch.bincount(indices[:, 0].long(), minlength=batch_size).cumsum(0)
    return VoxelSet(indices[order, 1:], torch.cat([ptr.new_zeros(1), ptr])), order


def rows_of(indices: Tensor, voxels: VoxelSet) -> Tensor:
    """Row in ``voxels`` of every (batch, c0, c1, c2); both must hold the same voxels."""
    ours = torch.cat([voxels.batch[:, None], voxels.grid_pos.long()], 1).tolist()
    number = {tuple(row): i for i, row in enumerate(ours)}
    theirs = [tuple(row) for row in indices.tolist()]
    assert number.keys() == set(theirs)
    return torch.tensor([number[row] for row in theirs])


def our_weight(weight: Tensor) -> Tensor:
    """``[out, k0, k1, k2, in]`` as ours; a 1x1x1 kernel is stored as if it were ``[in, out]``."""
    if weight[0, ..., 0].numel() == 1:
        return weight.reshape(1, weight.shape[-1], weight.shape[0])
    return weight.permute(1, 2, 3, 4, 0).flatten(0, 2)


def close(actual: Tensor, golden: Golden, key: str) -> None:
    # the official float32 gradients are themselves rounded sums of hundreds of products
    name = f"output.{key}" + ("64" if actual.dtype == torch.float64 else "")
    expected = golden.tensor(name)
    scale = max(1.0, float(expected.abs().max())) if "grad" in key else 1.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=TOLERANCE[actual.dtype] * scale)


def gradients(golden: Golden, out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad((out * golden.tensor("input.grad_out", out.dtype)).sum(), inputs)


def check_submanifold(golden: Golden) -> None:
    args = golden.meta["args"]
    voxels, order = voxel_set(golden.tensor("input.indices"), int(golden["input.batch_size"]))
    back = order.argsort()
    for dtype in TOLERANCE:
        x = golden.tensor("input.features", dtype).requires_grad_()
        weight = golden.tensor("weight.weight", dtype).requires_grad_()
        bias = (
            golden.tensor("weight.bias", dtype)
            if args["bias"]
            else torch.zeros(args["out_channels"], dtype=dtype)
        )
        bias.requires_grad_()
        kernel_map = submanifold_map(voxels, args["kernel_size"], args.get("dilation", 1))
        out = sparse_conv(x[order], our_weight(weight), kernel_map)[back] + bias
        close(out.detach(), golden, "features")
        if "input.grad_out" in golden:
            for key, grad in zip(
                ("grad_features", "grad_weight", "grad_bias"), gradients(golden, out, x, weight, bias)
            ):
                if f"output.{key}" in golden:
                    close(grad, golden, key)


def coarse_of(golden: Golden, voxels: VoxelSet, indices: str) -> tuple[Coarsening, Tensor, Tensor]:
    """Return our coarse voxels, our row of every official one, and which of ours lie in the official box.

    The official box has a fixed shape, which drops the last cell of an odd axis.
    """
    args = golden.meta["args"]
    step = coarsen(voxels, args["kernel_size"], args["stride"], padding=args["padding"])
    edges = torch.as_tensor(golden["input.spatial_shape"]) + 2 * args["padding"] - args["kernel_size"]
    pos = step.voxels.grid_pos
    inside = ((pos >= 0) & (pos <= edges // args["stride"])).all(1)
    kept = VoxelSet(pos[inside], torch.cat([inside.new_zeros(1).long(), inside.cumsum(0)])[step.voxels.ptr])
    return step, inside.nonzero().squeeze(1)[rows_of(golden.tensor(indices), kept)], inside


def check_strided(golden: Golden) -> None:
    voxels, order = voxel_set(golden.tensor("input.indices"), int(golden["input.batch_size"]))
    step, rows, _ = coarse_of(golden, voxels, "output.indices")
    for dtype in TOLERANCE:
        weight = our_weight(golden.tensor("weight.weight", dtype))
        x = golden.tensor("input.features", dtype)[order]
        out = sparse_conv(x, weight, step.kernel_map)
        close(out[rows], golden, "features")


def check_down_inverse(golden: Golden) -> None:
    voxels, order = voxel_set(golden.tensor("input.indices"), int(golden["input.batch_size"]))
    back = order.argsort()
    step, rows, inside = coarse_of(golden, voxels, "output.down.indices")
    kernel_map = step.kernel_map
    for dtype in TOLERANCE:
        x = golden.tensor("input.features", dtype).requires_grad_()
        down = golden.tensor("weight.down.weight", dtype).requires_grad_()
        inverse = golden.tensor("weight.inverse.weight", dtype).requires_grad_()
        middle = sparse_conv(x[order], our_weight(down), kernel_map) * inside[:, None]
        out = inverse_conv(middle, our_weight(inverse), kernel_map)[back]
        close(middle[rows].detach(), golden, "down.features")
        close(out.detach(), golden, "inverse.features")
        for key, grad in zip(
            ("grad_features", "down.grad_weight", "inverse.grad_weight"),
            gradients(golden, out, x, down, inverse),
        ):
            close(grad, golden, key)


CHECKS = {
    "spconv_subm": check_submanifold,
    "spconv_strided": check_strided,
    "spconv_down_inverse": check_down_inverse,
}
