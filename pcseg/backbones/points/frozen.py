"""Probing of pretrained backbones: frozen weights, and the features of all resolutions at every voxel."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pcseg.backbones.contract import PointBackbone
from pcseg.backbones.points.feature_cache import FeatureCache
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.errors import UserError
from pcseg.nn.levels import Level, PointBatch

PTV3_DECODER = ("unpools", "dec")
"""Starts of the names of the modules of a PTv3 outside of its encoder."""


class Frozen(PointBackbone):
    """Backbone whose weights are frozen, to measure how good its features are.

    Args:
        backbone: Builds the backbone with its weights.
        learn: Names of modules of the backbone that are trained. ``[unpools, dec]`` of a PTv3 is decoder probing; no
            name is linear probing, with a linear head.
        cache: Folder for the features of a frozen encoder of a PTv3, which are then computed once per cloud. Training
            needs ``data.whole_rooms``, or every sample is a new cloud.

    Raises:
        UserError: ``learn`` names no module, or there is no frozen encoder to cache.

    Convention:
        Frozen modules stay in evaluation mode: running statistics are fixed, nothing is dropped, curves are not
        shuffled. A frozen encoder processes clouds one by one, with and without a cache.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        backbone: Callable[[int], PointBackbone],
        learn: Sequence[str] = (),
        cache: Path | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone(in_channels)
        self.out_channels = self.backbone.out_channels
        modules = dict(self.backbone.named_modules())
        unknown = [name for name in learn if name not in modules]
        if unknown:
            names = ", ".join(name for name, _ in self.backbone.named_children())
            raise UserError(
                f"learn: {type(self.backbone).__name__} has no module {unknown[0]!r}. Use some of {names}."
            )
        self.learn = tuple(learn)
        self.backbone.requires_grad_(False)
        for module in self._trained():
            module.requires_grad_(True)
        self.cache = None if cache is None else Path(cache)
        self.features: FeatureCache | None = None
        if isinstance(self.backbone, PTv3) and all(name.startswith(PTV3_DECODER) for name in learn):
            self.features = FeatureCache(self.backbone, self.cache)
        elif cache is not None:
            raise UserError(
                f"cache: the encoder of {type(self.backbone).__name__} is not a frozen PTv3. Freeze a PTv3, and "
                "put Upcast around it."
            )
        self.train()

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        self.backbone.eval()
        for module in self._trained():
            module.train(mode)
        return self

    def forward(self, batch: PointBatch) -> list[Level]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.learn)):
            if self.features is not None and isinstance(self.backbone, PTv3):
                return self.backbone.decode(self.features.encode(batch))
            return self.backbone(batch)

    def _trained(self) -> list[nn.Module]:
        return [self.backbone.get_submodule(name) for name in self.learn]


class Upcast(PointBackbone):
    """Backbone whose finest level also holds the features of all coarser levels, copied to their voxels.

    Sonata's linear probing classifies these features (Wu et al., CVPR 2025).

    Args:
        backbone: Builds the backbone.
    """

    def __init__(self, in_channels: int, *, backbone: Callable[[int], PointBackbone]) -> None:
        super().__init__()
        self.backbone = backbone(in_channels)
        widths = self.backbone.out_channels
        self.out_channels = [sum(widths), *widths[1:]]

    def forward(self, batch: PointBatch) -> list[Level]:
        finest, *coarser = self.backbone(batch)
        x = None
        for level, fine in zip(reversed(coarser), reversed([finest, *coarser[:-1]])):
            x = level.x if x is None else x
            assert level.parent is not None
            x = torch.cat([fine.x, x.index_select(0, level.parent)], 1)
        if x is not None:
            finest = replace(finest, x=x)
        return [finest, *coarser]
