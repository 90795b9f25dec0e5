"""A tiny PTv3 and random clouds for it."""

import torch
from helpers.dense_conv import random_voxels
from torch_geometric.data import Batch, Data

from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.ptv3_rotary import Rotary


def tiny(variant: str = "ptv3", **options) -> PTv3:
    """Three resolutions, patches of 8 voxels; all parameters at work."""
    decoder = {"dec_channels": (8, 16), "dec_depths": (1, 1), "dec_heads": (1, 2)}
    shape = {"enc_depths": (1, 2, 1), "drop_path": 0.0, "patch_size": 8, "mlp_ratio": 2.0} | decoder
    if variant == "utonia":
        rotary = Rotary(scale=0.5, jitter=1.1, rescale=1.2)
        widths = {"enc_channels": (12, 12, 24), "dec_channels": (12, 12)}
        shape |= {"variant": "sonata", "rotary": rotary, **widths}
    else:
        shape |= {"variant": variant, "enc_channels": (8, 16, 16)}
    network = PTv3(3, **{"enc_heads": (1, 2, 2), "strides": (2, 2), **shape, **options})
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.double().eval()


def cloud(size: int, seed: int = 0, edge: int = 9) -> Data:
    voxels = random_voxels([size], seed=seed, edge=edge)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, dtype=torch.float64, generator=generator)
    pos = 0.1 * (voxels.grid_pos + torch.rand(size, 3, dtype=torch.float64, generator=generator))
    return Data(x=x, pos=pos, grid_pos=voxels.grid_pos, num_nodes=size)


def batch_of(*clouds: Data) -> Batch:
    return Batch.from_data_list(list(clouds))
