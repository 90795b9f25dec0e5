"""Presets of Point Transformer V3, Sonata and Concerto, optionally with published weights."""

from pathlib import Path
from typing import Literal

from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.official.loading import load_backbone
from pcseg.official.names.points import ptv3_names

SONATA = {
    "small": ((32, 64, 128, 256, 512), (2, 2, 2, 6, 2)),
    "base": ((48, 96, 192, 384, 512), (3, 3, 3, 12, 3)),
    "large": ((64, 128, 256, 512, 768), (3, 3, 3, 12, 3)),
}
"""Widths and numbers of blocks of the stages."""


def ptv3_small(in_channels: int) -> PTv3:
    """Return a PTv3 of four resolutions and 1.8 million parameters that trains on two CPU cores.

    Most of the work for a room is at its finest resolution. There the stem has a 3x3x3 kernel, and the decoder has
    no block.
    """
    return PTv3(
        in_channels,
        enc_channels=(32, 64, 96, 128),
        enc_depths=(1, 1, 1, 1),
        enc_heads=(2, 4, 6, 8),
        dec_channels=(64, 64, 96),
        dec_depths=(0, 1, 1),
        dec_heads=(4, 4, 6),
        strides=(2, 2, 2),
        stem_kernel=3,
        patch_size=128,
        drop_path=0.0,
    )


def ptv3_base(in_channels: int, *, pretrained: Path | None = None) -> PTv3:
    """Return the published PTv3 for ScanNet: five resolutions and 46 million parameters.

    Args:
        pretrained: File of published weights, which expect the features ``[color, normal]``.
    """
    return _with_weights(PTv3(in_channels), pretrained, color=0)


def ptv3_rpe(in_channels: int, *, pretrained: Path | None = None) -> PTv3:
    """Return the published PTv3 for S3DIS: as :func:`ptv3_base`, with relative positions in patches of 128 voxels.

    Args:
        pretrained: File of published weights, which expect the features ``[color, normal]``.
    """
    return _with_weights(PTv3(in_channels, patch_size=128, relative_position=True), pretrained, color=0)


def _with_weights(network: PTv3, pretrained: Path | None, *, color: int) -> PTv3:
    """Fill a network with published weights, which expect color from 0 to 1 at channel ``color`` of the input."""
    if pretrained is not None:
        load_backbone(network, Path(pretrained), ptv3_names)
        network.expect_unit_colors(color)
    return network


class Sonata(PTv3):
    """The encoders of Sonata and Concerto in their published sizes.

    Args:
        size: ``small`` (39 million parameters), ``base`` (108) or ``large`` (208).
        pretrained: File of published weights, which expect the features ``[pos, color, normal]`` of 2 cm voxels.
        decoder: Add the decoder of the fine-tuning configurations, for which no weights are published.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        size: Literal["small", "base", "large"] = "base",
        pretrained: Path | None = None,
        decoder: bool = False,
    ) -> None:
        channels, depths = SONATA[size]
        super().__init__(
            in_channels,
            variant="sonata",
            enc_channels=channels,
            enc_depths=depths,
            enc_heads=[width // 16 for width in channels],
            dec_channels=(64, 96, 192, 384) if decoder else (),
            dec_depths=(2, 2, 2, 2) if decoder else (),
            dec_heads=(4, 6, 12, 24) if decoder else (),
        )
        _with_weights(self, pretrained, color=3)
