"""The adapter that puts a body on the features of an image backbone."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.errors import UserError, require
from pcseg.heads.base import BodyFactory, Head, HeadOutput, require_fusion
from pcseg.losses.cloud_classes import class_shares
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.nn.levels import ImageBatch
from pcseg.nn.tokens import LocalConv, PixelConv, Pixels, to_image, to_tokens
from pcseg.values import Weight, checked

MIN_SIZE = 2
"""Smallest height and width of the features: in a single row or column, context sees nothing but padding."""


@checked("head.")
class ImageHead(Head):
    """A body on the last feature of an image backbone.

    Args:
        channels: Channels of the features, finest first.
        num_classes: K.
        body: Makes the body that computes the logits.
        laterals: Further features that the body fuses, which must have the size of the last one; negative numbers
            count from the end.
        auxiliary: Makes a body on the feature before the last, or on the only one; default: none.
        aux_weight: Factor of the cross-entropy of the auxiliary logits; 0 removes the auxiliary body.
        align_corners: Whether logits are resized with the centers of the corner pixels kept in place (EncNet and
            CCNet as released) or with the corners of the image kept in place (CTNet).
        local: Makes the local convolutions of the bodies.

    Convention:
        Auxiliary logits are computed in training mode only.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        body: BodyFactory,
        laterals: Sequence[int] = (),
        auxiliary: BodyFactory | None = None,
        aux_weight: Weight = 0.4,
        align_corners: bool = False,
        local: LocalConv = PixelConv,
    ) -> None:
        super().__init__()
        count = len(channels)
        for i in laterals:
            require(-count <= i < count, "head.laterals", i, f"The backbone has {count} features.")
        self.num_classes, self.channels, self.laterals = num_classes, list(channels), list(laterals)
        self.aux_weight, self.align_corners = aux_weight, align_corners
        self.body = body(channels[-1], num_classes, [channels[i] for i in laterals], local)
        require_fusion(self.body, laterals)
        self.auxiliary = None
        if auxiliary is not None and aux_weight > 0:
            self.auxiliary = auxiliary(channels[max(len(channels) - 2, 0)], num_classes, [], local)

    @property
    def is_local(self) -> bool:
        return self.body.is_local

    def forward(self, levels: Sequence[Tensor], batch: ImageBatch) -> HeadOutput:
        height, width = batch.image.shape[2:]
        self._check(levels, (height, width))
        x, pixels = to_tokens(levels[-1])
        options = {}
        if self.body.needs_truth:
            y = self._labels_of_features(batch.labels, (pixels.height, pixels.width)).flatten()
            rows = torch.arange(len(x), device=x.device)
            options["truth"] = class_shares(y, rows, len(x), self.num_classes)
        output = self.body(x, pixels, [to_tokens(levels[i])[0] for i in self.laterals], **options)
        aux = dict(output.clouds)
        if output.embedding is not None:
            aux["embedding"] = to_image(output.embedding, pixels)
        if output.deep_logits is not None and self.training:
            aux["deep_logits"] = self._resize(output.deep_logits, pixels, (height, width))
        if self.auxiliary is not None and self.training:
            x, aux_pixels = to_tokens(levels[max(len(levels) - 2, 0)])
            aux["aux_logits"] = self._resize(
                self.auxiliary(x, aux_pixels).logits, aux_pixels, (height, width)
            )
        return HeadOutput(logits=self._resize(output.logits, pixels, (height, width)), aux=aux)

    def losses(self, output: HeadOutput, batch: ImageBatch) -> dict[str, Tensor]:
        y = batch.labels
        pixels = Pixels(batch_size=y.shape[0], height=y.shape[1], width=y.shape[2], device=y.device)
        losses = self.body.cloud_losses(output.aux, y.flatten(), pixels.ptr)
        if "embedding" in output.aux:
            embedding = output.aux["embedding"]
            small = self._labels_of_features(y, (embedding.shape[2], embedding.shape[3]))
            losses |= self.body.token_losses(to_tokens(embedding)[0], small.flatten())
        if "deep_logits" in output.aux:
            losses["deep"] = self.body.deep_weight * cross_entropy(output.aux["deep_logits"], y.flatten())
        if "aux_logits" in output.aux:
            losses["aux"] = self.aux_weight * cross_entropy(output.aux["aux_logits"], y.flatten())
        return losses

    def _labels_of_features(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the labels ``(B, h, w)`` of the pixels at the centers of the features."""
        if not self.align_corners:
            return F.interpolate(y[:, None].double(), size, mode="nearest-exact")[:, 0].long()
        return corner_aligned_labels(y, size)

    def _resize(self, logits: Tensor, pixels: Pixels, size: tuple[int, int]) -> Tensor:
        """Return logits ``(N, K)`` of features as logits of the pixels of an image of ``size``.

        Convention:
            Classes come first in memory, because the loss on a CPU runs along classes.
        """
        if size == (pixels.height, pixels.width):
            return logits
        classes = to_image(logits, pixels).transpose(0, 1).contiguous()
        classes = F.interpolate(classes, size, mode="bilinear", align_corners=self.align_corners)
        return classes.flatten(1).t()

    def _check(self, levels: Sequence[Tensor], size: tuple[int, int]) -> None:
        found = [level.shape[1] for level in levels]
        if found != self.channels:
            raise UserError(f"head: built for features of {self.channels} channels, but got {found}.")
        rows, columns = levels[-1].shape[2:]
        if min(rows, columns) < MIN_SIZE and (rows, columns) != size:
            raise UserError(
                f"head: images of {size[1]} x {size[0]} pixels give {columns} x {rows} features, fewer than "
                f"{MIN_SIZE} x {MIN_SIZE}. Increase data.crop_size or choose a backbone with a smaller stride."
            )
        for i in self.laterals:
            if levels[i].shape[2:] != levels[-1].shape[2:]:
                sizes = [tuple(levels[j].shape[2:]) for j in (i, -1)]
                raise UserError(
                    f"head.laterals: features have sizes {sizes[0]} and {sizes[1]}. Choose features of one size."
                )


def corner_aligned_labels(y: Tensor, size: Sequence[int]) -> Tensor:
    """Resize labels ``(B, H, W)`` to ``(B, h, w)``: the nearest ones, with the corner pixels kept in place."""

    def nearest(old: int, new: int) -> Tensor:
        step = (old - 1) / (new - 1) if new > 1 else 0.0
        return (torch.arange(new, device=y.device, dtype=torch.float64) * step + 0.5).floor().long()

    rows, columns = (nearest(old, new) for old, new in zip(y.shape[1:], size))
    return y[:, rows[:, None], columns]
