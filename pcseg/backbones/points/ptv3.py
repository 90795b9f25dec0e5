"""Sizes of Point Transformer V3, Sonata and Concerto, with published weights where they are wanted."""

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
    """Four resolutions and 1.8 million parameters: trains on two CPU cores.

    Most of the work of a room is at its finest resolution: there the stem has 3x3x3 places, and the decoder brings
    features back without a block.
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
    """The published PTv3 for S3DIS and ScanNet: five resolutions and 46 million parameters.

    Args:
        in_channels: Width of the input features.
        pretrained: File of published weights, which expect the features ``[color, normal]``.
    """
    network = PTv3(in_channels)
    if pretrained is not None:
        load_backbone(network, pretrained, ptv3_names)
        network.expect_unit_colors(0)
    return network


def sonata_small(in_channels: int, *, pretrained: Path | None = None, decoder: bool = False) -> PTv3:
    """The 39-million encoder of Sonata (``sonata_small``) and Concerto (``concerto_small``); see :class:`Sonata`."""
    return Sonata(in_channels, size="small", pretrained=pretrained, decoder=decoder)


def sonata_base(in_channels: int, *, pretrained: Path | None = None, decoder: bool = False) -> PTv3:
    """The 108-million encoder of Sonata (``sonata``) and Concerto (``concerto_base``); see :class:`Sonata`."""
    return Sonata(in_channels, size="base", pretrained=pretrained, decoder=decoder)


def sonata_large(in_channels: int, *, pretrained: Path | None = None, decoder: bool = False) -> PTv3:
    """The 208-million encoder of Concerto (``concerto_large``); see :class:`Sonata`."""
    return Sonata(in_channels, size="large", pretrained=pretrained, decoder=decoder)


class Sonata(PTv3):
    """The encoders of Sonata and Concerto in their published sizes.

    Args:
        in_channels: Width of the input features.
        size: ``small`` (39 million parameters), ``base`` (108) or ``large`` (208).
        pretrained: File of published weights, which expect the features ``[pos, color, normal]`` of voxels of 2 cm.
        decoder: Add the decoder of the fine-tuning configurations, which no published file fills.
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
        if pretrained is not None:
            load_backbone(self, pretrained, ptv3_names)
            self.expect_unit_colors(3)
