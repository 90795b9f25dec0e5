"""The adapter that puts a body on a level of a point backbone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pcseg.errors import require
from pcseg.heads.base import BodyFactory, Head, HeadOutput, require_fusion
from pcseg.losses.cloud_classes import class_shares
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.nn.levels import Level, PointBatch
from pcseg.nn.norms import BatchNorm
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.nn.tokens import LocalConv
from pcseg.ops.clouds import cloud_ptr
from pcseg.ops.points import PointSet
from pcseg.ops.segment import bin_counts
from pcseg.values import Count, Weight, checked


@checked("head.")
class PointHead(Head):
    """A body on one level of a point backbone, plus a linear classifier of the finest level.

    Args:
        channels: Channels of the levels, finest first.
        num_classes: K.
        body: Makes the body that computes the logits.
        level: Level that the body works on.
        laterals: Further levels that the body fuses, none finer than ``level``.
        auxiliary: Makes a body whose logits are used in training only; default: none.
        aux_level: Level of the auxiliary body; default: ``level``.
        aux_weight: Factor of the cross-entropy of the auxiliary logits; 0 removes the auxiliary body.
        local: Makes the local convolutions of the bodies; for raw points
            :class:`~pcseg.nn.neighbor_conv.NeighborConv`.
        fine: Channels of the :class:`FineFusion` that refines the logits of the finest level; 0 leaves it out.

    Convention:
        Voxels of the finest level take the logits of the coarse voxel that contains them. With ``level=0`` the
        logits are those of the body alone, and the head computes the same as :class:`~pcseg.heads.ImageHead`.
        Auxiliary logits are computed in training mode only.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        body: BodyFactory,
        level: int = 2,
        laterals: Sequence[int] = (),
        auxiliary: BodyFactory | None = None,
        aux_level: int | None = None,
        aux_weight: Weight = 0.4,
        local: LocalConv = SubmanifoldConv,
        fine: Count = 0,
    ) -> None:
        super().__init__()
        aux_level = level if aux_level is None else aux_level
        known = f"The backbone has levels 0 to {len(channels) - 1}."
        for name, value in (("level", level), ("aux_level", aux_level), *(("laterals", i) for i in laterals)):
            require(0 <= value < len(channels), f"head.{name}", value, known)
        finest = min([level, *laterals])
        require(finest == level, "head.laterals", finest, f"Choose levels that are not finer than {level}.")
        self.num_classes, self.level, self.laterals = num_classes, level, list(laterals)
        self.aux_level, self.aux_weight = aux_level, aux_weight
        # made first, as in earlier versions: a seed keeps giving the same initial weights
        self.detail = nn.Linear(channels[0], num_classes) if level > 0 else None
        self.body = body(channels[level], num_classes, [channels[i] for i in laterals], local)
        require_fusion(self.body, laterals)
        self.auxiliary = None
        if auxiliary is not None and aux_weight > 0:
            self.auxiliary = auxiliary(channels[aux_level], num_classes, [], local)
        self.fine = FineFusion(channels[0], self.body.width, fine, num_classes) if fine else None

    @property
    def is_local(self) -> bool:
        return self.body.is_local

    def forward(self, levels: list[Level], batch: PointBatch) -> HeadOutput:
        here = levels[self.level]
        laterals = [read_back(levels, i, self.level, levels[i].x) for i in self.laterals]
        options = {"weight": token_sizes(levels, self.level)} if self.body.weighted else {}
        if self.body.needs_truth:
            options["truth"] = class_shares(
                batch.y, token_rows(levels, self.level), len(here.x), self.num_classes
            )
        output = self.body(here.x, here.sites, laterals, **options)
        logits = read_back(levels, self.level, 0, output.logits)
        if self.detail is not None:
            logits = logits + self.detail(levels[0].x)
        if self.fine is not None:
            assert output.features is not None, "every body returns features"
            logits = logits + self.fine(levels, self.level, output.features)
        aux = dict(output.clouds)
        if output.embedding is not None:
            aux["embedding"] = read_back(levels, self.level, 0, output.embedding)
        if output.deep_logits is not None and self.training:
            aux["deep_logits"] = read_back(levels, self.level, 0, output.deep_logits)
        if self.auxiliary is not None and self.training:
            there = levels[self.aux_level]
            aux["aux_logits"] = read_back(
                levels, self.aux_level, 0, self.auxiliary(there.x, there.sites).logits
            )
        return HeadOutput(logits=logits, aux=aux)

    def losses(self, output: HeadOutput, batch: PointBatch) -> dict[str, Tensor]:
        ptr = cloud_ptr(batch.y, getattr(batch, "ptr", None), getattr(batch, "batch", None))
        losses = self.body.cloud_losses(output.aux, batch.y, ptr)
        if "embedding" in output.aux:
            losses |= self.body.token_losses(output.aux["embedding"], batch.y)
        if "deep_logits" in output.aux:
            losses["deep"] = self.body.deep_weight * cross_entropy(output.aux["deep_logits"], batch.y)
        if "aux_logits" in output.aux:
            losses["aux"] = self.aux_weight * cross_entropy(output.aux["aux_logits"], batch.y)
        return losses


class FineFusion(nn.Module):
    r"""Logits of the finest level from its features and those of the body.

    .. math:: W_2\, \mathrm{ReLU}\, \mathrm{BN}(A x_0 + B h)

    Args:
        channels: Channels of the finest level.
        body_channels: Channels of the features h of the body.
        width: Channels of the hidden layer.
        num_classes: K.

    Convention:
        It uses no context. Give it to a head and to its control alike.
    """

    def __init__(self, channels: int, body_channels: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.own = nn.Linear(channels, width, bias=False)
        self.above = nn.Linear(body_channels, width, bias=False)
        self.norm = BatchNorm(width)
        self.classify = nn.Linear(width, num_classes)

    def forward(self, levels: list[Level], level: int, features: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of the finest level; ``features`` ``(M, C)`` are those of the body on ``level``."""
        above = read_back(levels, level, 0, self.above(features))
        return self.classify(self.norm(self.own(levels[0].x) + above).relu())


def read_back(levels: list[Level], coarse: int, fine: int, x: Tensor) -> Tensor:
    """Return for every row of level ``fine`` the row of ``x`` of its parent on level ``coarse``."""
    for level in range(coarse, fine, -1):
        parent = levels[level].parent
        assert parent is not None, "every level but the finest links the finer one"
        x = x.index_select(0, parent)
    return x


def token_rows(levels: list[Level], level: int) -> Tensor:
    """Return the voxel of ``level`` that contains each voxel of the finest level, ``(N,)`` int64."""
    return read_back(levels, level, 0, torch.arange(len(levels[level].x), device=levels[0].x.device))


def token_sizes(levels: list[Level], level: int) -> Tensor:
    """Return the number of voxels, or occupied cells of raw points, that each row of ``level`` stands for, ``(N,)``."""
    rows, finest, count = token_rows(levels, level), levels[0].sites, len(levels[level].x)
    if isinstance(finest, PointSet):
        return finest.weight.new_zeros(count).index_add_(0, rows, finest.weight).to(levels[0].x)
    return bin_counts(rows, count).to(levels[0].x)
