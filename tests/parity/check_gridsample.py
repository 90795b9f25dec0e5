"""Grid sampling against Pointcept's, in train and test mode, under the arithmetic of NumPy 1 and 2."""

import numpy as np
from golden import Golden

from pcseg.data.voxels import cell_offset, group_by_voxel


def check(golden: Golden) -> None:
    pos = golden["input.coord"]
    grid_size = golden.meta["args"]["grid_size"]
    dtype = np.dtype(golden.meta["scaled_coord_dtype"]).type
    offset = cell_offset(pos, grid_size, dtype=dtype)
    for key in ("fnv", "ravel"):
        groups = group_by_voxel(pos, grid_size, key=key, dtype=dtype)
        equal = np.testing.assert_array_equal
        equal(groups.keys, golden[f"output.key_{key}"])
        equal(groups.count, golden[f"output.count_{key}"])
        equal(groups.inverse, golden[f"output.train_{key}_stable.inverse"])
        equal(groups.grid_pos, golden[f"output.train_{key}.grid_coord"])
        equal(groups.grid_pos[groups.inverse], golden["output.grid_coord_all"])
        equal((groups.origin * grid_size)[None], golden[f"output.train_{key}.min_coord"])

        index = groups.pick(golden["input.train_draws"])
        equal(index, golden[f"output.train_{key}_stable.index"])
        equal(offset[index], golden[f"output.train_{key}_stable.displacement"])

        fragments = list(groups.fragments([pos]))
        equal([index for index, _ in fragments], golden[f"output.test_{key}_stable.index"])
        equal(
            [groups.pick(i) for i in range(groups.num_fragments)], golden[f"output.test_{key}_stable.index"]
        )
        for index, (rows,) in fragments:
            equal(rows, pos[index])
        index = fragments[0][0]
        projected = (offset[index] * golden["input.normal"][index]).sum(axis=-1, keepdims=True)
        official = golden[f"output.test_{key}_stable.projected_displacement0"]
        np.testing.assert_allclose(projected, official, rtol=0, atol=1e-14)  # another order of summation


CHECKS = {"gridsample": check}
