"""Our codes along space-filling curves against Pointcept's, bit for bit."""

import torch
from golden import Golden

from pcseg.ops.serialization import encode

CURVES = ("z", "z-trans", "hilbert", "hilbert-trans")


def check_codes(golden: Golden) -> None:
    grid_pos, batch = golden.tensor("input.grid_coord"), golden.tensor("input.batch")
    depth = int(golden["input.depth"])
    for curve in CURVES:
        key = f"output.{curve.replace('-', '_')}"
        code = encode(grid_pos, curve, depth)
        assert torch.equal(code, golden.tensor(key)), curve
        assert torch.equal(code | batch.long() << 3 * depth, golden.tensor(f"{key}_batched")), curve
        each = torch.full((len(grid_pos),), depth)
        assert torch.equal(encode(grid_pos, curve, each), code), curve


CHECKS = {"serialization": check_codes}
