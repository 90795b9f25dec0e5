"""The networks and batches that ``scripts/gpu_check.sh`` measures, and how it measures them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from benchmarks.conv import surface_voxels
from torch import Tensor

from pcseg.backbones.points.ptv3 import ptv3_base
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.sparse_unet import SparseUNet, sparse_unet_base
from pcseg.heads import LinearHead
from pcseg.labels import S3DIS
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.network import Network
from pcseg.ops import triton_conv

CLASSES = S3DIS.num_classes
TINY_UNET = partial(
    SparseUNet, base_channels=16, channels=(16, 16, 16, 16), layers=(1, 1, 1, 1), stem_kernel=3
)
TINY_PTV3 = partial(
    PTv3, enc_channels=(16, 32), enc_depths=(1, 1), enc_heads=(2, 2), dec_channels=(16,), dec_depths=(1,),
    dec_heads=(2,), strides=(2,), stem_kernel=3, patch_size=32,
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Device and size of the measurements."""

    device: str = "cuda"
    small: bool = False

    @property
    def has_triton(self) -> bool:
        return self.device == "cuda" and triton_conv.usable(torch.device(self.device, 0))

    @property
    def clouds(self) -> int:
        return 2 if self.small else 8

    @property
    def voxels(self) -> int:
        """Voxels per cloud."""
        return 150 if self.small else 100_000

    @property
    def rounds(self) -> int:
        return 1 if self.small else 5

    def unet(self, head: Callable = LinearHead) -> Network:
        return self.network(TINY_UNET if self.small else sparse_unet_base, head)

    def ptv3(self) -> Network:
        return self.network(TINY_PTV3 if self.small else ptv3_base, LinearHead)

    def network(self, backbone: Callable, head: Callable) -> Network:
        torch.manual_seed(0)
        return Network(backbone, head, in_channels=4, schema=S3DIS).to(self.device)

    def batch(self) -> Any:
        """Return rooms of voxels; every step builds its kernel maps."""
        rooms = [surface_voxels(seed, self.voxels) for seed in range(self.clouds)]
        grid_pos, ptr = torch.cat(rooms).to(self.device), torch.tensor([0, *map(len, rooms)]).cumsum(0)
        x = torch.randn(len(grid_pos), 4, generator=torch.Generator().manual_seed(0)).to(self.device)
        y = torch.arange(len(grid_pos), device=self.device) % (CLASSES + 1) - 1
        return SimpleNamespace(
            x=x, pos=0.05 * grid_pos, grid_pos=grid_pos, ptr=ptr.to(self.device), y=y, num_graphs=self.clouds
        )

    def autocast(self, dtype: torch.dtype = torch.bfloat16) -> torch.autocast:
        return torch.autocast(self.device, dtype)

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def ms(self, function: Callable[[], object], *, rounds: int | None = None) -> float:
        """Return the median of the milliseconds that a call takes, after two calls that compile and allocate."""
        times, first = [], 0 if self.small else 2
        for _ in range(first + (self.rounds if rounds is None or self.small else rounds)):
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            times.append(1000 * (time.perf_counter() - start))
        return round(float(np.median(times[first:])), 3)


class Step:
    """One training step of a network, in parts."""

    def __init__(self, setting: Setting, network: Network, *, half: bool = True) -> None:
        self.setting, self.network = setting, network.train()
        self.optimizer = torch.optim.AdamW(network.parameters())
        self.loss = SegmentationLoss(torch.ones(CLASSES))
        self.precision = setting.autocast() if half else nullcontext()

    def forward(self, batch: Any) -> Tensor:
        with self.precision:
            output = self.network(batch)
            losses = self.loss(output.logits, batch.y) | self.network.head.losses(output, batch)
            return torch.stack(list(losses.values())).sum()

    def __call__(self, batch: Any) -> None:
        self.forward(batch).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Compute sparse convolutions in plain PyTorch."""
    with patch.object(triton_conv, "usable", lambda _: False):
        yield
