"""A rotated room has the lines of the unrotated one in its estimated axes, and a CCNet sees the same voxels."""

from functools import partial

import numpy as np
import pytest
import torch
from benchmarks.cloud_parts import scan
from studies.rotated_lines import quarter_turned, reach

from pcseg.data.rooms import in_room_axes
from pcseg.data.sample import Sample
from pcseg.data.transforms.geometry import rotation, turn
from pcseg.data.voxels import group_by_voxel
from pcseg.heads import PointHead, RCCABody
from pcseg.nn.levels import Level
from pcseg.ops.segment import segment_mean
from pcseg.ops.voxels import VoxelSet


def room() -> Sample:
    pos, _ = scan(2)
    nothing = np.zeros(len(pos), np.int16)
    return Sample(
        name="room",
        pos=pos.astype(np.float32),
        color=np.zeros((len(pos), 3), np.uint8),
        label=nothing,
        instance=nothing,
    )


@pytest.mark.slow
def test_reach_of_a_rotated_room() -> None:
    straight, turned = room(), turn(room(), rotation("z", np.radians(27)))
    by_file, by_walls = reach(turned, 0.2), reach(in_room_axes(turned)[0], 0.2)
    expected = reach(in_room_axes(straight)[0], 0.2)
    assert abs(by_walls - expected) < 0.02 * expected
    assert by_file < 0.9 * expected


def logits(sample: Sample, head: PointHead) -> np.ndarray:
    """Return the logits of the points; features of a voxel are the mean position of its points in the room."""
    groups = group_by_voxel(sample.pos, 0.2)
    centered = torch.from_numpy(sample.pos - sample.pos.mean(0))
    rows = torch.from_numpy(groups.inverse)
    x = segment_mean(centered, rows, groups.num_voxels)
    grid_pos = torch.from_numpy(groups.grid_pos)
    sites = VoxelSet(grid_pos, torch.tensor([0, len(grid_pos)]))
    return head([Level(x=x, sites=sites)], None).logits[rows].detach().numpy()


@pytest.mark.slow
def test_logits_of_a_rotated_room_change_by_the_error_of_its_frame() -> None:
    torch.manual_seed(0)
    head = PointHead([3], 5, level=0, body=partial(RCCABody, width=32)).eval()
    head.body.attention.gamma.data.fill_(1.0)
    straight = in_room_axes(room())[0]
    expected = logits(straight, head)
    for degrees in (13, 27, 45):
        raw = turn(room(), rotation("z", np.radians(degrees)))
        found = logits(quarter_turned(in_room_axes(raw)[0], straight), head)
        error, unaligned = (np.abs(each - expected).mean() for each in (found, logits(raw, head)))
        assert error < 0.1 * expected.std()
        assert error < 0.3 * unaligned
