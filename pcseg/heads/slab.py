"""The slab body: class shares per slab along the axes as context."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.base import Body, BodyOutput, require_supervision
from pcseg.nn.class_centers import class_prob
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory
from pcseg.nn.slab_context import SlabContent, SlabContext
from pcseg.nn.tokens import LocalConv, Sites, as_cells
from pcseg.ops.lines import AXES, check_line_options
from pcseg.ops.slabs import voxel_slabs
from pcseg.values import Count, Few, Probability, Weight, checked


@checked("head.body.")
class SlabBody(Body):
    """Local convolution, region logits, slab context, classifier.

    The region logits are trained by their own cross-entropy. Their probabilities are pooled per slab along each axis:
    every token reads which classes its slabs hold. The rest of the body is :class:`~pcseg.heads.fcn.FCNBody`.

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        width: Channels of the tokens.
        slab_width: Channels of the slabs.
        axes: Axes that slabs are cut along: 0, 1, 2 for x, y, z.
        content, heads: See :class:`~pcseg.nn.slab_context.SlabContext`.
        true_classes: Pool the true classes of labeled tokens instead of the probabilities: an upper bound.
        detach: Whether the context passes no gradient to the region logits.
        deep_weight: Factor of the cross-entropy of the region logits; 0 only if the context trains them.
        dropout: Rate of the channel dropout.
        norm: Makes the norms.

    Convention:
        Images have rows and columns, and one slab along z, which holds the whole image.
    """

    weighted = True

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        width: Few = 128,
        slab_width: Few = 64,
        axes: Sequence[int] = AXES,
        content: SlabContent = "shares",
        heads: Count = 0,
        true_classes: bool = False,
        detach: bool = False,
        deep_weight: Weight = 0.4,
        dropout: Probability = 0.1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        check_line_options(axes)
        require_supervision(deep_weight, context=content == "shares" and not detach and not true_classes)
        self.width, self.axes, self.needs_truth = width, tuple(axes), true_classes
        self.detach, self.deep_weight = detach, deep_weight
        self.reduce = ConvNorm(conv(in_channels, width, bias=False), norm(width))
        self.region = nn.Linear(width, num_classes)
        self.context = SlabContext(
            width,
            num_classes,
            num_axes=len(self.axes),
            width=slab_width,
            content=content,
            heads=heads,
            norm=norm,
        )
        if true_classes and content != "shares":
            raise UserError(f"true_classes: slabs that hold {content} have no shares. Choose content shares.")
        self.dropout = ChannelDropout(dropout)
        self.classify = nn.Linear(width, num_classes)

    def forward(
        self,
        x: Tensor,
        sites: Sites,
        laterals: Sequence[Tensor] = (),
        *,
        truth: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> BodyOutput:
        x = self.reduce(x, sites)
        region = self.region(x)
        slabs = voxel_slabs(as_cells(sites, body="SlabBody", parts="slabs"), axes=self.axes)
        prob = class_prob(region.detach() if self.detach else region, truth)
        x = self.context(x, slabs, self.context.tables(x, prob, slabs), weight=weight)
        x = self.dropout(x, sites.ptr)
        return BodyOutput(logits=self.classify(x), features=x, deep_logits=region)
