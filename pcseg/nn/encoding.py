"""The encoding layer and the context encoding module of EncNet."""

from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import require, require_choice
from pcseg.nn.norms import BatchNorm, NormFactory, linear_norm
from pcseg.nn.process_statistics import several_processes
from pcseg.ops.clouds import cloud_ptr, split_clouds, spread

Assignment = Literal["distance", "shared", "cosine"]
r"""How tokens are assigned to codewords. ``distance``: as published. ``shared``: with one smoothing factor for all, so
that :math:`\|x\|^2` cancels. ``cosine``: by a learned temperature times the cosine of token and codeword."""

TEMPERATURE = 10.0
"""Temperature of the cosine assignment at the start."""

DEAD_SHARE = 0.1
"""Codewords restart if they hold less than this part of an even share of the tokens."""

USAGE_MOMENTUM = 0.01
"""Weight of a batch in the running shares of the codewords."""


class EncodingLayer(nn.Module):
    r"""Aggregate the residuals of each cloud to learned codewords (Zhang et al., *EncNet*, CVPR 2018, Eq. 1).

    .. math:: e_k = \sum_i a_{ik} (x_i - d_k), \qquad
              a_{ik} = \frac{\exp(s_k \|x_i - d_k\|^2)}{\sum_j \exp(s_j \|x_i - d_j\|^2)}

    Args:
        channels: C.
        num_codewords: K.
        reference_size: Scale the sums to clouds of this number of tokens, :math:`e_k \cdot n_{ref} / n`. ``None``:
            they grow with the cloud, as published. With weighted tokens, n is the sum of the weights.
        assignment: See :data:`Assignment`.
        restart: In training, move a codeword that hardly any token is assigned to onto a random token.

    Convention:
        The smoothing factors :math:`s_k` enter with a plus sign and start in (-1, 0); they may become positive.
        Squared distances are expanded, so that no N × K × C residuals are stored. Half precision is computed in
        float32.
    """

    usage: Tensor | None

    def __init__(
        self,
        channels: int,
        num_codewords: int,
        *,
        reference_size: int | None = None,
        assignment: Assignment = "distance",
        restart: bool = False,
    ) -> None:
        super().__init__()
        require_choice("assignment", assignment, Assignment)
        require(num_codewords >= 1, "num_codewords", num_codewords, "Choose 1 or more.")
        valid = reference_size is None or reference_size >= 1
        require(valid, "reference_size", reference_size, "Choose 1 or more tokens.")
        self.reference_size, self.assignment = reference_size, assignment
        self.codewords = nn.Parameter(torch.empty(num_codewords, channels))
        self.smoothing = nn.Parameter(torch.empty(num_codewords if assignment == "distance" else 1))
        even = torch.full((num_codewords,), 1 / num_codewords)
        self.register_buffer("usage", even if restart else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = self.codewords.numel() ** -0.5
        nn.init.uniform_(self.codewords, -bound, bound)
        if self.assignment == "cosine":
            nn.init.constant_(self.smoothing, TEMPERATURE)
        else:
            nn.init.uniform_(self.smoothing, -1, 0)

    def assign(self, x: Tensor) -> Tensor:
        """Return the soft assignment :math:`a_{ik}` of tokens to codewords, ``(N, K)``."""
        codewords, smoothing = self.codewords.to(x.dtype), self.smoothing.to(x.dtype)
        if self.assignment == "cosine":
            return (smoothing * F.normalize(x, dim=1) @ F.normalize(codewords, dim=1).mT).softmax(-1)
        squares = codewords.square().sum(1)
        if self.assignment == "distance":
            squares = x.square().sum(1, keepdim=True) + squares
        return (smoothing * torch.addmm(squares, x, codewords.mT, alpha=-2)).softmax(-1)

    def forward(
        self,
        x: Tensor,
        ptr: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Return the encodings ``(B, K, C)`` of clouds.

        Args:
            x: Tokens, ``(N, C)``.
            ptr, batch: The clouds, see :func:`~pcseg.ops.clouds.cloud_ptr`.
            weight: Weight of each token in the sums, ``(N,)``; default: 1.
        """
        ptr = cloud_ptr(x, ptr, batch)
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            if self.training and self.usage is not None:
                self._restart(x.detach(), self.usage)
            assign = self.assign(x) if weight is None else self.assign(x) * weight[:, None]
            clouds = zip(split_clouds(x, ptr), split_clouds(assign, ptr))
            return torch.stack([self._residuals(*cloud) for cloud in clouds])

    @torch.no_grad()
    def _restart(self, x: Tensor, usage: Tensor) -> None:
        """Move dead codewords onto random tokens ``x`` ``(N, C)``, and update the running shares ``usage`` ``(K,)``.

        Convention:
            All processes take the codewords of the first one. Non-finite tokens change nothing.
        """
        if len(x):
            tokens = x[torch.randint(len(x), usage.shape, device=x.device)].to(self.codewords.dtype)
            dead = (usage < DEAD_SHARE / len(usage)) & tokens.isfinite().all(1)
            self.codewords.copy_(tokens.where(dead[:, None], self.codewords))
            usage.masked_fill_(dead, 1 / len(usage))
            share = self.assign(x).mean(0).to(usage.dtype)
            usage.lerp_(share.where(share.isfinite().all(), usage), USAGE_MOMENTUM)
        if several_processes():
            for tensor in (self.codewords.data, usage):
                dist.broadcast(tensor, 0)

    def _residuals(self, x: Tensor, assign: Tensor) -> Tensor:
        sizes = assign.sum(0)
        residuals = assign.mT @ x - sizes[:, None] * self.codewords
        if self.reference_size is None:
            return residuals
        size = sizes.sum()  # the assignment of a token sums to its weight
        return residuals * (self.reference_size / torch.where(size > 0, size, 1))


class ContextEncodingOutput(NamedTuple):
    """``x`` (N, C) gated features; ``presence`` (B, num_classes) logits of which classes occur in each cloud."""

    x: Tensor
    presence: Tensor | None


class ContextEncoding(nn.Module):
    r"""Context encoding module (Zhang et al., *EncNet*, CVPR 2018, Eq. 2 and Figure 2).

    .. math:: e = \tfrac1K \sum_k \mathrm{ReLU}(\mathrm{BN}(e_k)), \qquad
              \gamma = \sigma(W e), \qquad Y = \mathrm{ReLU}(X + \gamma \odot X)

    The encodings :math:`e_k` are computed from projected tokens; the gate applies to the tokens before projection.

    Args:
        channels: C.
        num_codewords: K.
        num_classes: Number of presence logits for the SE-loss; ``None``: there are none.
        reference_size, assignment, restart: See :class:`EncodingLayer`.
        sum_codewords: Sum over the codewords, as in the paper, instead of averaging.
        pure_gate: Return :math:`\gamma \odot X`, as in the paper. The released code adds X, so that no channel is
            attenuated, and applies a ReLU that has no effect for X ≥ 0.
        norm: Makes the norms; the one of the encodings has one channel per codeword.
    """

    def __init__(
        self,
        channels: int,
        num_codewords: int,
        *,
        num_classes: int | None = None,
        reference_size: int | None = None,
        assignment: Assignment = "distance",
        restart: bool = False,
        sum_codewords: bool = False,
        pure_gate: bool = False,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        self.sum_codewords, self.pure_gate = sum_codewords, pure_gate
        self.project = linear_norm(channels, channels, bias=False, norm=norm)
        self.encoding = EncodingLayer(
            channels, num_codewords, reference_size=reference_size, assignment=assignment, restart=restart
        )
        self.norm = norm(num_codewords)
        self.gate = nn.Linear(channels, channels)
        self.presence = None if num_classes is None else nn.Linear(channels, num_classes)

    def encode(self, x: Tensor, ptr: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return one vector per cloud, ``(B, C)``; ``weight`` as in :class:`EncodingLayer`."""
        encodings = self.encoding(self.project(x), ptr, weight).to(self.gate.weight.dtype)
        encodings = self.norm(encodings).relu()
        return encodings.sum(1) if self.sum_codewords else encodings.mean(1)

    def forward(
        self,
        x: Tensor,
        ptr: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        batch: Tensor | None = None,
    ) -> ContextEncodingOutput:
        """Return the gated tokens ``(N, C)``, and presence logits; arguments as in :meth:`EncodingLayer.forward`."""
        ptr = cloud_ptr(x, ptr, batch)
        context = self.encode(x, ptr, weight)
        gated = x * spread(self.gate(context).sigmoid(), ptr)
        presence = None if self.presence is None else self.presence(context)
        return ContextEncodingOutput(gated if self.pure_gate else (x + gated).relu(), presence)
