"""Image heads: pixels as tokens, and the adapter around a context body."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.base import Head, HeadOutput
from pcseg.heads.context import ContextBody
from pcseg.losses.auxiliary import auxiliary_loss
from pcseg.losses.ohem import corner_aligned_labels
from pcseg.nn.levels import ImageBatch

LEAST_FEATURES = 2
"""Fewest rows and columns of features: with one, context and convolutions see nothing but padding."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Sites of the pixels of a batch of images, as tokens in (image, y, x) order.

    Args:
        batch_size, height, width: B, H and W.
        device: Of the tokens.
        origin: Tokens and the images that they were made of, which convolutions then need not make again.
    """

    batch_size: int
    height: int
    width: int
    device: torch.device
    origin: tuple[Tensor, Tensor] | None = field(default=None, repr=False, compare=False)

    @property
    def ptr(self) -> Tensor:
        return torch.arange(self.batch_size + 1, device=self.device) * (self.height * self.width)


def to_tokens(image: Tensor) -> tuple[Tensor, Pixels]:
    """Pixels of images ``(B, C, H, W)`` as tokens ``(B*H*W, C)``, and where they are.

    Convention:
        The tokens of a single image are a view of it.
    """
    batch_size, _, height, width = image.shape
    tokens = image.permute(0, 2, 3, 1).flatten(0, 2)
    origin = (tokens, image)
    return tokens, Pixels(
        batch_size=batch_size, height=height, width=width, device=image.device, origin=origin
    )


def to_image(tokens: Tensor, pixels: Pixels) -> Tensor:
    """Tokens ``(B*H*W, C)`` as images ``(B, C, H, W)``: those they came from, or a view, channels last."""
    if pixels.origin is not None and tokens is pixels.origin[0]:
        return pixels.origin[1]
    shape = (pixels.batch_size, pixels.height, pixels.width, tokens.shape[1])
    return tokens.view(shape).permute(0, 3, 1, 2)


class PixelConv(nn.Conv2d):
    """A convolution of odd size with zero padding, on tokens that are pixels.

    Convention:
        On a CPU it works on planes, one a channel, on which it is up to a third faster than on tokens.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)

    def forward(self, x: Tensor | Sequence[Tensor], pixels: Pixels) -> Tensor:  # type: ignore[override]
        """Tokens ``(N, in_channels)``, or several side by side, to ``(N, out_channels)``."""
        parts = [to_image(part, pixels) for part in ([x] if isinstance(x, Tensor) else x)]
        if pixels.device.type == "cpu":
            parts[0] = parts[0].contiguous()  # joining makes planes of the others
        image = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        del parts
        return to_tokens(super().forward(image))[0].contiguous()


class ImageHead(Head):
    """A context body on the last of the features of an image backbone, an auxiliary head on the one before.

    The first two constructor arguments of heads are the widths of the features (finest first) and the number of
    classes; options are keyword-only.

    Args:
        in_channels: Widths of the features.
        body: Makes logits of the last features.
        auxiliary: Makes logits of the last features but one, or of the last if there is one only.
        aux_weight: Factor of the cross-entropy of the auxiliary logits; 0 leaves their head out.
        laterals: Which features the body fuses besides.
        align_corners: Whether a resize keeps the centres of the corner pixels in place, or the corners of the
            image.

    Convention:
        Auxiliary logits are made in training mode only.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        body: ContextBody,
        auxiliary: ContextBody | None,
        *,
        aux_weight: float,
        laterals: Sequence[int] = (),
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.in_channels = list(in_channels)
        self.body = body
        self.auxiliary = auxiliary if aux_weight > 0 else None
        self.aux_weight = aux_weight
        self.laterals = list(laterals)
        self.align_corners = align_corners

    def forward(self, features: Sequence[Tensor], size: tuple[int, int] | None = None) -> HeadOutput:
        """Logits ``(B, K, H, W)`` of features ``(B, C_i, H_i, W_i)``, finest first.

        Args:
            features: As many and as wide as the head was built for.
            size: Height and width of the logits; those of the last features by default.
        """
        self._check(features)
        x, pixels = to_tokens(features[-1])
        output = self.body(x, pixels, [to_tokens(features[i])[0] for i in self.laterals])
        aux = dict(output.clouds)
        if output.embedding is not None:
            aux["embedding"] = to_image(output.embedding, pixels)
        if self.auxiliary is not None and self.training:
            x, aux_pixels = to_tokens(features[max(len(features) - 2, 0)])
            aux["aux_logits"] = self._resize(to_image(self.auxiliary(x, aux_pixels).logits, aux_pixels), size)
        return HeadOutput(logits=self._resize(to_image(output.logits, pixels), size), aux=aux)

    def segment(self, backbone: nn.Module, batch: ImageBatch) -> HeadOutput:
        """Logits ``(B*H*W, K)`` of the pixels of ``batch.image``."""
        features = backbone(batch.image)
        height, width = batch.image.shape[2:]
        rows, columns = features[-1].shape[2:]
        if min(rows, columns) < LEAST_FEATURES:
            raise UserError(
                f"images of {width} x {height} pixels leave {columns} x {rows} features and the head needs "
                f"{LEAST_FEATURES} x {LEAST_FEATURES}; raise data.crop_size or take a backbone of a smaller stride"
            )
        output = self(features, (height, width))
        return HeadOutput(logits=to_tokens(output.logits)[0], aux=output.aux)

    def losses(self, output: HeadOutput, batch: ImageBatch) -> dict[str, Tensor]:
        """Extra weighted losses by name for ``batch.labels`` ``(B, H, W)``."""
        y = batch.labels
        pixels = Pixels(batch_size=y.shape[0], height=y.shape[1], width=y.shape[2], device=y.device)
        losses = self.body.cloud_losses(output.aux, y.flatten(), pixels.ptr)
        if "embedding" in output.aux:
            embedding = output.aux["embedding"]
            small = self._labels_of_features(y, (embedding.shape[2], embedding.shape[3]))
            losses |= self.body.token_losses(to_tokens(embedding)[0], small.flatten())
        if "aux_logits" in output.aux:
            aux = auxiliary_loss(output.aux["aux_logits"], y, align_corners=self.align_corners)
            losses["aux"] = self.aux_weight * aux
        return losses

    def _labels_of_features(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        """Labels ``(B, h, w)`` of the pixels in the middle of features, as logits are resized."""
        if not self.align_corners:
            return F.interpolate(y[:, None].double(), size, mode="nearest-exact")[:, 0].long()
        return corner_aligned_labels(y, size)

    def _resize(self, image: Tensor, size: tuple[int, int] | None) -> Tensor:
        """``(B, K, h, w)`` at another size; in memory classes come first, so that its tokens are a view."""
        if size is None or tuple(size) == tuple(image.shape[2:]):
            return image
        classes = image.transpose(0, 1).contiguous()
        classes = F.interpolate(classes, size, mode="bilinear", align_corners=self.align_corners)
        return classes.transpose(0, 1)

    def _check(self, features: Sequence[Tensor]) -> None:
        widths = [feature.shape[1] for feature in features]
        if widths != self.in_channels:
            raise UserError(f"the head was built for features of widths {self.in_channels}, not {widths}")
        for i in self.laterals:
            if features[i].shape[2:] != features[-1].shape[2:]:
                sizes = [tuple(features[j].shape[2:]) for j in (i, -1)]
                raise UserError(f"the head fuses features of one size, not {sizes[0]} and {sizes[1]}")
