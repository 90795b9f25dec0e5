"""The body of CAC: a classifier whose weights follow from the class centers of the cloud."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pcseg.errors import require
from pcseg.heads.base import Body, BodyOutput, require_supervision
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.losses.distillation import distillation_loss
from pcseg.nn.class_centers import class_prob
from pcseg.nn.context_classifier import ContextClassifier
from pcseg.nn.norms import BatchNorm, ChannelDropout, ConvNorm, NormFactory
from pcseg.nn.tokens import LocalConv, Sites
from pcseg.values import Few, Positive, Probability, Weight, checked


@checked("head.body.")
class CACBody(Body):
    """Local convolution, region logits, context-aware classifier (Tian et al., AAAI 2023).

    Args:
        in_channels, num_classes, lateral_channels, conv: See :class:`~pcseg.heads.base.Body`.
        width: Channels of the tokens.
        confidence, temperature: See :class:`~pcseg.nn.context_classifier.ContextClassifier`.
        detach: Whether the centers pass no gradient to the region logits.
        deep_weight: Factor of the cross-entropy of the region logits.
        teacher_weight: Factor of the cross-entropy of the teacher; 0 removes the teacher.
        distill_weight: Factor of the distillation from the teacher.
        dropout: Rate of the channel dropout.
        norm: Makes the norms.

    Convention:
        The defaults are those of the authors for ScanNet. Losses of the teacher are computed in training mode only.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lateral_channels: Sequence[int],
        conv: LocalConv,
        *,
        width: Few = 128,
        confidence: Probability = 0.75,
        temperature: Positive = 15.0,
        detach: bool = True,
        deep_weight: Weight = 1.0,
        teacher_weight: Weight = 1.0,
        distill_weight: Weight = 1.0,
        dropout: Probability = 0.1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        require_supervision(deep_weight, context=not detach)
        taught = teacher_weight > 0
        require(
            taught or distill_weight == 0, "distill_weight", distill_weight, "Without a teacher choose 0."
        )
        self.width, self.detach, self.deep_weight = width, detach, deep_weight
        self.teacher_weight, self.distill_weight = teacher_weight, distill_weight
        self.reduce = ConvNorm(conv(in_channels, width, bias=False), norm(width))
        self.dropout = ChannelDropout(dropout)
        self.region = nn.Linear(width, num_classes)
        self.classify = ContextClassifier(
            width, confidence=confidence, temperature=temperature, teacher=taught, norm=norm
        )

    @property
    def needs_truth(self) -> bool:
        return self.training and self.teacher_weight > 0

    def forward(
        self, x: Tensor, sites: Sites, laterals: Sequence[Tensor] = (), *, truth: Tensor | None = None
    ) -> BodyOutput:
        x = self.dropout(self.reduce(x, sites), sites.ptr)
        region = self.region(x)
        prob = class_prob(region.detach() if self.detach else region)
        logits, taught = self.classify(x, prob, self.region.weight, sites.ptr, truth)
        embedding = None if taught is None else torch.cat([logits, taught], 1)
        return BodyOutput(logits=logits, features=x, deep_logits=region, embedding=embedding)

    def token_losses(self, embedding: Tensor, y: Tensor) -> dict[str, Tensor]:
        logits, taught = embedding.chunk(2, 1)
        return {
            "teacher": self.teacher_weight * cross_entropy(taught, y),
            "distill": self.distill_weight * distillation_loss(logits, taught, y),
        }
