"""Backbone, head and losses as one trainable module."""

from collections.abc import Callable, Iterable, Mapping

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pcseg.errors import UserError
from pcseg.heads.base import HeadOutput
from pcseg.labels import IGNORE_INDEX, LabelSchema
from pcseg.losses.segmentation import SegmentationLoss
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.network import BackboneChoice, Batch, HeadFactory, Network
from pcseg.training.schedules import OneCycle, Schedule

OptimizerFactory = Callable[[Iterable], Optimizer]
"""Takes parameters or parameter groups."""


class Segmentor(Network, L.LightningModule):
    """Backbone → head → losses, and how they are trained.

    Args:
        backbone: An image backbone, or called with the number of input channels.
        head: Called with the backbone's widths and the number of classes.
        in_channels: Width of the input features.
        schema: Classes that are told apart.
        loss: Loss of the logits; the head adds its own terms. Not needed for inference.
        optimizer: Called with two parameter groups, backbone and head.
        schedule: Factor on the learning rate over the progress of training.
        head_lr_scale: Learning rate of the head in units of the backbone's.
        lr_scales: Factors on the learning rate of the parameters whose names hold a word; the first one counts.
        seed: Seeds the random numbers (dropout) of every training step.

    Convention:
        Random numbers of a step depend on seed, epoch, batch and process only, so that a resumed run repeats
        what the straight run would have drawn.
    """

    def __init__(
        self,
        backbone: BackboneChoice,
        head: HeadFactory,
        *,
        in_channels: int,
        schema: LabelSchema,
        loss: SegmentationLoss | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        head_lr_scale: float = 1.0,
        lr_scales: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(backbone, head, in_channels=in_channels, schema=schema)
        self.loss = loss
        self.optimizer_factory = optimizer
        self.schedule = schedule or OneCycle()
        self.head_lr_scale = head_lr_scale
        self.lr_scales = lr_scales or {}
        self.seed = seed
        self.train_confusion = ConfusionMatrix(schema.num_classes)
        self.val_confusion = ConfusionMatrix(schema.num_classes)

    def losses(self, output: HeadOutput, batch: Batch) -> dict[str, Tensor]:
        """All weighted loss terms by name."""
        assert self.loss is not None, "built for inference"
        return self.loss(output.logits, batch.y) | self.head.losses(output, batch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        words = (self.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        output = self(batch)
        losses = self.losses(output, batch)
        total = torch.stack(list(losses.values())).sum()
        self.train_confusion.update(best_class(output.logits.detach()), batch.y)
        logs = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(logs, batch_size=batch.num_graphs)
        self.log("loss", total.detach(), prog_bar=True, batch_size=batch.num_graphs)
        return total * self._share_of_labels(batch.y)

    def _share_of_labels(self, y: Tensor) -> Tensor | float:
        """Labelled points here over the mean of all processes: averaged gradients become those of one."""
        if self.trainer.world_size == 1:
            return 1.0
        here = (y != IGNORE_INDEX).sum().float()
        mean = self.all_gather(here).float().mean()  # type: ignore[union-attr]
        return here / mean.clamp(min=1)

    def on_train_epoch_end(self) -> None:
        total = self.train_confusion.summed_over_processes()
        self.train_confusion.reset()
        if total.labeled.any():  # a run that goes on behind the last step of an epoch ends it again
            self.log("train/acc", total.overall_accuracy(), rank_zero_only=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.val_confusion.update(best_class(self(batch).logits), batch.y)

    def on_validation_epoch_end(self) -> None:
        total = self.val_confusion.summed_over_processes()
        self.val_confusion.reset()
        self.log("val/miou", total.mean_iou(), prog_bar=True)
        self.log("val/acc", total.overall_accuracy())
        self.log("val/points", float(total.labeled.sum()))

    def configure_optimizers(self):
        assert self.optimizer_factory is not None, "built for inference"
        groups = self._parameter_groups()
        optimizer = self.optimizer_factory([{"params": parameters} for _, parameters in groups])
        for group, (scale, _) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] *= scale
        steps = max(int(self.trainer.estimated_stepping_batches) - 1, 1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Parameters of backbone and head by the factor on their learning rate."""
        unused, groups = set(self.lr_scales), []
        for prefix, scale in (("backbone", 1.0), ("head", self.head_lr_scale)):
            by_factor: dict[float, list[nn.Parameter]] = {1.0: []}
            for name, parameter in getattr(self, prefix).named_parameters(prefix):
                words = [word for word in self.lr_scales if word in name]
                by_factor.setdefault(self.lr_scales[words[0]] if words else 1.0, []).append(parameter)
                unused.difference_update(words)
            groups += [(scale * factor, parameters) for factor, parameters in by_factor.items()]
        if unused:
            raise UserError(f"lr_scales: no parameter has {', '.join(sorted(unused))} in its name")
        return groups


def best_class(logits: Tensor) -> Tensor:
    """The class with the largest logit in each row of ``(N, K)``.

    Convention:
        On a CPU argmax takes five times as long where classes come first in memory, as those of pixels do.
    """
    return logits.max(1).indices


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
