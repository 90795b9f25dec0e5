"""The body of CCNet: recurrent criss-cross attention along lines."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.heads.base import Body, BodyOutput
from pcseg.losses.category_consistent import category_consistent_loss
from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory
from pcseg.nn.tokens import LocalConv, Pixels, Sites, as_cells
from pcseg.ops.attention import Support
from pcseg.ops.lines import AXES, axis_lines, check_line_options, pixel_lines
from pcseg.values import Few, Probability, Weight, checked

EMBEDDING_RATIO = 16
"""Channels of the attention divided by those of the embedding that the category-consistent loss is computed on."""


@checked("head.body.")
class RCCABody(Body):
    """Recurrent criss-cross attention between local convolutions (Huang et al., *CCNet*, ICCV 2019, Figure 2).

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        width: Channels of the features that are classified; 512 in the paper.
        attention_width: Channels of the attention; default: ``width``.
        recurrence: Number R of times the attention is applied. R = 2 connects all pixels of an image, R = 3 all voxels
            of a filled box.
        axes: Directions of the lines: 0, 1, 2 for x, y, z. Images have x and y.
        thickness: Edge of the cross-section of a line in voxels, or cells of raw points; 1 is the published attention.
            Thicker lines are shifted by half their thickness in every second recurrence, so that no border persists.
        heads, scaled: See :class:`~pcseg.nn.criss_cross.CrissCrossAttention`.
        relative: Whether the attention sees relative positions along ``axes``.
        category_weight: Factor of the category-consistent loss of the journal version; 0 removes its branch.
        dropout: Rate of the channel dropout.
        norm: Makes the norms; the released code has :class:`~pcseg.nn.norms.InPlaceABN`.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        width: Few = 128,
        attention_width: Few | None = None,
        recurrence: Few = 3,
        axes: Sequence[int] = AXES,
        thickness: Few = 1,
        heads: Few = 1,
        scaled: bool = False,
        relative: bool = False,
        category_weight: Weight = 0.0,
        dropout: Probability = 0.1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        check_line_options(axes, thickness)
        self.width = width
        self.axes, self.thickness, self.relative = tuple(axes), thickness, relative
        self.recurrence, self.category_weight = recurrence, category_weight
        inner = width if attention_width is None else attention_width
        self.before = ConvNorm(conv(in_channels, inner, bias=False), norm(inner))
        self.attention = CrissCrossAttention(
            inner, heads=heads, scaled=scaled, relative_axes=len(self.axes) if relative else 0
        )
        self.after = ConvNorm(conv(inner, inner, bias=False), norm(inner))
        self.merge = ConvNorm(conv(in_channels + inner, width, bias=False), norm(width))
        self.dropout = ChannelDropout(dropout)
        self.classify = nn.Linear(width, num_classes)
        self.embed = nn.Linear(inner, max(1, inner // EMBEDDING_RATIO)) if category_weight > 0 else None

    def forward(self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = ()) -> BodyOutput:
        lines = self._lines(sites)
        position = None
        if self.relative:
            position = as_cells(sites, body="RCCABody", parts="positions").local_pos[:, self.axes]
        context = self.before(x, sites)
        for step in range(self.recurrence):
            context = self.attention(context, lines[step % len(lines)], position)
        embedding = None if self.embed is None else self.embed(context)
        context = self.after(context, sites)  # frees the attention's output before the large convolution
        x = self.dropout(self.merge([x, context], sites), sites.ptr)
        return BodyOutput(logits=self.classify(x), embedding=embedding, features=x)

    def token_losses(self, embedding: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"category": self.category_weight * category_consistent_loss(embedding, y)}

    def _lines(self, sites: Sites) -> list[Support]:
        """Return the lines of each recurrence; recurrences cycle through them."""
        if isinstance(sites, Pixels) and self.thickness == 1 and {0, 1} <= set(self.axes):
            return [pixel_lines(sites.batch_size, sites.height, sites.width, device=sites.device)]
        voxels = as_cells(sites, body="RCCABody", parts="lines")
        shifts = [0] if self.thickness == 1 else [0, self.thickness // 2]
        return [axis_lines(voxels, axes=self.axes, thickness=self.thickness, shift=shift) for shift in shifts]
