"""Point heads: the adapter that puts a context body on a level of a point backbone."""

from collections.abc import Sequence

from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.heads.base import HeadOutput, PointHead
from pcseg.heads.context import ContextBody
from pcseg.losses.auxiliary import auxiliary_loss
from pcseg.nn.levels import Level, PointBatch


class PointContextHead(PointHead):
    """A context body on one level; its logits are read by the finest level and added to a linear classifier there.

    Subclasses set ``body``, made for the width of the level, and ``auxiliary`` if ``aux_level`` is given.

    Args:
        channels: Widths of the levels, finest first.
        num_classes: K.
        level: Level that the body works on.
        laterals: Levels, not finer than that, that the body fuses besides.
        aux_level: Level of the auxiliary head; ``None`` for no such head.
        aux_weight: Factor of the cross-entropy of the auxiliary logits.

    Convention:
        On the finest level the logits are those of the body alone: then the head is the image head's port. A
        voxel of the finest level reads the coarse voxel that it lies in. Auxiliary logits are made in training
        mode only.
    """

    body: ContextBody

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        level: int,
        laterals: Sequence[int] = (),
        aux_level: int | None = None,
        aux_weight: float = 0.0,
    ) -> None:
        super().__init__()
        for name, wanted in (
            ("level", level),
            ("aux_level", aux_level),
            *(("laterals", i) for i in laterals),
        ):
            if wanted is not None and not 0 <= wanted < len(channels):
                raise UserError(
                    f"head.{name} is {wanted}, but the backbone has levels 0 to {len(channels) - 1}"
                )
        if any(lateral < level for lateral in laterals):
            raise UserError(f"head.laterals are {list(laterals)}; choose levels not finer than level {level}")
        self.level, self.laterals = level, list(laterals)
        self.aux_level, self.aux_weight = aux_level, aux_weight
        self.auxiliary: ContextBody | None = None
        self.detail = nn.Linear(channels[0], num_classes) if level > 0 else None

    def forward(self, levels: list[Level], batch: PointBatch) -> HeadOutput:
        """Logits ``(N, K)`` of every voxel of the finest level."""
        here = levels[self.level]
        laterals = [read_back(levels, i, self.level, levels[i].x) for i in self.laterals]
        output = self.body(here.x, here.voxels, laterals)
        logits = read_back(levels, self.level, 0, output.logits)
        if self.detail is not None:
            logits = logits + self.detail(levels[0].x)
        aux = dict(output.clouds)
        if output.embedding is not None:
            aux["embedding"] = read_back(levels, self.level, 0, output.embedding)
        if self.auxiliary is not None and self.aux_level is not None and self.training:
            coarse = levels[self.aux_level]
            aux_logits = self.auxiliary(coarse.x, coarse.voxels).logits
            aux["aux_logits"] = read_back(levels, self.aux_level, 0, aux_logits)
        return HeadOutput(logits=logits, aux=aux)

    def losses(self, output: HeadOutput, batch: PointBatch) -> dict[str, Tensor]:
        losses = self.body.cloud_losses(output.aux, batch.y, batch.ptr)
        if "embedding" in output.aux:
            losses |= self.body.token_losses(output.aux["embedding"], batch.y)
        if "aux_logits" in output.aux:
            losses["aux"] = self.aux_weight * auxiliary_loss(output.aux["aux_logits"], batch.y)
        return losses


def read_back(levels: list[Level], coarse: int, fine: int, x: Tensor) -> Tensor:
    """Rows ``x`` of level ``coarse``, one for every voxel of level ``fine``: those of the voxels around them."""
    for level in range(coarse, fine, -1):
        parent = levels[level].parent
        assert parent is not None, "every level but the finest links the finer one"
        x = x.index_select(0, parent)
    return x
