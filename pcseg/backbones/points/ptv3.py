"""Presets of Point Transformer V3, Sonata, Concerto and Utonia, optionally with published weights."""

import logging
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.backbones.points.ptv3_rotary import Rotary
from pcseg.errors import UserError
from pcseg.official.files import read_weights
from pcseg.official.hub import published_file
from pcseg.official.loading import load_backbone
from pcseg.official.names.name_map import prefix_before
from pcseg.official.names.points import NON_COMMERCIAL, SONATA_STEM, ptv3_kind, ptv3_names
from pcseg.official.names.points import UTONIA as UTONIA_TITLE

logger = logging.getLogger(__name__)

SONATA = {
    "small": ((32, 64, 128, 256, 512), (2, 2, 2, 6, 2)),
    "base": ((48, 96, 192, 384, 512), (3, 3, 3, 12, 3)),
    "large": ((64, 128, 256, 512, 768), (3, 3, 3, 12, 3)),
}
"""Widths and numbers of blocks of the stages."""

UTONIA = {
    "tiny": ((18, 36, 72, 144, 216), (2, 2, 2, 6, 2)),
    "small": ((36, 72, 144, 288, 432), (2, 2, 2, 6, 2)),
    "base": ((54, 108, 216, 432, 576), (3, 3, 3, 12, 3)),
}
"""Widths, of heads with 18 channels, and numbers of blocks of the stages."""


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


def ptv3_base(in_channels: int, *, pretrained: Path | None = None, recompute: bool = False) -> PTv3:
    """Return the published PTv3 for ScanNet: five resolutions and 46 million parameters.

    Args:
        pretrained: File of published weights, which expect the features ``[color, normal]``.
        recompute: See :class:`~pcseg.backbones.points.ptv3_network.PTv3`.
    """
    return _with_weights(PTv3(in_channels, recompute=recompute), pretrained)


def ptv3_rpe(in_channels: int, *, pretrained: Path | None = None) -> PTv3:
    """Return the published PTv3 for S3DIS: as :func:`ptv3_base`, with relative positions in patches of 128 voxels.

    Args:
        pretrained: File of published weights, which expect the features ``[color, normal]``.
    """
    return _with_weights(PTv3(in_channels, patch_size=128, relative_position=True), pretrained)


def _with_weights(network: PTv3, pretrained: Path | None, *, pos: bool = False) -> PTv3:
    """Fill a network with published weights for the features ``[color, normal]``, or ``[pos, color, normal]``."""
    if pretrained is not None:
        load_backbone(network, published_file(Path(pretrained)), ptv3_names)
        if network.variant == "sonata":
            _report_license()
        network.expect_published_input(color=3 if pos else 0, pos=0 if pos else None)
    return network


@cache
def _report_license() -> None:
    """Log the license of Sonata, Concerto and Utonia, once per process."""
    logger.warning("License of the pretrained weights: %s.", NON_COMMERCIAL)


class Sonata(PTv3):
    """The encoders of Sonata and Concerto in their published sizes.

    Args:
        size: ``small`` (39 million parameters), ``base`` (108) or ``large`` (208).
        pretrained: File of published weights, or ``sonata`` to download them. They expect the features
            ``[pos, color, normal]`` of 2 cm voxels.
        decoder: Add the decoder of the fine-tuning configurations, for which no weights are published.
        recompute: See :class:`~pcseg.backbones.points.ptv3_network.PTv3`.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        size: Literal["small", "base", "large"] = "base",
        pretrained: Path | None = None,
        decoder: bool = False,
        recompute: bool = False,
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
            recompute=recompute,
        )
        _with_weights(self, pretrained, pos=True)


class Utonia(PTv3):
    """The encoder of Utonia (Zhang et al., 2026) in its published sizes: a Sonata with rotary embeddings.

    Args:
        size: ``tiny`` (9 million parameters), ``small`` (37) or ``base`` (137; the one with published weights).
        pretrained: File of published weights, or ``utonia`` to download them. They expect the features
            ``[pos, color, normal]`` of voxels of 0.01 / ``scale`` meters.
        decoder: Add the decoder of the fine-tuning configurations, for which no weights are published.
        scale: Units of the network per meter: 0.5 indoors, 0.2 for outdoor LiDAR, 4 for table-top scenes.
        recompute: See :class:`~pcseg.backbones.points.ptv3_network.PTv3`.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        size: Literal["tiny", "small", "base"] = "base",
        pretrained: Path | None = None,
        decoder: bool = False,
        scale: float = 0.5,
        recompute: bool = False,
    ) -> None:
        channels, depths = UTONIA[size]
        heads = [width // 18 for width in channels]
        super().__init__(
            in_channels,
            variant="sonata",
            enc_channels=channels,
            enc_depths=depths,
            enc_heads=heads,
            dec_channels=channels[:-1] if decoder else (),
            dec_depths=(2, 2, 2, 2) if decoder else (),
            dec_heads=heads[:-1] if decoder else (),
            rotary=Rotary(scale=scale, jitter=1.1, rescale=1.2),
            recompute=recompute,
        )
        _with_weights(self, pretrained, pos=True)


def published_encoder(weights: Path) -> PTv3:
    """Return the encoder of Sonata, Concerto or Utonia whose weights a file holds, for published features.

    Raises:
        UserError: The file cannot be read, or its weights are not those of a published size.
    """
    path = published_file(weights)
    state = read_weights(path)
    prefix = prefix_before(SONATA_STEM, state)
    width = 0 if prefix is None else len(state[f"{prefix}{SONATA_STEM}"])
    is_utonia = ptv3_kind(state) == UTONIA_TITLE
    size: Any = next(
        (name for name, (widths, _) in (UTONIA if is_utonia else SONATA).items() if widths[0] == width), None
    )
    if size is None:
        raise UserError(f"{path}: not an encoder of Sonata, Concerto or Utonia. Choose one of their files.")
    network: Any = (
        Utonia(9, size=size, pretrained=path, scale=1.0)
        if is_utonia
        else Sonata(9, size=size, pretrained=path)
    )
    network.expect_published_input(color=None, pos=None)
    return network
