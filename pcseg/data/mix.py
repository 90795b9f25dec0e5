"""Mix3D: two scenes in one cloud (Nekrasov et al., 2021)."""

from dataclasses import replace

import numpy as np

from pcseg.data.sample import Sample
from pcseg.data.voxels import group_cells


def mix(first: Sample, second: Sample, rng: np.random.Generator, *, grid_size: float) -> Sample:
    """Merge two voxelized samples, center on center, into one with a single point per voxel.

    Where both have a point in a voxel, one of the two is kept at random. Instances of ``second`` are numbered
    after those of ``first``. Heights remain relative to each sample's own ground.

    Convention:
        Samples move by whole voxels, so that two points of a sample never share a voxel. Normals are kept only if
        both have them.
    """
    parts = [_centered(sample, grid_size) for sample in (first, second)]
    shift = first.instance.max(initial=-1) + 1
    parts[1] = replace(parts[1], instance=np.where(second.instance < 0, -1, second.instance + shift))
    names = parts[0].arrays().keys() & parts[1].arrays().keys()
    merged = {name: np.concatenate([part.arrays()[name] for part in parts]) for name in names}
    groups = group_cells(list(merged["grid_pos"].T))
    union = Sample(name=f"{first.name}+{second.name}", **merged).take(groups.random_points(rng))
    return replace(union, grid_pos=groups.grid_pos)


def _centered(sample: Sample, grid_size: float) -> Sample:
    """Move a sample by whole voxels so that the center of its bounding box is in the voxel column (0, 0)."""
    assert sample.grid_pos is not None, "mix takes voxelized samples"
    if sample.num_points == 0:
        return sample
    cells = np.floor(sample.pos[:1] / np.float64(grid_size)).astype(np.int32)
    world = sample.grid_pos + (cells - sample.grid_pos[:1])
    middle = (world.min(axis=0) + world.max(axis=0)) // 2
    middle[2] = 0
    shift = (middle * grid_size).astype(np.float32)
    return replace(sample, pos=sample.pos - shift, grid_pos=world - middle)
